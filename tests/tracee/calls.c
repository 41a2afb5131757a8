// Calls what is traced exactly so often, from so many threads. What takes an argument gets i = 0, 1 .. N-1 in each thread.
#define _GNU_SOURCE
#include "protocol.h"
#include "tracee.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t call_add(uint64_t i) {
    return tracee_add(i, 2 * i);
}

static uint64_t call_negative(uint64_t i) {
    return (uint64_t)(int64_t)tracee_negative((int32_t)i);
}

static uint64_t call_negative_long(uint64_t i) {
    return (uint64_t)tracee_negative_long((int64_t)i);
}

static uint64_t call_text(uint64_t i) {
    return strlen(tracee_text(i % 2 == 0 ? "even" : "uneven"));
}

static uint64_t call_six(uint64_t i) {
    return tracee_six(i, i + 1, i + 2, i + 3, i + 4, i + 5);
}

static uint64_t call_eight(uint64_t i) {
    return tracee_eight(i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7);
}

static uint64_t call_alias(uint64_t i) {
    return i % 2 == 0 ? tracee_alias_one(i) : tracee_alias_two(i);
}

static uint64_t call_put(uint64_t i) {
    return (uint64_t)store_put_text((int32_t)i, "text");
}

static uint64_t call_put_long(uint64_t i) {
    return (uint64_t)store_put_long((int64_t)i);
}

static uint64_t call_push(uint64_t i) {
    store_push((int32_t)i);
    return i;
}

// The caller's own result: `ret` alone leaves what happens to be in the register.
static uint64_t call_nothing(uint64_t i) {
    tracee_nothing(i);
    return i;
}

static const uint64_t MEMORY[4] = {101, (uint32_t)-102, (303ull << 32) | 304, 0};

static uint64_t call_usdt(uint64_t i) {
    // Negative in each of its sizes.
    return tracee_usdt(0x8182838485868788 + i, MEMORY, "text");
}

static const struct callee {
    const char *name;
    uint64_t (*call)(uint64_t);
} CALLEES[] = {
    {"add", call_add},
    {"negative", call_negative},
    {"negative_long", call_negative_long},
    {"text", call_text},
    {"six", call_six},
    {"eight", call_eight},
    {"tail", tracee_tail_a},
    {"lines", tracee_lines_too},
    {"ifunc", tracee_ifunc},
    {"alias", call_alias},
    {"whole", tracee_whole},
    {"nothing", call_nothing},
    {"locked", tracee_locked},
    {"put", call_put},
    {"put_long", call_put_long},
    {"push", call_push},
    {"take", store_take},
    {"give", store_give},
    {"recurse", tracee_recurse},
    {"sleep", tracee_sleep},
    {"spin", tracee_spin},
    {"usdt", call_usdt},
};

static const struct callee *callee_named(const char *name) {
    for (unsigned i = 0; i < sizeof CALLEES / sizeof *CALLEES; i++) {
        if (strcmp(CALLEES[i].name, name) == 0) {
            return &CALLEES[i];
        }
    }
    fail(name, "no such function; see calls.c");
}

// What a thread does, and what comes of it.
struct task {
    const struct callee *callee;
    uint64_t n;
    // Always this one instead of i.
    const uint64_t *argument;
    uint64_t sum;
    pid_t tid;
    pthread_t thread;
};

static pthread_barrier_t ALL_THERE, GO;

static void call_n_times(struct task *task) {
    for (uint64_t i = 0; i < task->n; i++) {
        task->sum += task->callee->call(task->argument ? *task->argument : i);
    }
}

static void *waiting(void *argument) {
    struct task *task = argument;
    task->tid = gettid();
    pthread_barrier_wait(&ALL_THERE);
    pthread_barrier_wait(&GO);
    call_n_times(task);
    return NULL;
}

static void *at_once(void *argument) {
    call_n_times(argument);
    return NULL;
}

// T threads that exist before ready, together; their results' sum.
static uint64_t together(uint64_t t, struct task like) {
    struct task *tasks = calloc(t, sizeof *tasks);
    pid_t *tids = calloc(t, sizeof *tids);
    must(tasks && tids, "calloc");
    pthread_barrier_init(&ALL_THERE, NULL, (unsigned)t + 1);
    pthread_barrier_init(&GO, NULL, (unsigned)t + 1);
    for (uint64_t i = 0; i < t; i++) {
        tasks[i] = like;
        must(pthread_create(&tasks[i].thread, NULL, waiting, &tasks[i]) == 0, "pthread_create");
    }
    pthread_barrier_wait(&ALL_THERE);
    for (uint64_t i = 0; i < t; i++) {
        tids[i] = tasks[i].tid;
    }
    ready(tids, t);
    pthread_barrier_wait(&GO);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < t; i++) {
        pthread_join(tasks[i].thread, NULL);
        sum += tasks[i].sum;
    }
    return sum;
}

static void call(struct words words) {
    uint64_t t = number(words, 1, "T"), argument = 0;
    struct task task = {.callee = callee_named(word(words, 0, "FUNCTION")), .n = number(words, 2, "N")};
    if (words.count > 3) {
        argument = number(words, 3, "ARGUMENT");
        task.argument = &argument;
    }
    uint64_t sum = together(t, task);
    did("calls", t * task.n);
    did("sum", sum);
}

static void late_threads(struct words words) {
    uint64_t t = number(words, 1, "T");
    struct task task = {.callee = callee_named(word(words, 0, "FUNCTION")), .n = number(words, 2, "N")};
    ready(NULL, 0);
    for (uint64_t i = 0; i < t; i++) {
        must(pthread_create(&task.thread, NULL, at_once, &task) == 0, "pthread_create");
        pthread_join(task.thread, NULL);
    }
    did("calls", t * task.n);
    did("sum", task.sum);
}

static void leap(struct words words) {
    uint64_t n = number(words, 0, "N"), depth = number(words, 1, "DEPTH");
    volatile uint64_t leaps = 0;
    ready(NULL, 0);
    for (volatile uint64_t i = 0; i < n; i++) {
        jmp_buf here;
        if (_setjmp(here) == 0) {
            tracee_leap(depth, &here);
        } else {
            leaps++;
        }
    }
    did("calls", leaps * (depth + 1));
    did("leaps", leaps);
}

static void signals(struct words words) {
    uint64_t n = number(words, 0, "N");
    struct sigaction action = {.sa_handler = tracee_handler};
    must(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    ready(NULL, 0);
    for (uint64_t i = 0; i < n; i++) {
        tracee_raise(SIGUSR1);
    }
    did("calls", n);
}

const struct mode modes_that_call[] = {
    {"call", "FUNCTION T N [ARGUMENT]",
     "T threads made before ready, each N calls of FUNCTION with i, or with ARGUMENT; says the sum of the results", call},
    {"late-threads", "FUNCTION T N", "T threads after ready, one after the other, each N calls of FUNCTION with i", late_threads},
    {"leap", "N DEPTH", "N times DEPTH + 1 calls of tracee_leap, none of which returns", leap},
    {"signals", "N", "N calls of tracee_raise, in each of which the kernel calls tracee_handler", signals},
    {0},
};
