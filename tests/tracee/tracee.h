// What is traced (functions.c, names.c, lines.c, usdt.S: they make libtracee.so), for those who call it (calls.c, ends.c, main.c).
// C, and not Rust: an indirect function, an alias, a probe of systemtap's and names of every kind take a line each.
#pragma once

#include <setjmp.h>
#include <stdint.h>
#include <sys/types.h>

#define HIDDEN_FROM_OPTIMIZER(value) __asm__ volatile("" : "+r"(value))

#if defined(__clang__)
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noinline, noclone, noipa))
#endif

// functions.c
uint64_t tracee_add(uint64_t a, uint64_t b);                       // a + b
int32_t tracee_negative(int32_t a);                                // -a
int64_t tracee_negative_long(int64_t a);                           // -a
const char *tracee_text(const char *text);                         // text
uint64_t tracee_six(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f); // a + 2b + 3c + 4d + 5e + 6f
uint64_t tracee_eight(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
                      uint64_t h);                                 // g + 2h, the two on the stack
uint64_t tracee_recurse(uint64_t depth);                           // depth, by depth + 1 calls
uint64_t tracee_tail_a(uint64_t a);                                // tracee_tail_b(a + 1, its own return address), by a jump
uint64_t tracee_tail_b(uint64_t a, const void *caller);            // 1 where it returns to `caller`, else 0
uint64_t tracee_sleep(uint64_t ns);                                // how long it was, at least ns
uint64_t tracee_spin(uint64_t ns);                                 // the same
void tracee_leap(uint64_t depth, jmp_buf *to);                     // longjmp after depth + 1 calls
uint64_t tracee_block(int said, int from);                         // writes a byte to one, reads one of the other; 1
pid_t tracee_fork(void);                                           // returns twice
void tracee_exec(const char *path, char *const *words);            // returns only where it fails
void tracee_leave(int code);                                       // the process ends in it
void tracee_end(void);                                             // the thread ends in it
void tracee_raise(int signal);                                     // has the signal's handler run inside of it
void tracee_handler(int signal);                                   // is such a handler; called by the kernel

// names.c
extern uint64_t tracee_data;                                       // no function
uint64_t tracee_ifunc(uint64_t a);                                 // 3a, by tracee_ifunc_chosen
uint64_t tracee_alias_one(uint64_t a);                             // a + 1
uint64_t tracee_alias_two(uint64_t a);                             // the same address
uint64_t tracee_whole(uint64_t a);                                 // 4a, by tracee_whole.isra.0 (2a) and tracee_whole.cold (2a)
uint64_t tracee_nothing(uint64_t a);                               // on x86_64 a single `ret`, and no size in the symbol
uint64_t tracee_locked(uint64_t a);                                // on x86_64 begins with a lock prefix: takes no uprobe
int32_t store_put_text(int32_t a, const char *text) __asm__("_ZN5store3putEiPKc"); // store::put(int, char const*): a
int64_t store_put_long(int64_t a) __asm__("_ZN5store3putEl");      // store::put(long): a
void store_push(int32_t a) __asm__("_ZN5store4pushIiEEvT_");       // void store::push<int>(int)
uint64_t store_take(uint64_t a) __asm__("_ZN5store4take17h0123456789abcdefE"); // store::take of Rust, as it was: a
uint64_t store_give(uint64_t a) __asm__("_RNvCs1234_5store4give"); // store::give of Rust, as it is: a

// lines.c
uint64_t tracee_lines(uint64_t a);                                 // a
uint64_t tracee_lines_too(uint64_t a);                             // a + 1, by tracee_lines

// usdt.S: each probe once, `twice` twice, and `enabled` where it is enabled; 1 there, else 0
uint64_t tracee_usdt(uint64_t value, const uint64_t *memory, const char *text);
