//! The ledger's counters, summed over CPUs.
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use probes_common::loss::{LOSS_KINDS, LossKind};

use crate::sys::bpf;

/// How much of each kind was lost, by [`LossKind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters([u64; LOSS_KINDS]);

impl Counters {
    pub fn read(map: BorrowedFd, possible_cpus: u32) -> Result<Counters> {
        let mut counters = Counters::default();
        let mut copies = vec![0u64; possible_cpus as usize];
        for (kind, sum) in counters.0.iter_mut().enumerate() {
            bpf::map_lookup(map, &(kind as u32).to_ne_bytes(), super::bytes_mut(&mut copies))
                .context("read the loss ledger")?;
            *sum = copies.iter().sum();
        }
        Ok(counters)
    }

    pub fn of(&self, kind: LossKind) -> u64 {
        self.0[kind as usize]
    }

    /// What came since an earlier reading.
    pub fn since(&self, earlier: &Counters) -> Counters {
        Counters(std::array::from_fn(|kind| self.0[kind] - earlier.0[kind]))
    }
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}
