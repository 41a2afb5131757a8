//! Whether somebody is left in the map `TARGETS`. The kernel side takes out those whose threads it has counted; the others
//! were there before spoor, and only /proc knows when they have ended.
//! By keys alone: a look at a value holds off the programs of perf events on this CPU, and what they would have counted
//! is missed (v5.10 kernel/bpf/syscall.c: bpf_map_copy_value, bpf_disable_instrumentation).
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use probes_common::target::THREAD;

use crate::sys::{bpf, process};

/// Looks until it finds one that lives.
pub fn is_anybody_left(targets: BorrowedFd) -> Result<bool> {
    let mut key: Option<[u8; 8]> = None;
    loop {
        let mut next = [0; 8];
        let before = key.as_ref().map(<[u8; 8]>::as_slice);
        if !bpf::map_next_key(targets, before, &mut next).context("look who is traced")? {
            return Ok(false);
        }
        key = Some(next);
        let next = u64::from_ne_bytes(next);
        let id = next as u32;
        let ended = if next & THREAD != 0 { process::thread_has_ended(id) } else { process::has_ended(id) };
        if !ended {
            return Ok(true);
        }
    }
}
