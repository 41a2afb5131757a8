//! Comparisons and choices as arithmetic: the verifier would walk what is behind a branch once for each way.
#[cfg(target_arch = "bpf")]
use core::arch::asm;

/// 1 where it is, else 0; of numbers that are less than 2^63 apart.
#[inline(always)]
pub fn is_below(number: u64, limit: u64) -> u64 {
    opaque(number.wrapping_sub(limit) >> 63)
}

#[inline(always)]
pub fn is_equal(number: u64, other: u64) -> u64 {
    is_below(number ^ other, 1)
}

/// `this` where `which` is 1, `other` where it is 0.
#[inline(always)]
pub fn choose(which: u64, this: u64, other: u64) -> u64 {
    // Not by a mask: v6.18 takes two ways where a number is all ones or none (kernel/bpf/verifier.c maybe_fork_scalars).
    other ^ (opaque(which) * (this ^ other))
}

/// The compiler knows nothing of what comes out, and makes no branch of it. Not `black_box`, which takes a place on the
/// stack for each.
#[inline(always)]
pub fn opaque(number: u64) -> u64 {
    let mut number = number;
    #[cfg(target_arch = "bpf")]
    // SAFETY: a move of a register to itself.
    unsafe {
        asm!("{0} = {0}", inlateout(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        number = core::hint::black_box(number);
    }
    number
}
