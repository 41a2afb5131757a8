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
pub const PROBES: u64 = 4;

/// Programs of one object that may be at work on one CPU: each interrupts the one before.
pub const SCRATCHES: u32 = 4;

/// Value of the map `SCRATCH`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Scratch {
    pub in_use: u64,
    pub stack: Stack,
}
