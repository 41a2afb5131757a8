//! What user space and a provider that walks over all threads tell each other.

/// Value of the map `SPAN`: programs look at what happens between these two, monotonic ns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Span {
    /// 0: not yet.
    pub begin_ns: u64,
    /// 0: still going on.
    pub end_ns: u64,
    /// Up to when what is open counts in the report that is made now.
    pub report_ns: u64,
}

/// What the walk over all threads at the beginning tells of one that sleeps: where its user stack begins.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Standing {
    /// The task's address.
    pub task: u64,
    /// tgid << 32 | tid.
    pub pid_tgid: u64,
    pub instruction: u64,
    pub frame: u64,
    /// Of which its frames are two: 4 in a 32-bit process.
    pub word_bytes: u64,
}
