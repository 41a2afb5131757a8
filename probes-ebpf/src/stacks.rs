//! Stacks by the hash of what they hold, kept once each. Not bpf_get_stackid: on a hash collision it loses the stack
//! (-EEXIST) or hands out another one. Here a hit is compared, and a collision takes the next id or is counted.
use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    bindings::{BPF_F_USER_STACK, BPF_NOEXIST},
    helpers::{bpf_get_stack, bpf_get_task_stack, generated::bpf_probe_read_user},
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use probes_common::{
    loss::LossKind,
    stack::{
        BLOCK_WORDS, CHUNK_BYTES, CHUNK_WORDS, FRAMES_MAX, ID_OF_NOTHING, LOST_STACK, NO_STACK, PROBES, SCRATCHES,
        SEEN_MAX, STACK_WORDS, Scratch, Stack, finished_id, id_with,
    },
    target::UNKNOWN_OFFSET,
};

use crate::task::{
    Kernel, NO_USER, REGS_CS, REGS_FRAME, REGS_IP, REGS_SP, TASK_FLAGS, TASK_PT_REGS, is_64_bit, regs_of,
};
use crate::{atomic, loss, site};

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
    take(0, frames, Walk::From { ctx, flags: 0 })
}

/// The id of the kernel stack of a task that does not run: where it left its CPU, without the scheduler's own functions
/// and without those of BPF, which a walk of the current task has to climb over.
/// Kernel: 5.9.
#[inline(always)]
pub fn kernel_of(task: Kernel<true>, frames: usize) -> u64 {
    take(0, frames, Walk::Of(task))
}

/// As [`user_of`], where a function begins: its caller has not yet been put into a frame, and would be missing.
#[inline(always)]
pub fn user_at_entry(ctx: *mut c_void, task: Kernel<true>, tgid: u32, at_entry: bool) -> u64 {
    user_walked(ctx, task, tgid, at_entry as u64)
}

/// As [`user`], of the current task's own saved registers. The helper's walk ends where it runs into a page fault, which
/// costs as much as the rest of it; and it reads each frame by itself. This one reads them many at a time, and ends at
/// an address that nothing can be at.
#[inline(always)]
pub fn user_of(ctx: *mut c_void, task: Kernel<true>, tgid: u32) -> u64 {
    user_walked(ctx, task, tgid, 0)
}

#[inline(always)]
fn user_walked(ctx: *mut c_void, task: Kernel<true>, tgid: u32, callers_known: u64) -> u64 {
    let Some(scratch) = claim() else {
        loss::count(LossKind::StackFailed);
        return LOST_STACK;
    };
    // SAFETY: `scratch` is a live map value that is ours until it is given back below.
    unsafe {
        if !walk_user(task, callers_known, &mut *scratch) {
            let walk = Walk::From { ctx, flags: BPF_F_USER_STACK as u64 };
            (*scratch).stack.frames = fetch(walk, 0, FRAMES_MAX, &mut (*scratch).stack);
        }
        let id = keep(tgid, scratch);
        (*scratch).in_use = 0;
        // Behind the loops: the verifier walks them once for each way to come to them.
        see(tgid);
        id
    }
}

