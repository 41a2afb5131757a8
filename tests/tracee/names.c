// Functions with names of every kind: what a compiler, another language or a linker makes of them.
#include "tracee.h"

uint64_t tracee_data = 42;

// A symbol whose value is an offset in a thread's own memory, not an address.
__thread uint64_t tracee_of_thread = 43;

// Called through the address that the resolver gives. The symbol `tracee_ifunc` is the resolver's own address.
static uint64_t chosen(uint64_t a) __asm__("tracee_ifunc_chosen");
ALONE static uint64_t chosen(uint64_t a) {
    return 3 * a;
}

typedef uint64_t function(uint64_t);

static function *resolver(void) __asm__("tracee_ifunc_resolver");
static function *resolver(void) {
    return chosen;
}

uint64_t tracee_ifunc(uint64_t a) __attribute__((ifunc("tracee_ifunc_resolver")));

ALONE uint64_t tracee_alias_one(uint64_t a) {
    return a + 1;
}

extern uint64_t tracee_alias_two(uint64_t a) __attribute__((weak, alias("tracee_alias_one")));

// As gcc calls a part with other arguments, and a part that is seldom run. Local: no dynamic symbol has their names.
static uint64_t part(uint64_t a) __asm__("tracee_whole.isra.0");
ALONE static uint64_t part(uint64_t a) {
    return 2 * a;
}

static uint64_t cold(uint64_t a) __asm__("tracee_whole.cold");
ALONE static uint64_t cold(uint64_t a) {
    return a + a;
}

ALONE uint64_t tracee_whole(uint64_t a) {
    return part(a) + cold(a);
}

ALONE int32_t store_put_text(int32_t a, const char *text) {
    HIDDEN_FROM_OPTIMIZER(text);
    return a;
}

ALONE int64_t store_put_long(int64_t a) {
    return a;
}

ALONE void store_push(int32_t a) {
    HIDDEN_FROM_OPTIMIZER(a);
}

ALONE uint64_t store_take(uint64_t a) {
    return a;
}

ALONE uint64_t store_give(uint64_t a) {
    return a;
}

#if defined(__x86_64__)
// The next function begins right behind the one byte of this one.
__asm__(".text\n"
        ".globl tracee_nothing, tracee_locked\n"
        ".type tracee_nothing, @function\n"
        ".type tracee_locked, @function\n"
        "tracee_nothing: ret\n"
        // v6.12 arch/x86/kernel/uprobes.c, is_prefix_bad: attaching is ENOTSUPP where a process has the file mapped, and
        // works where none has, but is never hit.
        "tracee_locked: lock addq $0, -8(%rsp)\n"
        "  lea 1(%rdi), %rax\n"
        "  ret\n"
        ".size tracee_locked, . - tracee_locked\n");
#else
ALONE uint64_t tracee_nothing(uint64_t a) {
    return a;
}

ALONE uint64_t tracee_locked(uint64_t a) {
    return a + 1;
}
#endif
