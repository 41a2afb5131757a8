//! How a provider hands a firing to the clause that is spliced into it when it is loaded.

/// A call of a helper that no kernel has: the loader replaces this one instruction by the clause's code.
/// In: r1 the program's context, r2 the firing, r3 scratch of [`FRAME_BYTES`]. Out: nothing; r0-r9 are clobbered.
pub const CLAUSE_MARKER: i32 = 0x5eed_c1a5;

/// The same for the part of the clause that decides whether the firing is wanted, where a provider asks that first. Out: 0 or
/// 1 in r0.
pub const PREDICATE_MARKER: i32 = 0x5eed_c1a6;

/// Calls that the loader replaces by what depends on how the program is attached. In: r1 the program's context. Out: r0.
///
/// The cookie of the point that was hit.
pub const POINT_MARKER: i32 = 0x5eed_c0de;
/// A number that the call's entry and its return have in common.
pub const FRAME_MARKER: i32 = 0x5eed_c0df;
/// What the function returned.
pub const RETURNED_MARKER: i32 = 0x5eed_c0e0;
/// Writes the arguments that the clause names. In: r1 the context, r2 where to, r3 scratch of 8 bytes.
pub const ARGUMENTS_MARKER: i32 = 0x5eed_c0e1;
/// Puts 1 where r1 points, at once. Out: r0, what was there.
pub const EXCHANGE_MARKER: i32 = 0x5eed_c0e2;

/// Stack that the clause's code may use: key, facts and temporaries.
pub const FRAME_BYTES: usize = 256;

/// What every firing begins with.
#[repr(C)]
pub struct Head {
    /// The current `task_struct` as a BTF pointer where the kernel gives one, else a plain address, else 0.
    pub task: u64,
    /// tgid << 32 | tid, in spoor's PID namespace.
    pub pid_tgid: u64,
}

/// A piece of the process's memory that a streamed record carries along.
#[repr(C)]
pub struct TextRef {
    /// Address; meaningless where `kind` is [`TEXT_NONE`].
    pub ptr: u64,
    /// Bytes that there are; for a string the most to look at.
    pub len: u32,
    /// One of the `TEXT_` constants.
    pub kind: u32,
}

pub const TEXT_NONE: u32 = 0;
/// NUL-terminated, in the process's memory.
pub const TEXT_STRING: u32 = 1;
/// `len` bytes in the process's memory.
pub const TEXT_BYTES: u32 = 2;
/// A socket address of `len` bytes in the process's memory.
pub const TEXT_SOCKADDR: u32 = 3;
/// NUL-terminated, in the kernel's memory.
pub const TEXT_KERNEL_STRING: u32 = 4;

/// Texts that a record can carry, and the room for each.
pub const TEXTS: usize = 2;
pub const TEXT_BYTES_MAX: usize = 256;

/// What a streamed record begins with; the firing follows, then, in a wide record, the texts.
#[repr(C)]
pub struct RecordHead {
    /// Monotonic time of the firing, ns.
    pub time_ns: u64,
    /// tgid << 32 | tid.
    pub pid_tgid: u64,
    pub comm: [u8; 16],
    /// CPU in the low half; in the high half [`RECORD_WIDE`] or 0.
    pub cpu_flags: u64,
}

/// The record carries [`TEXTS`] texts: for each 8 bytes length or negative errno, then [`TEXT_BYTES_MAX`] bytes.
pub const RECORD_WIDE: u64 = 1 << 32;