/// Puts the frames into the scratch, and how many they are: not into a variable, whose every value the verifier would
/// follow. False where it takes the helper to find them.
#[inline(always)]
fn walk_user(task: Kernel<true>, callers_known: u64, scratch: &mut Scratch) -> bool {
    const FRAME_BYTES: u64 = 16;
    const PAGE_BYTES: u64 = 4096;
    const CHUNKS: u64 = 16;
    /// Deeper ones are left to the helper, since the verifier walks this loop.
    const FRAMES_HERE: usize = 64;
    if REGS_CS.load() == UNKNOWN_OFFSET || task.read::<u32>(TASK_FLAGS.load()) & NO_USER != 0 {
        return false;
    }
    let (instruction, mut frame) = if TASK_PT_REGS.load() != 0 {
        where_user_is(Kernel::<true>(regs_of(task)))
    } else {
        where_user_is(Kernel::<false>(regs_of(task)))
    };
    if instruction == 0 {
        return false;
    }
    scratch.stack.addresses[0] = instruction;
    if callers_known != 0 {
        // On top of the stack lies where it returns to.
        let stack = if TASK_PT_REGS.load() != 0 {
            Kernel::<true>(regs_of(task)).read::<u64>(REGS_SP.load())
        } else {
            Kernel::<false>(regs_of(task)).read::<u64>(REGS_SP.load())
        };
        let to: *mut c_void = addr_of_mut!(scratch.stack.addresses[1]).cast();
        // SAFETY: an address has as many bytes; the helper checks where it reads.
        if unsafe { bpf_probe_read_user(to, 8, stack as *const _) } != 0 {
            return false;
        }
    }
    // One by one, or zeros are written by a loop over bytes.
    forget(&mut scratch.chunk_begin);
    forget(&mut scratch.last_frame);
    forget(&mut scratch.chunks);
    // SAFETY: a reference.
    unsafe { addr_of_mut!(scratch.known).write_volatile(1 + callers_known) };
    let mut frames = again(&scratch.known) as usize;
    loop {
        if frames >= FRAMES_HERE {
            return false;
        }
        // Nothing is mapped in the first page.
        if frame < PAGE_BYTES {
            break;
        }
        if frame & 7 != 0 {
            return false;
        }
        // One comparison for both ends: a frame before it, or at the end of all addresses, is far behind it.
        if frame.wrapping_sub(again(&scratch.chunk_begin)) > again(&scratch.last_frame) {
            let chunks = again(&scratch.chunks);
            if chunks >= CHUNKS {
                return false;
            }
            scratch.chunks = chunks + 1;
            // To the end of a block, and the word behind it: a frame may begin with the block's last word.
            let bytes = CHUNK_BYTES as u64 - (frame & (CHUNK_BYTES as u64 - 1)) + 8;
            scratch.chunk_begin = frame;
            scratch.last_frame = bytes - FRAME_BYTES;
            let to: *mut c_void = scratch.chunk.as_mut_ptr().cast();
            // SAFETY: the chunk is as long; the helper checks the address.
            if unsafe { bpf_probe_read_user(to, bytes as u32, frame as *const _) } != 0 {
                scratch.last_frame = 0;
                // SAFETY: as above.
                if unsafe { bpf_probe_read_user(to, FRAME_BYTES as u32, frame as *const _) } != 0 {
                    break;
                }
            }
        }
        let at = ((frame - again(&scratch.chunk_begin)) / 8) as usize & (CHUNK_WORDS - 2);
        // SAFETY: at most the last but one.
        unsafe {
            frame = *scratch.chunk.get_unchecked(at);
            *scratch.stack.addresses.get_unchecked_mut(frames) = *scratch.chunk.get_unchecked(at + 1);
        }
        frames += 1;
    }
    scratch.stack.frames = frames as u32;
    true
}

/// Reads a number from memory, though it may be in a register: there the verifier would follow each of its values, and
/// walk a loop once for every one of them.
#[inline(always)]
fn again<T: Copy>(number: &T) -> T {
    // SAFETY: a reference.
    unsafe { core::ptr::from_ref(number).read_volatile() }
}

#[inline(always)]
fn forget(number: &mut u64) {
    // SAFETY: a reference.
    unsafe { core::ptr::from_mut(number).write_volatile(0) }
}

/// The id of the current process's user stack.
#[inline(always)]
pub fn user(ctx: *mut c_void, tgid: u32, frames: usize) -> u64 {
    see(tgid);
    take(tgid, frames, Walk::From { ctx, flags: BPF_F_USER_STACK as u64 })
}

