//! The floor: an empty program on the same hook. What a tracer adds to it is its own.
use std::os::fd::{AsFd, OwnedFd};

use spoor::attach::btf::Btf;
use spoor::program::insn::{Alu, Assembler, Insn, R0};
use spoor::sys::bpf;
use spoor_tests::{Context, Result};

/// Attached as long as it is kept.
pub struct Floor(#[expect(dead_code, reason = "they keep the programs attached")] Vec<(OwnedFd, OwnedFd)>);

impl Floor {
    /// `return 0` on each of these tracepoints, with typed arguments as spoor's own programs have them.
    pub fn on(tracepoints: &[&str]) -> Result<Floor> {
        let found = Btf::of_running_kernel().context("the kernel's BTF")?.look_up(tracepoints, &[], None);
        let mut asm = Assembler::default();
        asm.alu_imm(Alu::Mov, R0, 0);
        let mut insns = asm.finish().expect("no jumps").insns;
        insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
        let attach = |tracepoint: &&str| -> Result<(OwnedFd, OwnedFd)> {
            let spec = bpf::ProgramSpec {
                name: "floor",
                program_type: bpf::PROG_TYPE_TRACING,
                attach_type: bpf::ATTACH_TRACE_RAW_TP,
                attach_btf_id: *found.tracepoints.get(*tracepoint).context("no such tracepoint")?,
                insns: &insns,
                license: c"GPL",
            };
            let program = bpf::prog_load(&spec, false).map_err(|refused| refused.error).context("load the floor")?;
            let link = bpf::raw_tracepoint_open(None, program.as_fd()).context("attach the floor")?;
            Ok((link, program))
        };
        Ok(Floor(tracepoints.iter().map(attach).collect::<Result<_>>()?))
    }
}
