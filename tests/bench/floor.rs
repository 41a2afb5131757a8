//! The floor: an empty program on the same hook, or one that takes stacks. What a tracer adds to it is its own.
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use spoor::btf::Btf;
use spoor::program::insn::{Insn, R0, R1, R2, R3, R4, R6, R10, Reg};
use spoor::sys::bpf;
use spoor_tests::{Context, Result};

/// Attached as long as it is kept.
pub struct Floor(#[expect(dead_code, reason = "they keep the programs attached")] Vec<(OwnedFd, OwnedFd)>);

const fn insn(code: u8, dst: Reg, src: Reg, off: i16, imm: i32) -> Insn {
    Insn { code, dst: dst.0, src: src.0, off, imm }
}

const fn constant(dst: Reg, value: i32) -> Insn {
    insn(0xb7, dst, R0, 0, value)
}

const fn copy(dst: Reg, src: Reg) -> Insn {
    insn(0xbf, dst, src, 0, 0)
}

const fn call(helper: i32) -> Insn {
    insn(0x85, R0, R0, 0, helper)
}

const RETURN_0: [Insn; 2] = [constant(R0, 0), insn(0x95, R0, R0, 0, 0)];

impl Floor {
    /// `return 0` on each of these tracepoints, with typed arguments as spoor's own programs have them.
    pub fn on(tracepoints: &[&str]) -> Result<Floor> {
        Floor::of(tracepoints, &RETURN_0)
    }

    /// Takes both stacks of this process with the kernel's helper, and forgets them.
    pub fn taking_stacks(tracepoints: &[&str], tgid: u32) -> Result<Floor> {
        const GET_CURRENT_PID_TGID: i32 = 14;
        const GET_STACK: i32 = 67;
        const USER_STACK: i32 = 1 << 8;
        // Half of a program's stack: room for more frames than the worker has.
        const STACK_BYTES: i32 = 256;
        let take = |room_at: i32, flags: i32| {
            [
                copy(R1, R6),
                copy(R2, R10),
                insn(0x07, R2, R0, 0, room_at),
                constant(R3, STACK_BYTES),
                constant(R4, flags),
                call(GET_STACK),
            ]
        };
        let both = [take(-STACK_BYTES, 0), take(-2 * STACK_BYTES, USER_STACK)].concat();
        let shift_right = insn(0x77, R0, R0, 0, 32);
        let skip_others = insn(0x55, R0, R0, both.len() as i16, tgid as i32);
        let head = [copy(R6, R1), call(GET_CURRENT_PID_TGID), shift_right, skip_others];
        Floor::of(tracepoints, &[&head[..], &both, &RETURN_0].concat())
    }

    /// `return 0` at the entries of functions, and at their returns, too, if asked for: attached as spoor's own programs are.
    pub fn on_functions(file: &Path, offsets: &[u64], pid: u32, returns: bool) -> Result<Floor> {
        let cookies = vec![0; offsets.len()];
        let path = CString::new(file.as_os_str().as_bytes())?;
        let attach = |at_return: bool| -> Result<(OwnedFd, OwnedFd)> {
            let spec = bpf::ProgramSpec {
                name: "floor",
                program_type: bpf::PROG_TYPE_KPROBE,
                attach_type: bpf::ATTACH_TRACE_UPROBE_MULTI,
                attach_btf_id: 0,
                insns: &RETURN_0,
                license: c"GPL",
            };
            let program = bpf::prog_load(&spec, false).map_err(|refused| refused.error).context("load the floor")?;
            let points = bpf::UprobeMulti {
                path: &path,
                offsets,
                cookies: &cookies,
                semaphores: None,
                pid: pid as i32,
                at_return,
            };
            let link = bpf::link_uprobes(program.as_fd(), &points).context("attach the floor")?;
            Ok((link, program))
        };
        // The return first, so that it is there for every entry.
        let ends: &[bool] = if returns { &[true, false] } else { &[false] };
        Ok(Floor(ends.iter().map(|at_return| attach(*at_return)).collect::<Result<_>>()?))
    }

    fn of(tracepoints: &[&str], insns: &[Insn]) -> Result<Floor> {
        let found = Btf::of_running_kernel().context("the kernel's BTF")?.look_up(tracepoints, &[], &[]);
        let attach = |tracepoint: &&str| -> Result<(OwnedFd, OwnedFd)> {
            let spec = bpf::ProgramSpec {
                name: "floor",
                program_type: bpf::PROG_TYPE_TRACING,
                attach_type: bpf::ATTACH_TRACE_RAW_TP,
                attach_btf_id: *found.tracepoints.get(*tracepoint).context("no such tracepoint")?,
                insns,
                license: c"GPL",
            };
            let program = bpf::prog_load(&spec, false).map_err(|refused| refused.error).context("load the floor")?;
            let link = bpf::raw_tracepoint_open(None, program.as_fd()).context("attach the floor")?;
            Ok((link, program))
        };
        Ok(Floor(tracepoints.iter().map(attach).collect::<Result<_>>()?))
    }
}
