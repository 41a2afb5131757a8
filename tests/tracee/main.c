// `tracee [--wait] [--hold] [--exit CODE] MODE WORD...`: the modes of this folder in a program that is linked dynamically,
// to libtracee.so beside it. Nothing of it is run in the tracee alone but what needs a dynamic loader.
#define _GNU_SOURCE
#include "protocol.h"
#include "tracee.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t add(uint64_t, uint64_t);

static void late_library(struct words words) {
    const char *path = word(words, 0, "PATH");
    uint64_t k = number(words, 1, "K"), n = number(words, 2, "N"), sum = 0;
    ready(NULL, 0);
    for (uint64_t round = 0; round < k; round++) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        add *add = library ? (__typeof__(add))dlsym(library, "tracee_add") : NULL;
        if (!add) {
            fail(path, dlerror());
        }
        for (uint64_t i = 0; i < n; i++) {
            sum += add(i, 2 * i);
        }
        dlclose(library);
    }
    did("calls", k * n);
    did("sum", sum);
}

static const struct mode MODES[] = {
    {"late-library", "PATH K N", "K times dlopen of PATH, a copy of libtracee.so, N calls of its tracee_add, dlclose", late_library},
    {0},
};

static int help(void) {
    list_modes(modes_that_call);
    list_modes(modes_that_end);
    list_modes(MODES);
    return 0;
}

int main(int count, char **texts) {
    struct words words = {.count = count - 1, .texts = texts + 1};
    for (;;) {
        const char *name = word(words, 0, "MODE");
        words = from(words, 1);
        if (strcmp(name, "--help") == 0) {
            return help();
        } else if (strcmp(name, "--wait") == 0) {
            protocol_wait = 1;
        } else if (strcmp(name, "--hold") == 0) {
            protocol_hold = 1;
        } else if (strcmp(name, "--exit") == 0) {
            protocol_exit = (int)number(words, 0, "CODE");
            words = from(words, 1);
        } else {
            const struct mode *mode = mode_named(name, MODES);
            if (!mode) {
                fail(name, "no such mode; see --help");
            }
            run_mode(mode, words);
        }
    }
}
