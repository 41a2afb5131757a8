// Probes as systemtap's sys/sdt.h plants them (its version 3): a nop, and a note that says where it is and what an
// argument is made of. Written by hand, so that every operand is what a test expects: no compiler promises a register.
#if defined(__x86_64__)

// `semaphore`: a counter that is above 0 while somebody traces. `bytes`: of the nop. Linux 6.18 can make a call of one that
// has 5; 6 are a short one that older kernels are quick at, and behind it the long one, where newer tracers go.
.macro probe provider, name, arguments, semaphore=0, bytes=1
990:
  .if \bytes != 5
  nop
  .endif
  .if \bytes != 1
  .byte 0x0f, 0x1f, 0x44, 0x00, 0x00    // nopl 0(%rax,%rax,1)
  .endif
  .pushsection .note.stapsdt, "", @note
  .balign 4
  .4byte 992f - 991f, 994f - 993f, 3    // sizes of name and content, type
991:
  .asciz "stapsdt"
992:
  .balign 4
993:
  .8byte 990b                           // as linked; prelink may have moved it with the base
  .8byte _.stapsdt.base
  .8byte \semaphore
  .asciz "\provider"
  .asciz "\name"
  .asciz "\arguments"
994:
  .balign 4
  .popsection
.endm

  .section .stapsdt.base, "aGR", @progbits, .stapsdt.base, comdat
  .weak _.stapsdt.base
  .hidden _.stapsdt.base
_.stapsdt.base:
  .space 1
  .size _.stapsdt.base, 1

  .section .probes, "aw", @progbits
  .balign 2
  .globl tracee_enabled_semaphore, tracee_wide_semaphore
  .hidden tracee_enabled_semaphore, tracee_wide_semaphore
  .type tracee_enabled_semaphore, @object
  .type tracee_wide_semaphore, @object
tracee_enabled_semaphore:
  .2byte 0
  .size tracee_enabled_semaphore, 2
tracee_wide_semaphore:
  .2byte 0
  .size tracee_wide_semaphore, 2

  .text
  .globl tracee_usdt
  .type tracee_usdt, @function
// rdi: value, rsi: memory, rdx: text. calls.c says what they are.
tracee_usdt:
  push %rbp
  mov %rsp, %rbp
  sub $32, %rsp
  mov %rdi, -8(%rbp)
  mov %edi, -12(%rbp)
  mov %di, -14(%rbp)
  mov %dil, -15(%rbp)
  movq %rdi, %xmm0
  mov %rdi, %r9
  mov $2, %ecx
  xor %eax, %eax

  probe tracee, none, ""
  // Of a register only so many bytes, with their sign or without.
  probe tracee, registers, "1@%dil -1@%dil 2@%di -2@%di 4@%edi -4@%edi 8@%rdi -8@%rdi"
  probe tracee, numbered, "1@%r9b -2@%r9w 4@%r9d -8@%r9"
  probe tracee, stack, "8@-8(%rbp) -8@24(%rsp) 4@-12(%rbp) -4@-12(%rbp) 2@-14(%rbp) -2@-14(%rbp) 1@-15(%rbp) -1@17(%rsp)"
  probe tracee, memory, "8@(%rsi) -4@8(%rsi) 4@20(%rsi)"
  probe tracee, indexed, "8@(%rsi,%rcx,8) 4@4(%rsi,%rcx,8) -8@-8(%rsi,%rcx,8)"
  probe tracee, constants, "1@$200 -1@$-1 4@$7 -4@$-5 8@$-1 -8@$-9223372036854775808"
  probe tracee, text, "8@%rdx"
  cmpw $0, tracee_enabled_semaphore(%rip)
  je 1f
  inc %eax
  probe tracee, enabled, "8@%rdi", tracee_enabled_semaphore
1:
  // Or a nop of the one would stand before the long nop of the other.
  test %eax, %eax
  // Reached whether its semaphore says so or not.
  probe tracee, wide, "8@%rdi -4@%eax", tracee_wide_semaphore, 5
  probe tracee, both, "8@%rdi", 0, 6
  // One name, two places with the argument elsewhere.
  probe tracee, twice, "8@%rdi"
  probe tracee, twice, "8@-8(%rbp)"
  probe tracee_other, none, ""
  // Forms that a tracer may have to refuse: a variable by its name, a floating point number.
  probe tracee, variable, "8@tracee_data(%rip)"
  probe tracee, float, "8f@%xmm0"

  leave
  ret
  .size tracee_usdt, . - tracee_usdt

#else

  .text
  .globl tracee_usdt
  .type tracee_usdt, %function
tracee_usdt:
#if defined(__aarch64__)
  mov x0, #0
#endif
  ret
  .size tracee_usdt, . - tracee_usdt

#endif

  .section .note.GNU-stack, "", %progbits