/// As [`user`], where a function begins: its caller has not yet been put into a frame, but lies where `top_of_stack` says.
/// For kernels that tell of the current task by helpers only.
#[inline(always)]
pub fn user_at_call(ctx: *mut c_void, tgid: u32, top_of_stack: u64) -> u64 {
    see(tgid);
    let Some(scratch) = claim() else {
        loss::count(LossKind::StackFailed);
        return LOST_STACK;
    };
    // Of a 32-bit process, where an address has half as many bytes.
    let is_short = top_of_stack >> 32 == 0;
    let flags = BPF_F_USER_STACK as u64;
    let (from_here, from_the_next) = (Walk::From { ctx, flags }, Walk::From { ctx, flags: flags | 1 });
    // SAFETY: `scratch` is a live map value that is ours until it is given back below; an address has 8 bytes, and the
    // helper checks where it reads.
    unsafe {
        let stack = &mut (*scratch).stack;
        let to: *mut c_void = addr_of_mut!(stack.addresses[1]).cast();
        stack.frames = if is_short
            || fetch(from_here, 0, 1, stack) != 1
            || bpf_probe_read_user(to, 8, top_of_stack as *const _) != 0
        {
            fetch(from_here, 0, FRAMES_MAX, stack)
        } else {
            2 + fetch(from_the_next, 2, FRAMES_MAX - 2, stack)
        };
        let id = keep(tgid, scratch);
        (*scratch).in_use = 0;
        id
    }
}

/// Instruction and frame pointer; zeros for a 32-bit process, whose frames are others.
#[inline(always)]
fn where_user_is<const DIRECT: bool>(regs: Kernel<DIRECT>) -> (u64, u64) {
    if is_64_bit(regs) { (regs.read(REGS_IP.load()), regs.read(REGS_FRAME.load())) } else { (0, 0) }
}

#[inline(always)]
fn see(tgid: u32) {
    if SEEN.get_ptr(tgid).is_none() {
        // One that finds no room is named later, if it still lives then.
        let _ = SEEN.insert(tgid, 1, 0);
    }
}

/// A process has a number that another one had.
#[inline(always)]
pub fn born(tgid: u32, tid: u32) {
    if tgid == tid {
        changed(tgid);
    }
}

/// Addresses of this process mean something else from now on.
#[inline(always)]
pub fn changed(tgid: u32) {
    if let Some(images) = SEEN.get_ptr_mut(tgid) {
        // SAFETY: a live map value.
        unsafe { atomic::add(images, 1) };
    }
}

/// Where a walk begins.
#[derive(Clone, Copy)]
enum Walk {
    From { ctx: *mut c_void, flags: u64 },
    Of(Kernel<true>),
}

#[inline(always)]
fn take(tgid: u32, frames: usize, walk: Walk) -> u64 {
    let Some(scratch) = claim() else {
        loss::count(LossKind::StackFailed);
        return LOST_STACK;
    };
    // SAFETY: `scratch` is a live map value that is ours until it is given back below.
    unsafe {
        (*scratch).stack.frames = fetch(walk, 0, frames, &mut (*scratch).stack);
        let id = keep(tgid, scratch);
        (*scratch).in_use = 0;
        id
    }
}

/// One that nobody else on this CPU uses: who comes in between may be an interrupt, or another thread's program.
#[inline(always)]
pub(crate) fn claim() -> Option<*mut Scratch> {
    let mut slot = 0;
    while slot < SCRATCHES {
        let scratch = SCRATCH.get_ptr_mut(slot)?;
        // SAFETY: a live map value. A look first costs less than an exchange that fails.
        unsafe {
            if again(&(*scratch).in_use) == 0 && site::take(addr_of_mut!((*scratch).in_use), 1) {
                return Some(scratch);
            }
        }
        slot += 1;
    }
    None
}

/// Takes the frames, and puts them behind the first ones; how many there are.
///
/// # Safety
/// The context is the program's, whose type the kernel's bpf_get_stack expects.
#[inline(always)]
unsafe fn fetch(walk: Walk, first: usize, frames: usize, stack: &mut Stack) -> u32 {
    let room = (frames * 8) as u32;
    // SAFETY: `addresses` is as long as said.
    let bytes = unsafe {
        let addresses = stack.addresses.as_mut_ptr().add(first).cast();
        match walk {
            Walk::From { ctx, flags } => bpf_get_stack(ctx, addresses, room, flags),
            Walk::Of(task) => bpf_get_task_stack(task.0 as *mut _, addresses, room, 0),
        }
    };
    if bytes < 0 { 0 } else { bytes as u32 / 8 }
}

