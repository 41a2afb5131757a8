//! Programs that the kernel calls for each of its threads, on demand (bpf_iter). Kernel: 5.8.
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use probes_common::walk::Standing;

use super::features::Refusal;
use crate::btf::Found;
use crate::program::insn::Insn;
use crate::providers::{Provider, Walk};
use crate::sys::bpf::{self, ProgramSpec};

/// What such a program is loaded for, by its name in the kernel's BTF.
pub const FUNCTION: &str = "bpf_iter_task";

/// Two of them, loaded.
pub struct Walkers {
    at_start: OwnedFd,
    at_end: OwnedFd,
}

impl Walkers {
    /// `program`: instructions and licence by name.
    pub fn load(
        walk: Walk,
        provider: &Provider,
        found: &Found,
        program: impl Fn(&str) -> Result<(Vec<Insn>, CString)>,
    ) -> Result<Walkers> {
        let id = found
            .functions
            .get(FUNCTION)
            .copied()
            .ok_or_else(|| Refusal::not_here("the kernel cannot walk over its threads (5.8)"))?;
        let load = |name: &str| -> Result<OwnedFd> {
            let (insns, license) = program(name)?;
            let spec = ProgramSpec {
                name,
                program_type: bpf::PROG_TYPE_TRACING,
                attach_type: bpf::ATTACH_TRACE_ITER,
                attach_btf_id: id,
                insns: &insns,
                license: &license,
            };
            Ok(bpf::prog_load(&spec, true).map_err(|error| Refusal::load(provider, FUNCTION, error, false))?)
        };
        Ok(Walkers { at_start: load(walk.at_start)?, at_end: load(walk.at_end)? })
    }

    /// Runs the first one; gives what it wrote.
    pub fn at_start(&self) -> Result<Vec<Standing>> {
        let bytes = run(&self.at_start).context("walk over all threads")?;
        let word = |bytes: &[u8], at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let standing = |bytes: &[u8]| Standing {
            task: word(bytes, 0),
            pid_tgid: word(bytes, 8),
            instruction: word(bytes, 16),
            frame: word(bytes, 24),
            word_bytes: word(bytes, 32),
        };
        Ok(bytes.chunks_exact(size_of::<Standing>()).map(standing).collect())
    }

    pub fn at_end(&self) -> Result<()> {
        run(&self.at_end).context("walk over all threads")?;
        Ok(())
    }
}

/// Everything that the program wrote on its way.
fn run(program: &OwnedFd) -> Result<Vec<u8>> {
    let link = bpf::link_create(program.as_fd(), bpf::ATTACH_TRACE_ITER)?;
    let mut walk = std::fs::File::from(bpf::iter_create(link.as_fd())?);
    let mut bytes = Vec::new();
    walk.read_to_end(&mut bytes)?;
    Ok(bytes)
}
