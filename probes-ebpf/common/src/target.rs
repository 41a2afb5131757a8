//! Whom a provider listens to: decided before anything else, from constants that the verifier knows.

/// Bits of the global `TARGET_MODE`; without `ONE` and `SET` every process but spoor itself is meant.
pub const TARGET_ONE: u32 = 1;
/// The map `TARGETS` holds the processes and threads that are meant.
pub const TARGET_SET: u32 = 2;
/// Threads are looked up in `TARGETS` too.
pub const TARGET_TIDS: u32 = 4;
/// Only tasks under one of the `CGROUPS_USED` cgroups of the map `CGROUPS`.
pub const TARGET_CGROUP: u32 = 8;
/// Children of targets become targets.
pub const TARGET_FOLLOW: u32 = 16;

/// Key of the map `TARGETS`: a process, or with [`THREAD`] set a thread.
pub const THREAD: u64 = 1 << 32;

/// Value of the map `TARGETS`: how many threads the process has. One that spoor was born after may have any number: it
/// begins with this one, and user space sees when it has ended.
pub const THREADS_UNKNOWN: u64 = 1 << 32;

/// PID namespaces in each other that the kernel allows (v5.10 include/linux/pid_namespace.h: MAX_PID_NS_LEVEL).
pub const NAMESPACES_MAX: u32 = 32;

pub const TARGETS_MAX: u32 = 16_384;
pub const CGROUPS_MAX: u32 = 4;
/// Cgroups in each other that are looked through.
pub const CGROUP_LEVELS_MAX: u32 = 32;

/// What the globals that hold offsets say where the kernel's types are not known.
pub const UNKNOWN_OFFSET: u32 = u32::MAX;

/// Value of the map `VERDICT`: whom the CPU heard last, and what was decided.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Verdict {
    /// The address of the thread's saved registers, at the top of its stack: no two threads have the same at once.
    pub who: u64,
    /// What the map `GENERATION` held then: it counts ends of threads, whose stacks may be given to others.
    pub generation: u64,
    /// 1: one that is meant.
    pub meant: u64,
}
