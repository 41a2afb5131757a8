//! What the tests of the real binary share: start `spoor` and a workload, wait for the one and read the other's report.
//! Every wait has an end ([`patience`]), every process a guard that kills it by its PID; nothing sleeps and hopes.
pub mod binaries;
pub mod cgroup;
pub mod elf;
pub mod folder;
pub mod ledger;
pub mod lines;
pub mod losses;
pub mod net;
pub mod process;
pub mod report;
pub mod skip;
pub mod spoor;
pub mod sys;
pub mod uprobes;
pub mod vm;
pub mod work;

use std::time::Duration;

pub use anyhow::{Context, Result, anyhow, bail, ensure};
pub use report::{Report, Row, counts_in};
pub use spoor::{Finished, Setup, Trace, func, offcpu, profile, spoor, syscalls, threads, udp};
pub use work::Work;

/// How long anything may take. A virtual machine without KVM is about ten times slower.
pub fn patience() -> Duration {
    let asked = std::env::var("SPOOR_TEST_PATIENCE_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(if vm::is_init() { 90 } else { 20 }))
}

/// `n` here, a tenth of it in a virtual machine: for counts whose size only makes the test sharper.
pub fn scaled(n: u64) -> u64 {
    if vm::is_init() { n / 10 } else { n }
}

/// An equality that fails with both sides, and with what was going on.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($why:tt)+) => {
        match (&$left, &$right) {
            (left, right) => $crate::ensure!(left == right, "{left:?}, not {right:?}: {}", format_args!($($why)+)),
        }
    };
}
