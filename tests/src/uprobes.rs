//! How often a place in a file was run, by the kernel's own counter of a perf uprobe: what a workload is believed by, and
//! what a tracer is compared to.
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{elf, sys};

/// On one CPU, in every process there, from the moment it is made. Who is counted has to stay on that CPU
/// ([`sys::pin`]): each counter is a uprobe of its own, and a thread that moves while it goes through those of several CPUs
/// is missed by all of them, or seen by two. By thread only those of today can be counted: a counter of this kind that a
/// thread hands on makes its fork and clone fail with EFAULT, since the kernel then reads the path once more, from the
/// memory of who forks (v6.12 kernel/trace/trace_event_perf.c, perf_uprobe_init).
pub struct Hits {
    counter: OwnedFd,
}

/// When a function is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    Entry,
    /// The kernel sees no more than 64 calls in one another return (v6.12 kernel/events/uprobes.c, prepare_uretprobe).
    Return,
}

impl Hits {
    /// Kernel: 4.17 (the uprobe PMU).
    pub fn of(path: &Path, symbol: &str, at: At, cpu: usize) -> Result<Hits> {
        Hits::at(path, elf::file_offset(path, symbol)?, at, cpu).with_context(|| format!("count `{symbol}`"))
    }

    pub fn at(path: &Path, offset: u64, at: At, cpu: usize) -> Result<Hits> {
        let pmu = Path::new("/sys/bus/event_source/devices/uprobe");
        let read =
            |name: &str| fs::read_to_string(pmu.join(name)).with_context(|| format!("read {name} of the uprobe PMU"));
        let kind: u32 = read("type")?.trim().parse()?;
        // `config:0`, a bit.
        let bit: u32 = read("format/retprobe")?.trim().trim_start_matches("config:").parse()?;
        let config = if at == At::Return { 1 << bit } else { 0 };
        let counter = sys::perf_uprobe(kind, config, path, offset, cpu)
            .with_context(|| format!("perf_event_open of {}:{offset:#x}", path.display()))?;
        Ok(Hits { counter })
    }

    pub fn count(&self) -> Result<u64> {
        sys::read_number(&self.counter).context("read a perf event")
    }
}
