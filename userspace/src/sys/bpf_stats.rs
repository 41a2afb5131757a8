//! The kernel's account of how often programs run: it is kept while somebody holds what [`keep`] gives.
use std::io::Result;
use std::os::fd::OwnedFd;

use super::bpf::{bpf, owned};

const ENABLE_STATS: i32 = 32;
const STATS_RUN_TIME: u32 = 0;

/// From now on every run of every program on the machine is counted and timed, which takes it two looks at a clock more.
///
/// Errors: EPERM without CAP_SYS_ADMIN. Kernel: 5.8.
pub fn keep() -> Result<OwnedFd> {
    let mut kind = STATS_RUN_TIME;
    bpf(ENABLE_STATS, &mut kind).map(owned)
}

/// Whether they are counted all the time.
pub fn are_kept() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|on| on.trim() == "1")
}