/// The id of the stack whose frames are there.
///
/// # Safety
/// `scratch` is a live map value.
#[inline(always)]
pub(crate) unsafe fn keep(tgid: u32, scratch: *mut Scratch) -> u64 {
    // SAFETY: the caller's promise; what is written behind the frames lies in `stack` or `behind`.
    let stack = unsafe {
        let stack = addr_of_mut!((*scratch).stack);
        let frames = again(&(*stack).frames) as usize;
        if frames == 0 || frames > FRAMES_MAX {
            return NO_STACK;
        }
        (*stack).tgid = tgid;
        let end = addr_of_mut!((*stack).addresses).cast::<u64>().add(frames);
        let mut i = 0;
        while i < BLOCK_WORDS {
            forget(&mut *end.add(i));
            i += 1;
        }
        &*stack
    };
    let mut id = ID_OF_NOTHING;
    let mut block = 0;
    while block < BLOCKS {
        if begins_behind(block, stack) {
            break;
        }
        let mut word = 0;
        while word < BLOCK_WORDS {
            id = id_with(id, word_of(stack, block * BLOCK_WORDS + word));
            word += 1;
        }
        block += 1;
    }
    let mut id = finished_id(id);
    let mut refused = false;
    let mut probe = 0;
    // One more for the one that was found to be kept by another CPU meanwhile.
    while black_box(probe) < PROBES + 1 {
        match STACKS.get_ptr(id) {
            // SAFETY: a live map value, written once before it could be found.
            Some(kept) if unsafe { same(&*kept, stack) } => return id,
            Some(_) => id += 1,
            None if refused => break,
            None => match STACKS.insert(id, stack, BPF_NOEXIST as u64) {
                Ok(()) => return id,
                // -EEXIST: another CPU was faster, most likely with the same stack.
                Err(_) => refused = true,
            },
        }
        probe += 1;
    }
    loss::count(if refused { LossKind::StackFull } else { LossKind::StackCollided });
    LOST_STACK
}

const BLOCKS: usize = STACK_WORDS / BLOCK_WORDS;

/// The block has nothing of the stack: one word of it is before the frames.
#[inline(always)]
fn begins_behind(block: usize, stack: &Stack) -> bool {
    (block * BLOCK_WORDS) as u32 > again(&stack.frames)
}

/// Without a check: LLVM would keep a path to a panic, which the verifier refuses.
#[inline(always)]
fn word_of(stack: &Stack, at: usize) -> u64 {
    // SAFETY: callers stay below `STACK_WORDS`.
    unsafe { *core::ptr::from_ref(stack).cast::<u64>().add(at) }
}

/// `differ |= a ^ b`. By hand: LLVM makes a branch of each comparison, and the verifier follows both of its sides.
#[inline(always)]
fn note_difference(differ: &mut u64, a: u64, b: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: works on registers.
    unsafe {
        core::arch::asm!(
            "{a} ^= {b}",
            "{differ} |= {a}",
            a = inlateout(reg) a => _,
            b = in(reg) b,
            differ = inlateout(reg) *differ,
        )
    };
    #[cfg(not(target_arch = "bpf"))]
    let _ = (differ, a, b);
}

#[inline(always)]
fn same(a: &Stack, b: &Stack) -> bool {
    let mut block = 0;
    while block < BLOCKS {
        if begins_behind(block, b) {
            break;
        }
        let mut differ = 0;
        let mut word = 0;
        while word < BLOCK_WORDS {
            let at = block * BLOCK_WORDS + word;
            note_difference(&mut differ, word_of(a, at), word_of(b, at));
            word += 1;
        }
        if differ != 0 {
            return false;
        }
        block += 1;
    }
    true
}
