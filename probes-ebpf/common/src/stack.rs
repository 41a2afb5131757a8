//! Stacks as the kernel side keeps them: each once, under the hash of what it holds.

/// The kernel takes no more (kernel.perf_event_max_stack is 127 by default).
pub const FRAMES_MAX: usize = 127;

/// In place of a stack's id: there is none, as of a kernel half of a sample in user space.
pub const NO_STACK: u64 = 0;
/// There was one, and it is in the loss ledger.
pub const LOST_STACK: u64 = 1;

/// Value of the map `STACKS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stack {
    /// The process whose addresses they are; 0 for the kernel's.
    pub tgid: u32,
    pub frames: u32,
    /// Leaf first.
    pub addresses: [u64; FRAMES_MAX],
}

/// Processes whose stacks user space has not heard of: the map `SEEN`.
pub const SEEN_MAX: u32 = 16_384;

/// Ids that a stack may take before it is given up.
pub const PROBES: u64 = 2;

/// Words that are hashed and compared at a time: the verifier walks each step of a loop. Behind a stack's last frame lie
/// zeros up to the end of such a block.
pub const BLOCK_WORDS: usize = 8;

/// A stack's id, from its words: begin with this, take up each word of each block, and finish. A collision takes the next
/// id, up to [`PROBES`] of them.
pub const ID_OF_NOTHING: u64 = 0x9e37_79b9_7f4a_7c15;

/// The multiplier of FxHash: one multiplication a frame.
#[inline(always)]
pub const fn id_with(id: u64, word: u64) -> u64 {
    (id.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// Neither of the ids that mean something else, nor one near the end.
#[inline(always)]
pub const fn finished_id(id: u64) -> u64 {
    (id ^ id >> 32) | 1 << 62
}

/// The words of a stack: which process and how many, then the addresses.
pub const STACK_WORDS: usize = size_of::<Stack>() / 8;

/// Stacks and texts that may be in the making on one CPU: a program may interrupt or preempt another.
pub const SCRATCHES: u32 = 8;

/// Memory that is looked at in one piece: a block of this size, and a word behind it.
pub const CHUNK_BYTES: usize = 2048;
pub const CHUNK_WORDS: usize = CHUNK_BYTES / 8 + 1;

/// Value of the map `SCRATCH`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Scratch {
    pub in_use: u64,
    pub stack: Stack,
    /// Room for zeros behind a stack that has all the frames that there can be.
    pub behind: [u64; BLOCK_WORDS],
    pub chunk: [u64; CHUNK_WORDS],
    /// Where in a process the chunk is from, where in it the last frame is that it holds the whole of, and how many
    /// there were before it in this walk. Here and not in variables: the verifier would follow each of their values.
    pub chunk_begin: u64,
    pub last_frame: u64,
    pub chunks: u64,
    /// Frames that were known before the walk.
    pub known: u64,
}
