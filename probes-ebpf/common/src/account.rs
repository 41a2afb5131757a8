//! What the kernel's own counters are kept by, in one word of a key.

/// The reason in the low 16 bits, the family in the next 16, the network namespace above.
pub const ACCOUNT_FAMILY: u32 = 16;
pub const ACCOUNT_NAMESPACE: u32 = 32;

/// The reason that means that a socket's receive buffer was full.
pub const BUFFER_FULL: u64 = 1;
