// Calls that end in another way than they began: in another process, in no process any more, or not while somebody looks.
#define _GNU_SOURCE
#include "protocol.h"
#include "tracee.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void add_n_times(uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        tracee_add(i, 2 * i);
    }
}

static void reap(pid_t pid) {
    int status;
    must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a child");
}

static void fork_between(struct words words) {
    uint64_t k = number(words, 0, "K"), n = number(words, 1, "N");
    ready(NULL, 0);
    add_n_times(n);
    for (uint64_t i = 0; i < k; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            add_n_times(n);
            _exit(0);
        }
        reap(pid);
    }
    add_n_times(n);
    did("calls", 2 * n);
    did("calls_of_children", k * n);
}

static void fork_inside(struct words words) {
    uint64_t k = number(words, 0, "K");
    ready(NULL, 0);
    for (uint64_t i = 0; i < k; i++) {
        pid_t pid = tracee_fork();
        if (pid == 0) {
            _exit(0);
        }
        reap(pid);
    }
    did("calls", k);
    did("returns_of_children", k);
}

// The child has its parent's memory, and a PID of its own.
static void vfork_between(struct words words) {
    uint64_t k = number(words, 0, "K"), n = number(words, 1, "N");
    ready(NULL, 0);
    for (volatile uint64_t i = 0; i < k; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            add_n_times(n);
            _exit(0);
        }
        reap(pid);
    }
    add_n_times(n);
    did("calls", n);
    did("calls_of_children", k * n);
}

// Ends with NULL, as the words of main do; the new image's first word is PATH.
static char **image_of(struct words words, const char *path) {
    char **image = calloc((size_t)words.count, sizeof *image);
    must(image != NULL, "calloc");
    image[0] = (char *)path;
    for (int i = 2; i < words.count; i++) {
        image[i - 1] = words.texts[i];
    }
    return image;
}

static void exec_between(struct words words) {
    const char *path = word(words, 0, "PATH");
    uint64_t n = number(words, 1, "N");
    char **image = image_of(words, path);
    ready(NULL, 0);
    add_n_times(n);
    tracee_exec(path, image);
    must(0, path);
}

static void *exec_image(void *image) {
    const char *path = ((char **)image)[0];
    tracee_exec(path, image);
    must(0, path);
    return NULL;
}

static void exec_by_thread(struct words words) {
    const char *path = word(words, 0, "PATH");
    uint64_t n = number(words, 1, "N");
    char **image = image_of(words, path);
    ready(NULL, 0);
    add_n_times(n);
    pthread_t thread;
    must(pthread_create(&thread, NULL, exec_image, image) == 0, "pthread_create");
    pthread_join(thread, NULL);
    must(0, path);
}

static void exit_inside(struct words words) {
    uint64_t k = number(words, 0, "K");
    ready(NULL, 0);
    for (uint64_t i = 0; i < k; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            tracee_leave(0);
        }
        reap(pid);
    }
    did("calls", k);
}

static void leave(struct words words) {
    uint64_t n = number(words, 0, "N");
    ready(NULL, 0);
    add_n_times(n);
    end_in(tracee_leave);
    did("calls", n);
}

static void *end(void *argument) {
    tracee_add(1, 2);
    tracee_end();
    return argument;
}

static void thread_ends_inside(struct words words) {
    uint64_t t = number(words, 0, "T");
    ready(NULL, 0);
    for (uint64_t i = 0; i < t; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, end, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    did("calls", t);
}

struct pipes {
    int said[2], from[2];
};

static void *block(void *argument) {
    struct pipes *pipes = argument;
    must(tracee_block(pipes->said[1], pipes->from[0]) == 1, "tracee_block");
    return NULL;
}

// A thread that is in tracee_block when this returns.
static pthread_t blocked(struct pipes *pipes) {
    pthread_t thread;
    char byte;
    must(pipe(pipes->said) == 0 && pipe(pipes->from) == 0, "pipe");
    must(pthread_create(&thread, NULL, block, pipes) == 0, "pthread_create");
    must(read(pipes->said[0], &byte, 1) == 1, "read");
    return thread;
}

static void let_go(pthread_t thread, struct pipes *pipes) {
    must(write(pipes->from[1], "", 1) == 1, "write");
    pthread_join(thread, NULL);
}

static void began_before(struct words words) {
    uint64_t n = number(words, 0, "N");
    struct pipes pipes;
    pthread_t thread = blocked(&pipes);
    ready(NULL, 0);
    let_go(thread, &pipes);
    for (uint64_t i = 0; i < n; i++) {
        thread = blocked(&pipes);
        let_go(thread, &pipes);
    }
    did("calls", n);
    did("began_before", 1);
}

static void stays_inside(struct words words) {
    uint64_t t = number(words, 0, "T");
    struct pipes *pipes = calloc(t, sizeof *pipes);
    must(pipes != NULL, "calloc");
    ready(NULL, 0);
    for (uint64_t i = 0; i < t; i++) {
        blocked(&pipes[i]);
    }
    did("calls", t);
}

const struct mode modes_that_end[] = {
    {"fork-between", "K N", "N calls of tracee_add, K forks, one after the other, with N calls in each child, N calls", fork_between},
    {"fork-inside", "K", "K calls of tracee_fork; each returns in the parent, and in a child, which leaves", fork_inside},
    {"vfork-between", "K N", "K vforks with N calls of tracee_add in each child, then N calls", vfork_between},
    {"exec-between", "PATH N WORD...", "N calls of tracee_add; then PATH with WORDs, by tracee_exec, which does not return", exec_between},
    {"exec-by-thread", "PATH N WORD...", "as exec-between, in a second thread", exec_by_thread},
    {"exit-inside", "K", "K children, one after the other, each ends in a call of tracee_leave", exit_inside},
    {"leave", "N", "N calls of tracee_add; ends in one of tracee_leave, behind `done`", leave},
    {"thread-ends-inside", "T", "T threads, one after the other, each 1 call of tracee_add, and ends in one of tracee_end",
     thread_ends_inside},
    {"began-before", "N", "a thread in tracee_block before ready, let go after it; then N whole calls of tracee_block", began_before},
    {"stays-inside", "T", "T threads that are in a call of tracee_block from before `done` to the end", stays_inside},
    {0},
};
