//! The firing of the provider `syscall`: one system call, at its return.
use crate::clause::{Head, TEXTS, TextRef};

/// Bits of the global `FACTS`: what the clause needs and the provider gathers.
pub const FACT_ARGS: u32 = 1;
/// Needs the entry, too.
pub const FACT_ELAPSED: u32 = 2;
pub const FACT_TEXT: u32 = 4;
/// Fire also where the entry was not seen; `elapsed_ns` is then [`ELAPSED_UNKNOWN`].
pub const FACT_UNTIMED: u32 = 8;

pub const ELAPSED_UNKNOWN: u64 = u64::MAX;

#[repr(C)]
pub struct SyscallFiring {
    pub head: Head,
    /// number << 1 | 1 for a 32-bit (compat) call; the number as the kernel saw it, 32 bits.
    pub id: u64,
    /// What it returned; 0 for a call that never returns.
    pub ret: i64,
    /// 1 for exit and exit_group, which never return.
    pub endless: u64,
    /// From entry to return, for exit to the end of the thread.
    pub elapsed_ns: u64,
    pub args: [u64; 6],
    pub texts: [TextRef; TEXTS],
}

/// Ids below this number are all that any architecture names; others are rare.
pub const ID_DOMAIN: u32 = 1024;

/// Value of the map `START`, one a thread. Its key is the task's address: an exec can change a thread's id.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Start {
    /// Monotonic ns; 0: the thread is in no call.
    pub time_ns: u64,
    pub id: u64,
    pub tid: u64,
    /// Only for exec, whose registers are gone at its return.
    pub args: [u64; 6],
}

pub const STARTS_MAX: u32 = 16_384;

/// Value of the map `PATHS`: what a thread is about to execute, by the task's address.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Path {
    pub bytes: [u8; crate::clause::TEXT_BYTES_MAX],
}

pub const PATHS_MAX: u32 = 256;

/// Which texts a call has: two slots of 16 bits. Bits 0-2 the argument, 3-5 the kind, 6-9 where its length is:
/// an argument's number, [`LEN_RETURN`] or [`LEN_FIXED`].
pub const TEXT_SLOT_BITS: u32 = 16;
pub const LEN_RETURN: u32 = 6;
pub const LEN_FIXED: u32 = 7;

/// Numbers that the kernel side must know, native and compat; -2 where there is none.
pub const TWICE_RETURNING_MAX: usize = 4;
