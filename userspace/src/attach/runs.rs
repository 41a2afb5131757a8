//! How often programs have run, by the kernel's own account: what a predicate refuses, and what is not meant, costs as well.
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use probes_common::loss::LossKind;

use super::Enabled;
use super::points::Loaded;
use crate::error::Advice;
use crate::sys::{bpf, bpf_stats};

/// Runs are counted as long as this is there.
pub struct Counted {
    /// None: they are on this machine in any case.
    _kept: Option<OwnedFd>,
}

impl Counted {
    /// Errors: the kernel counts them for nobody, or not for us.
    pub fn begin() -> Result<Counted> {
        match bpf_stats::keep() {
            Ok(kept) => Ok(Counted { _kept: Some(kept) }),
            Err(_) if bpf_stats::are_kept() => Ok(Counted { _kept: None }),
            Err(error) => {
                let what = format!("--max-rate: the kernel does not count how often programs run ({error})");
                let advice = "run as root (CAP_SYS_ADMIN), or have it count always: sysctl kernel.bpf_stats_enabled=1";
                Err(Advice::new(what, advice).into())
            }
        }
    }
}

impl Enabled {
    /// Takes off what takes long as well, for those who cannot wait until the report is there.
    pub fn stop_slow(&mut self) -> Result<()> {
        if self.attached.slow.is_empty() {
            return Ok(());
        }
        // As in `stop`: entries go first.
        let began_before = self.ledger(LossKind::BeganBefore)?;
        while self.detach_slow().is_some() {}
        let kind = (LossKind::BeganBefore as u32).to_ne_bytes();
        bpf::map_update(self.loss_map(), &kind, &began_before).context("put the loss ledger right")
    }

    /// Of the programs at its points, else of all that it has. Only what ran while [`Counted`] was there.
    pub fn runs(&self) -> u64 {
        let of = |program: &OwnedFd| bpf::prog_info(program.as_fd()).map_or(0, |info| info.run_count);
        match &self.points {
            Some(points) => Loaded::programs(points).map(|(_, program)| of(program)).sum(),
            None => self.loaded().map(|(_, program)| of(program)).sum(),
        }
    }
}
