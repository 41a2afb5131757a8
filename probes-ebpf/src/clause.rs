//! Where a provider hands its firing over.
#[cfg(target_arch = "bpf")]
use core::arch::asm;
use core::ffi::c_void;
use core::mem::MaybeUninit;

use probes_common::clause::{CLAUSE_MARKER, FRAME_BYTES, PREDICATE_MARKER};

/// Room for what a clause works with.
pub type Frame = MaybeUninit<[u64; FRAME_BYTES / 8]>;

/// Runs the clause on `firing`. Every field that the clause names must be set.
#[inline(always)]
pub fn clause<F>(ctx: *mut c_void, firing: &mut MaybeUninit<F>) {
    clause_in(ctx, firing, &mut Frame::uninit());
}

/// The same in a frame that the program has at hand.
#[inline(always)]
pub fn clause_in<F>(ctx: *mut c_void, firing: &mut MaybeUninit<F>, frame: &mut Frame) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the loader replaces this instruction by code that touches only `firing`, `frame`, maps and the clobbered
    // registers, and refuses to load a program that still has it. Breaks if the operands here and the code generator's
    // prologue (userspace/src/program/codegen) disagree.
    unsafe {
        asm!(
            "call {marker}",
            marker = const CLAUSE_MARKER,
            inlateout("r1") ctx => _,
            inlateout("r2") firing.as_mut_ptr() => _,
            inlateout("r3") frame.as_mut_ptr() => _,
            lateout("r0") _, lateout("r4") _, lateout("r5") _,
            lateout("r6") _, lateout("r7") _, lateout("r8") _, lateout("r9") _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    let _ = (ctx, firing, frame, CLAUSE_MARKER);
}

/// Whether the clause wants `firing`, of which the fields that its predicate names must be set: what costs more than that
/// is gathered only then.
#[inline(always)]
pub fn wanted<F>(ctx: *mut c_void, firing: &mut MaybeUninit<F>, frame: &mut Frame) -> bool {
    let wanted: u64;
    #[cfg(target_arch = "bpf")]
    // SAFETY: as in `clause_in`.
    unsafe {
        asm!(
            "call {marker}",
            marker = const PREDICATE_MARKER,
            inlateout("r1") ctx => _,
            inlateout("r2") firing.as_mut_ptr() => _,
            inlateout("r3") frame.as_mut_ptr() => _,
            lateout("r0") wanted, lateout("r4") _, lateout("r5") _,
            lateout("r6") _, lateout("r7") _, lateout("r8") _, lateout("r9") _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = (ctx, firing, frame, PREDICATE_MARKER);
        wanted = 0;
    }
    wanted != 0
}
