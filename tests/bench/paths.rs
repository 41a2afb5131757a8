//! Code with known user stacks, that a walk by frame pointers finds whatever the compiler's options are.
use core::arch::naked_asm;

/// The two ends that a thread talks to the other by, and the byte that goes over.
#[repr(C)]
pub struct Ends {
    pub to: i32,
    pub from: i32,
    pub byte: u64,
}

/// A function at the end of a path.
pub type Leaf = extern "C" fn(u64) -> u64;

/// Calls `leaf(arg)` below `depth` frames of [`walk`], whose return addresses spell `bits`; the stack begins here, as
/// the ABI says that it does: with a frame pointer of 0.
#[unsafe(naked)]
pub extern "C" fn enter(bits: u64, depth: u64, leaf: Leaf, arg: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("push rbp", "xor ebp, ebp", "call {walk}", "pop rbp", "ret", walk = sym walk);
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, #0",
        "bl {walk}",
        "ldp x29, x30, [sp], #16",
        "ret",
        walk = sym walk
    );
}

/// Itself again from one place or from another, by the lowest bit; then the leaf.
#[unsafe(naked)]
extern "C" fn walk(bits: u64, depth: u64, leaf: Leaf, arg: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "test rsi, rsi",
        "jz 3f",
        "dec rsi",
        "shr rdi, 1",
        "jc 2f",
        "call {walk}",
        "pop rbp",
        "ret",
        "2: call {walk}",
        "pop rbp",
        "ret",
        "3: mov rdi, rcx",
        "call rdx",
        "pop rbp",
        "ret",
        walk = sym walk
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "cbz x1, 3f",
        "sub x1, x1, #1",
        "and x9, x0, #1",
        "lsr x0, x0, #1",
        "cbnz x9, 2f",
        "bl {walk}",
        "ldp x29, x30, [sp], #16",
        "ret",
        "2: bl {walk}",
        "ldp x29, x30, [sp], #16",
        "ret",
        "3: mov x0, x3",
        "blr x2",
        "ldp x29, x30, [sp], #16",
        "ret",
        walk = sym walk
    );
}

/// Sends a byte and waits for one, of the [`Ends`] at this address. What read(2) says.
#[unsafe(naked)]
pub extern "C" fn exchange(ends: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "mov rbx, rdi",
        "mov edi, [rbx]",
        "lea rsi, [rbx + 8]",
        "mov edx, 1",
        "mov eax, {write}",
        "syscall",
        "mov edi, [rbx + 4]",
        "lea rsi, [rbx + 8]",
        "mov edx, 1",
        "mov eax, {read}",
        "syscall",
        "pop rbx",
        "pop rbp",
        "ret",
        write = const libc::SYS_write,
        read = const libc::SYS_read
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "mov x9, x0",
        "ldr w0, [x9]",
        "add x1, x9, #8",
        "mov x2, #1",
        "mov x8, #{write}",
        "svc #0",
        "ldr w0, [x9, #4]",
        "add x1, x9, #8",
        "mov x2, #1",
        "mov x8, #{read}",
        "svc #0",
        "ldp x29, x30, [sp], #16",
        "ret",
        write = const libc::SYS_write,
        read = const libc::SYS_read
    );
}

/// Counts down to zero.
#[unsafe(naked)]
pub extern "C" fn spin(rounds: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("push rbp", "mov rbp, rsp", "2: dec rdi", "jnz 2b", "xor eax, eax", "pop rbp", "ret");
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "2: subs x0, x0, #1",
        "b.ne 2b",
        "ldp x29, x30, [sp], #16",
        "ret"
    );
}
