//! The ways to attach to functions that the running kernel has, found out by trying.
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use super::How;
use crate::attach::features::Support;
use crate::btf::Btf;
use crate::program::insn::{Alu, Assembler, Helper, Insn, R0};
use crate::sys::bpf::{self, ProgramSpec, UprobeMulti};
use crate::sys::perf::{self, ProbePlace};
use crate::sys::tracefs;

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

/// A program at a function's first instruction, called as a function. Kernel: 5.5, with BTF.
pub fn fentry() -> &'static Support {
    /// One that is called seldom: it is attached to for a moment.
    const FUNCTION: &str = "vfs_fsync";
    static FEATURE: OnceLock<Support> = OnceLock::new();
    FEATURE.get_or_init(|| {
        let found =
            Btf::of_running_kernel().map(|btf| btf.look_up(&[], &[], &[FUNCTION]).functions.get(FUNCTION).copied());
        let Ok(Some(id)) = found else { return Support::Unknown("no BTF".to_owned()) };
        let attempt = || {
            let program = load(bpf::PROG_TYPE_TRACING, bpf::ATTACH_TRACE_FENTRY, id, |_| ())?;
            bpf::raw_tracepoint_open(None, program.as_fd()).map(drop)
        };
        Support::of(attempt())
    })
}

/// Perf events of kprobes. Kernel: 4.17, with CONFIG_KPROBES.
pub fn kprobe() -> &'static Support {
    static FEATURE: OnceLock<Support> = OnceLock::new();
    FEATURE.get_or_init(|| of_nowhere(ProbePlace::Kernel { symbol: c"spoor_no_such_function", offset: 0 }))
}

/// Perf events of uprobes. Kernel: 4.17.
pub fn uprobe() -> &'static Support {
    static FEATURE: OnceLock<Support> = OnceLock::new();
    let place = ProbePlace::File { path: c"/spoor-no-such-file", offset: 0, semaphore: 0 };
    FEATURE.get_or_init(|| of_nowhere(place))
}

/// What can have a probe is looked for when it is known what a probe is.
fn of_nowhere(place: ProbePlace) -> Support {
    match perf::open_probe(place, false, None).map(drop) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Support::No,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EADDRNOTAVAIL)) => Support::Yes,
        other => Support::of(other),
    }
}

/// Programs on the records of tracepoints. Kernel: 4.7.
pub fn tracepoints() -> &'static Support {
    /// One that is seldom passed.
    const ID: &str = "events/sched/sched_process_exec/id";
    static FEATURE: OnceLock<Support> = OnceLock::new();
    FEATURE.get_or_init(|| {
        let attempt = || {
            let id = tracefs::read(ID)?.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let program = load(bpf::PROG_TYPE_TRACEPOINT, 0, 0, |_| ())?;
            perf::attach_tracepoint(id, program.as_fd()).map(drop)
        };
        Support::of(attempt())
    })
}

/// How functions of files are attached to here. Errors: why they cannot be.
pub fn user_functions() -> Result<How, String> {
    let multi = &uprobe_multi().multi;
    match (multi, uprobe()) {
        (Support::Yes, _) => Ok(How::UprobeMulti),
        (_, Support::Yes) => Ok(How::Uprobe),
        (_, perf) => Err(without(&[(How::UprobeMulti, multi), (How::Uprobe, perf)])),
    }
}

/// How functions of the kernel are attached to here: a few of them, and many. Errors: why they cannot be.
pub fn kernel_functions() -> Result<(How, How), String> {
    let many = match (kprobe_multi(), kprobe()) {
        (Support::Yes, _) => Some(How::KprobeMulti),
        (_, Support::Yes) => Some(How::Kprobe),
        _ => None,
    };
    match (fentry(), many) {
        (Support::Yes, many) => Ok((How::Fentry, many.unwrap_or(How::Fentry))),
        (_, Some(many)) => Ok((many, many)),
        (typed, None) => {
            Err(without(&[(How::Fentry, typed), (How::KprobeMulti, kprobe_multi()), (How::Kprobe, kprobe())]))
        }
    }
}

/// Of each way why it is not taken.
pub fn without(ways: &[(How, &Support)]) -> String {
    let why = |(how, support): &(How, &Support)| match support {
        Support::Yes => None,
        Support::No => Some(format!("the kernel has no {}", how.name())),
        Support::Unknown(why) => Some(format!("{}: {why}", how.name())),
    };
    ways.iter().filter_map(why).collect::<Vec<_>>().join("; ")
}

/// bpf_get_attach_cookie. Kernel: 5.15.
pub fn cookies() -> bool {
    static FEATURE: OnceLock<bool> = OnceLock::new();
    *FEATURE.get_or_init(|| program(0, |asm| asm.call(Helper::GetAttachCookie)).is_ok())
}

fn program(attach_type: u32, body: impl FnOnce(&mut Assembler)) -> io::Result<OwnedFd> {
    load(bpf::PROG_TYPE_KPROBE, attach_type, 0, body)
}

fn load(program_type: u32, attach_type: u32, id: u32, body: impl FnOnce(&mut Assembler)) -> io::Result<OwnedFd> {
    let mut asm = Assembler::default();
    body(&mut asm);
    asm.alu_imm(Alu::Mov, R0, 0);
    let mut insns = asm.finish().expect("no jumps").insns;
    insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
    let spec =
        ProgramSpec { name: "feature", program_type, attach_type, attach_btf_id: id, insns: &insns, license: c"GPL" };
    bpf::prog_load(&spec, false).map_err(|failed| failed.error)
}
