//! The ways to attach to functions that the running kernel has, found out by trying.
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use crate::attach::features::Support;
use crate::program::insn::{Alu, Assembler, Helper, Insn, R0};
use crate::sys::bpf::{self, ProgramSpec, UprobeMulti};

/// uprobe.multi links. `exact`: they can be confined to a process (6.10); before, they take its number for a thread's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uprobes {
    pub multi: Support,
    pub exact: bool,
}

/// Kernel: 6.6.
pub fn uprobe_multi() -> &'static Uprobes {
    static FEATURE: OnceLock<Uprobes> = OnceLock::new();
    FEATURE.get_or_init(|| {
        // A folder has no instructions: whoever knows the link says EBADF, and whoever confines it to processes says EINVAL
        // to a number that none has, before it looks there (v6.10 kernel/trace/bpf_trace.c: bpf_uprobe_multi_link_attach).
        let attempt = |pid| {
            let program = program(bpf::ATTACH_TRACE_UPROBE_MULTI, |_| ())?;
            let points =
                UprobeMulti { path: c"/", offsets: &[0], cookies: &[0], semaphores: None, pid, at_return: false };
            bpf::link_uprobes(program.as_fd(), &points).map(drop)
        };
        let multi = match attempt(0) {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Support::Yes,
            other => Support::of(other),
        };
        let exact = multi == Support::Yes && attempt(-1).is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL));
        Uprobes { multi, exact }
    })
}

/// kprobe.multi links. Kernel: 5.18, with CONFIG_FPROBE.
pub fn kprobe_multi() -> &'static Support {
    static FEATURE: OnceLock<Support> = OnceLock::new();
    FEATURE.get_or_init(|| {
        let attempt = || {
            let program = program(bpf::ATTACH_TRACE_KPROBE_MULTI, |_| ())?;
            bpf::link_kprobes(program.as_fd(), &[c"spoor_no_such_function"], &[0], false).map(drop)
        };
        match attempt() {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) => Support::Yes,
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Support::No,
            other => Support::of(other),
        }
    })
}

/// bpf_get_attach_cookie. Kernel: 5.15.
pub fn cookies() -> bool {
    static FEATURE: OnceLock<bool> = OnceLock::new();
    *FEATURE.get_or_init(|| program(0, |asm| asm.call(Helper::GetAttachCookie)).is_ok())
}

fn program(attach_type: u32, body: impl FnOnce(&mut Assembler)) -> io::Result<std::os::fd::OwnedFd> {
    let mut asm = Assembler::default();
    body(&mut asm);
    asm.alu_imm(Alu::Mov, R0, 0);
    let mut insns = asm.finish().expect("no jumps").insns;
    insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
    let spec = ProgramSpec {
        name: "feature",
        program_type: bpf::PROG_TYPE_KPROBE,
        attach_type,
        attach_btf_id: 0,
        insns: &insns,
        license: c"GPL",
    };
    bpf::prog_load(&spec, false).map_err(|failed| failed.error)
}
