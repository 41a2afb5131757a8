//! The firing of the provider `profile`: one sample of what runs on a CPU.
use crate::clause::Head;

/// Bits of the global `FACTS`.
pub const FACT_KSTACK: u32 = 1;
pub const FACT_USTACK: u32 = 2;
/// Only where it was: the leaf.
pub const FACT_LEAF: u32 = 4;

#[repr(C)]
pub struct ProfileFiring {
    pub head: Head,
    /// Ids in the map `STACKS`, or one of its constants.
    pub kstack: u64,
    pub ustack: u64,
    /// A stack of one frame.
    pub leaf: u64,
    /// 1: the leaf is the kernel's.
    pub in_kernel: u64,
    /// What the sample stands for, in units of the event: ns of a clock, else a number of events.
    pub weight: u64,
}

/// Index into the map `SAMPLES`.
pub const SAMPLES_TAKEN: u32 = 0;
