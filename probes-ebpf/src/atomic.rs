//! Adding without losing a hit: programs run in interrupts and after preemptions of each other.
#[cfg(target_arch = "bpf")]
use core::arch::asm;

/// `*at += n`. By hand: LLVM offers BPF an atomic add with a result only, which kernels before 5.12 do not have.
///
/// # Safety
/// `at` is a live, aligned map value of eight bytes.
#[inline(always)]
pub unsafe fn add(at: *mut u64, n: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's promise, which the verifier checks.
    unsafe {
        asm!("lock *(u64 *)({at} + 0) += {n}", at = in(reg) at, n = in(reg) n)
    };
    #[cfg(not(target_arch = "bpf"))]
    let _ = (at, n);
}
