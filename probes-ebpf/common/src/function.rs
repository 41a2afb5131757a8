//! The firing of the provider `function`: a function is called, or returns; a tracepoint or a USDT probe is passed.
use crate::clause::{Head, TEXTS};
use crate::text::Text;

/// Bits of the global `FACTS`.
pub const FACT_KSTACK: u32 = 1;
pub const FACT_USTACK: u32 = 2;
/// Fires at the return: with what it returned, and how long it took.
pub const FACT_RETURN: u32 = 4;

/// Arguments that one clause can name.
pub const ARGUMENTS_MAX: usize = 8;

#[repr(C)]
pub struct FunctionFiring {
    pub head: Head,
    /// Number of the point in its low half, of its module in [`MODULE_BITS`] above, [`AT_ENTRY`] and [`IN_USER`].
    pub point: u64,
    pub ret: u64,
    pub elapsed_ns: u64,
    /// Ids in the map `STACKS`, or one of its constants.
    pub kstack: u64,
    pub ustack: u64,
    pub texts: [Text; TEXTS],
    /// Those that the clause names, in the order of their numbers.
    pub args: [u64; ARGUMENTS_MAX],
}

/// A point's module is a number in these bits of its cookie, above its own.
pub const MODULE_SHIFT: u32 = 32;
pub const MODULE_BITS: u32 = 16;
/// The point is its function's first instruction.
pub const AT_ENTRY: u64 = 1 << 63;
/// The point is in code of a process, whose pointers are to its own memory whatever they hold.
pub const IN_USER: u64 = 1 << 62;

/// Value of the map `CALLS`, by the task's address: what a thread is in the middle of.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Calls {
    pub tid: u64,
    /// No slot from this one on is in use.
    pub top: u64,
    /// Where the return that is looked for has its entry.
    pub found: u64,
    pub slots: [Call; CALLS_MAX],
}

/// The kernel waits for no more than this many returns of one thread (v6.18 include/linux/uprobes.h: MAX_URETPROBE_DEPTH).
pub const CALLS_MAX: usize = 64;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// Monotonic ns; 0: the slot is free.
    pub time_ns: u64,
    /// Where the caller's frame ends: no two calls of a function that go on at once have the same.
    pub frame: u64,
    pub point: u64,
    pub args: [u64; ARGUMENTS_MAX],
}

/// Value of the array `FIRST_CALLS`: the call that a thread is in the middle of, where one slot is enough. Each thread has
/// [`FIRST_CALLS_EACH`] of them, which it shares with threads whose numbers end alike.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FirstCall {
    /// Address of the task whose call it is; 0: the slot is free.
    pub task: u64,
    pub tid: u64,
    pub call: Call,
}

/// Powers of two.
pub const FIRST_CALLS: u32 = 4096;
pub const FIRST_CALLS_EACH: u32 = 4;

/// Threads whose calls are noted, 6 KiB each; and how many where the kernel takes memory for all of them in advance.
pub const THREADS_MAX: u32 = 4096;
pub const THREADS_IN_ADVANCE: u32 = 1024;

/// Value of `TEXT_SOURCES` for a text that nobody asked for, and for one that the function returns; else the place of an
/// argument in the firing.
pub const TEXT_UNUSED: u32 = u32::MAX;
pub const TEXT_OF_RETURN: u32 = ARGUMENTS_MAX as u32;
