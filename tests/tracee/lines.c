// Lines of known numbers (tests/kernel/func/lines.rs) that are run so often. The one file with debug information.
#include "tracee.h"

// What is written to it is written line by line.
static volatile uint64_t sink;

static inline __attribute__((always_inline)) void inlined(uint64_t a) {
    sink = a; // 8: wherever it is inlined
}

ALONE uint64_t tracee_lines(uint64_t a) {
    if (a % 4 == 0) {
        sink = 2 * a; // 13: a quarter of the calls
    }

    // Neither the line before this one nor this one nor the next has code.

    sink = 3 * a; // 18: every call
    for (int i = 0; i < 3; i++) {
        inlined(a + 1);
    }
    return a;
}

ALONE uint64_t tracee_lines_too(uint64_t a) {
    inlined(a);
    return tracee_lines(a) + 1; // 27
}
