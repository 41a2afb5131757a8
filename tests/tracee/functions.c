// Functions whose arguments, results and ways to end are known.
#define _GNU_SOURCE
#include "tracee.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

ALONE uint64_t tracee_add(uint64_t a, uint64_t b) {
    return a + b;
}

ALONE int32_t tracee_negative(int32_t a) {
    return -a;
}

ALONE int64_t tracee_negative_long(int64_t a) {
    return -a;
}

ALONE const char *tracee_text(const char *text) {
    HIDDEN_FROM_OPTIMIZER(text);
    return text;
}

ALONE uint64_t tracee_six(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f;
}

ALONE uint64_t tracee_eight(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return g + 2 * h;
}

ALONE uint64_t tracee_recurse(uint64_t depth) {
    if (depth == 0) {
        return 0;
    }
    uint64_t below = tracee_recurse(depth - 1);
    // Or the compiler makes a loop of it.
    HIDDEN_FROM_OPTIMIZER(below);
    return below + 1;
}

ALONE uint64_t tracee_tail_b(uint64_t a, const void *caller) {
    HIDDEN_FROM_OPTIMIZER(a);
    return __builtin_return_address(0) == caller;
}

ALONE uint64_t tracee_tail_a(uint64_t a) {
    return tracee_tail_b(a + 1, __builtin_return_address(0));
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

ALONE uint64_t tracee_sleep(uint64_t ns) {
    uint64_t begin = now_ns();
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
    return now_ns() - begin;
}

ALONE uint64_t tracee_spin(uint64_t ns) {
    uint64_t begin = now_ns(), spent;
    do {
        spent = now_ns() - begin;
    } while (spent < ns);
    return spent;
}

ALONE void tracee_leap(uint64_t depth, jmp_buf *to) {
    if (depth > 0) {
        tracee_leap(depth - 1, to);
        // Not reached. Or the call is a jump, and the frames to leap over are not there.
        HIDDEN_FROM_OPTIMIZER(depth);
    }
    // By its address: a compiler that sees that no call returns warns of a recursion without end.
    void (*jump)(jmp_buf, int) = _longjmp;
    HIDDEN_FROM_OPTIMIZER(jump);
    jump(*to, 1);
}

ALONE uint64_t tracee_block(int said, int from) {
    char byte = 0;
    return write(said, &byte, 1) == 1 && read(from, &byte, 1) == 1;
}

ALONE pid_t tracee_fork(void) {
    return fork();
}

ALONE void tracee_exec(const char *path, char *const *words) {
    execv(path, words);
}

ALONE void tracee_leave(int code) {
    _exit(code);
}

// Not pthread_exit, which unwinds: nothing runs in this thread any more.
ALONE void tracee_end(void) {
    syscall(SYS_exit, 0);
}

ALONE void tracee_raise(int signal) {
    raise(signal);
    HIDDEN_FROM_OPTIMIZER(signal);
}

ALONE void tracee_handler(int signal) {
    HIDDEN_FROM_OPTIMIZER(signal);
}
