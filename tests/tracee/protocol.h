// How the workload talks to the one who started it (workload/protocol.rs), for the modes in C.
#pragma once

#include <stdint.h>
#include <sys/types.h>

// The arguments of a mode: they end the process where they are not what it wants.
struct words {
    int count;
    char *const *texts;
};

const char *word(struct words words, int at, const char *what);
uint64_t number(struct words words, int at, const char *what);
struct words from(struct words words, int at);

struct mode {
    const char *name, *words, *what;
    void (*work)(struct words);
};

// `ready PID OTHER...` and a line, where the one who started us wants to be waited for.
void ready(const pid_t *others, uint64_t count);
// What was done, to be printed at the end.
void did(const char *name, uint64_t count);
// The process ends in this function instead of _exit.
void end_in(void (*leave)(int));
_Noreturn void fail(const char *what, const char *why);
// Fails with errno.
void must(int works, const char *what);

// Runs a mode, as workload/main.rs does, and ends the process.
_Noreturn void run_mode(const struct mode *mode, struct words words);
// Each list ends with a mode that has no name.
extern const struct mode modes_that_call[], modes_that_end[];
// One of either list, or of `more` if that is any.
const struct mode *mode_named(const char *name, const struct mode *more);
void list_modes(const struct mode *modes);

// Set before run_mode.
extern int protocol_wait, protocol_hold, protocol_exit;
