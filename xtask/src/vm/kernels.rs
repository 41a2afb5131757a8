//! The kernels that spoor is tested on: one row each.

pub struct Kernel {
    /// What `--kernel` takes and the summary prints.
    pub name: &'static str,
    /// The Debian suite whose `linux-image-cloud-amd64` it is.
    pub suite: &'static str,
    /// Has an updates suite in the security archive.
    pub security: bool,
    /// Boots once more with `preempt=full`: a program can then be preempted in mid-update
    /// (DESIGN.md, "Per-CPU is not exclusive"). Debian's 5.10 has no PREEMPT_DYNAMIC.
    pub preempt_full: bool,
}

pub static KERNELS: [Kernel; 4] = [
    Kernel { name: "5.10", suite: "bullseye", security: true, preempt_full: false },
    Kernel { name: "6.1", suite: "bookworm", security: true, preempt_full: true },
    Kernel { name: "6.12", suite: "trixie", security: true, preempt_full: true },
    Kernel { name: "newest", suite: "sid", security: false, preempt_full: true },
];
