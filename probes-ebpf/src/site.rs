//! What depends on how a program was attached: one program serves uprobes, kprobes, fentry and tracepoints, and the loader
//! puts in these places what reads the context that it will have (userspace/src/program/codegen/site.rs).
#[cfg(target_arch = "bpf")]
use core::arch::asm;
use core::ffi::c_void;

use probes_common::clause::{ARGUMENTS_MARKER, EXCHANGE_MARKER, FRAME_MARKER, POINT_MARKER, RETURNED_MARKER};

/// The cookie of the point that was hit.
#[inline(always)]
pub fn point(ctx: *mut c_void) -> u64 {
    value::<POINT_MARKER>(ctx)
}

/// A number that a call's entry and its return have in common, and no other call of that function that goes on.
#[inline(always)]
pub fn frame(ctx: *mut c_void) -> u64 {
    value::<FRAME_MARKER>(ctx)
}

/// What the function returned, as wide as a register.
#[inline(always)]
pub fn returned(ctx: *mut c_void) -> u64 {
    value::<RETURNED_MARKER>(ctx)
}

#[inline(always)]
fn value<const MARKER: i32>(ctx: *mut c_void) -> u64 {
    let value: u64;
    #[cfg(target_arch = "bpf")]
    // SAFETY: the loader replaces this instruction by code that reads the context or calls a helper.
    unsafe {
        asm!(
            "call {marker}",
            marker = const MARKER,
            inlateout("r1") ctx => _,
            lateout("r0") value, lateout("r2") _, lateout("r3") _, lateout("r4") _, lateout("r5") _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = ctx;
        value = MARKER as u64;
    }
    value
}

/// Writes the arguments that the clause names to `to`, in the order of their numbers.
///
/// # Safety
/// `to` has room for as many: a place on the stack or in a map's value.
#[inline(always)]
pub unsafe fn arguments(ctx: *mut c_void, to: *mut u64, scratch: *mut u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the loader replaces this instruction by code that writes nothing else.
    unsafe {
        asm!(
            "call {marker}",
            marker = const ARGUMENTS_MARKER,
            inlateout("r1") ctx => _,
            inlateout("r2") to => _,
            inlateout("r3") scratch => _,
            lateout("r0") _, lateout("r4") _, lateout("r5") _,
            lateout("r6") _, lateout("r7") _, lateout("r8") _, lateout("r9") _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    let _ = (ctx, to, scratch, ARGUMENTS_MARKER);
}

/// Whether `owner` was 0; then it is `who` from now on. At once, where programs can be preempted in between; the kernels that
/// have no such instruction do not preempt them.
///
/// # Safety
/// A live, aligned map value.
#[inline(always)]
pub unsafe fn take(owner: *mut u64, who: u64) -> bool {
    let before: u64;
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's promise, which the verifier checks.
    unsafe {
        asm!(
            "call {marker}",
            marker = const EXCHANGE_MARKER,
            inlateout("r1") owner => _,
            inlateout("r2") who => _,
            lateout("r0") before, lateout("r3") _, lateout("r4") _, lateout("r5") _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = (owner, who);
        before = EXCHANGE_MARKER as u64;
    }
    before == 0
}
