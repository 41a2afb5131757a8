//! A program that older kernels need beside the tracepoints: what it is loaded for, and whether others may count on it.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};

use super::features::Refusal;
use super::object::{self, Linked};
use super::path::Hook;
use crate::btf::Found;
use crate::program::insn::Insn;
use crate::providers::Provider;
use crate::sys::bpf;

/// Loaded, for a function that the kernel has.
pub struct Loaded {
    pub function: &'static str,
    pub program: OwnedFd,
    attached: &'static str,
}

/// None: this kernel needs none, or the compiler left nothing of the function to be attached to.
///
/// Errors: [`Refusal`] where the kernel does not take the program.
pub fn load(
    provider: &Provider,
    found: &Found,
    linked: &Linked,
    instructions: impl Fn(&str) -> Result<Vec<Insn>>,
) -> Result<Option<Loaded>> {
    let Some(witness) = provider.witness.filter(|witness| (witness.is_needed)(found)) else { return Ok(None) };
    let Some(id) = found.functions.get(witness.function).copied() else { return Ok(None) };
    let insns = instructions(witness.program)?;
    let program = object::load(witness.program, &insns, linked.license(), Hook::Return, Some(id), true)
        .map_err(|error| Refusal::load(provider, witness.function, error, false))?;
    Ok(Some(Loaded { function: witness.function, program, attached: witness.attached }))
}

impl Loaded {
    /// None: this machine has no such hook (arm64 before 6.0), and nobody counts on it.
    pub fn attach<'a>(&self, map: impl Fn(&str) -> BorrowedFd<'a>) -> Result<Option<OwnedFd>> {
        let Ok(link) = bpf::raw_tracepoint_open(None, self.program.as_fd()) else { return Ok(None) };
        self.tell(map(self.attached), true)?;
        Ok(Some(link))
    }

    /// Before it is taken off.
    pub fn end<'a>(&self, map: impl Fn(&str) -> BorrowedFd<'a>) -> Result<()> {
        self.tell(map(self.attached), false)
    }

    fn tell(&self, map: BorrowedFd, attached: bool) -> Result<()> {
        bpf::map_update(map, &0u32.to_ne_bytes(), &u32::from(attached).to_ne_bytes())
            .with_context(|| format!("say that `{}` is watched", self.function))
    }
}
