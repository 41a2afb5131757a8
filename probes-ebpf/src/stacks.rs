//! Stacks by the hash of what they hold, kept once each. Not bpf_get_stackid: on a hash collision it loses the stack
//! (-EEXIST) or hands out another one. Here a hit is compared, and a collision takes the next id or is counted.
use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_USER_STACK, BPF_NOEXIST},
    helpers::bpf_get_stack,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use probes_common::{
    loss::LossKind,
    stack::{FRAMES_MAX, LOST_STACK, NO_STACK, PROBES, SCRATCHES, SEEN_MAX, Scratch, Stack},
};

use crate::{atomic, loss};

/// User space says how many there is room for.
#[map]
static STACKS: HashMap<u64, Stack> = HashMap::with_max_entries(1, 0);
/// Processes whose stacks were taken: user space opens what names them while they live. The value is another one after
/// each exec.
#[map]
static SEEN: HashMap<u32, u64> = HashMap::with_max_entries(SEEN_MAX, 0);
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SCRATCHES, 0);

/// The id of the kernel stack that `ctx` came from, `frames` deep at most.
#[inline(always)]
pub fn kernel(ctx: *mut c_void, frames: usize) -> u64 {
    take(ctx, 0, 0, frames)
}

/// The id of the current process's user stack.
#[inline(always)]
pub fn user(ctx: *mut c_void, tgid: u32, frames: usize) -> u64 {
    if SEEN.get_ptr(tgid).is_none() {
        // One that finds no room is named later, if it still lives then.
        let _ = SEEN.insert(tgid, 1, 0);
    }
    take(ctx, BPF_F_USER_STACK as u64, tgid, frames)
}

/// Addresses of this process mean something else from now on.
#[inline(always)]
pub fn changed(tgid: u32) {
    if let Some(images) = SEEN.get_ptr_mut(tgid) {
        // SAFETY: a live map value.
        unsafe { atomic::add(images, 1) };
    }
}

#[inline(always)]
fn take(ctx: *mut c_void, flags: u64, tgid: u32, frames: usize) -> u64 {
    let Some(scratch) = claim() else {
        loss::count(LossKind::StackFailed);
        return LOST_STACK;
    };
    // SAFETY: `scratch` is a live map value that is ours until it is given back below.
    unsafe {
        let id = intern(ctx, flags, tgid, frames, &mut (*scratch).stack);
        (*scratch).in_use = 0;
        id
    }
}

/// Plain loads and stores: the programs that take stacks run with interrupts off, so whoever comes in between is an
/// interrupt of higher rank, and gone before we go on.
#[inline(always)]
fn claim() -> Option<*mut Scratch> {
    let mut slot = 0;
    while slot < SCRATCHES {
        let scratch = SCRATCH.get_ptr_mut(slot)?;
        // SAFETY: a live map value.
        unsafe {
            if (*scratch).in_use == 0 {
                (*scratch).in_use = 1;
                return Some(scratch);
            }
        }
        slot += 1;
    }
    None
}

/// # Safety
/// `ctx` is the program's context, whose type the kernel's bpf_get_stack expects.
#[inline(always)]
unsafe fn intern(ctx: *mut c_void, flags: u64, tgid: u32, frames: usize, stack: &mut Stack) -> u64 {
    let room = (frames * 8) as u32;
    // SAFETY: `addresses` is as long as said.
    let bytes = unsafe { bpf_get_stack(ctx, stack.addresses.as_mut_ptr().cast(), room, flags) };
    if bytes <= 0 {
        return NO_STACK;
    }
    let count = bytes as usize / 8;
    stack.tgid = tgid;
    stack.frames = count as u32;
    let mut hash = tgid as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut i = 0;
    while i < FRAMES_MAX {
        if i >= count {
            break;
        }
        // SAFETY: `i` is below the length; with a check LLVM keeps a path to a panic, which the verifier refuses.
        let address = unsafe { *stack.addresses.get_unchecked(i) };
        // The multiplier of FxHash: one multiplication a frame.
        hash = (hash.rotate_left(5) ^ address).wrapping_mul(0x517c_c1b7_2722_0a95);
        i += 1;
    }
    // Neither of the ids that mean something else, nor one near the end.
    let base = (hash ^ hash >> 32) | 1 << 62;
    let mut probe = 0;
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the stack")]
    while probe < PROBES {
        let id = base + probe;
        match STACKS.get_ptr(id) {
            // SAFETY: a live map value, written once before it could be found.
            Some(kept) if unsafe { same(&*kept, stack) } => return id,
            Some(_) => {}
            None => match STACKS.insert(id, &*stack, BPF_NOEXIST as u64) {
                Ok(()) => return id,
                // -EEXIST: another CPU was faster, most likely with the same stack.
                Err(_) => match STACKS.get_ptr(id) {
                    // SAFETY: as above.
                    Some(kept) if unsafe { same(&*kept, stack) } => return id,
                    Some(_) => {}
                    None => {
                        loss::count(LossKind::StackFull);
                        return LOST_STACK;
                    }
                },
            },
        }
        probe += 1;
    }
    loss::count(LossKind::StackCollided);
    LOST_STACK
}

#[inline(always)]
fn same(a: &Stack, b: &Stack) -> bool {
    if a.tgid != b.tgid || a.frames != b.frames {
        return false;
    }
    let mut i = 0;
    while i < FRAMES_MAX {
        if i >= b.frames as usize {
            break;
        }
        // SAFETY: as in `intern`.
        if unsafe { a.addresses.get_unchecked(i) != b.addresses.get_unchecked(i) } {
            return false;
        }
        i += 1;
    }
    true
}
