//! What the running kernel can do, found out by trying; and its refusals in words.
use std::fmt;
use std::io;
use std::sync::OnceLock;

use super::verifier;
use crate::program::insn::{Alu, Assembler, Insn, R0, R1, R10, Size};
use crate::providers::Provider;
use crate::sys::bpf::{self, LoadError, ProgramSpec};
use crate::sys::process;

/// The kernel said no: what, why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    what: String,
    /// What forbids it, where it is a matter of privilege: another way would be refused as well, and what the kernel has
    /// stays unknown.
    privilege: Option<String>,
    advice: Option<String>,
}

impl Refusal {
    pub fn not_here(what: &str) -> Refusal {
        Refusal { what: what.to_owned(), privilege: None, advice: None }
    }

    pub fn is_final(&self) -> bool {
        self.privilege.is_some()
    }

    /// What forbids it in a few words, where it is a matter of privilege.
    pub fn privilege(&self) -> Option<&str> {
        self.privilege.as_deref()
    }

    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    pub fn load(provider: &Provider, hook: &str, failed: LoadError, whole_log: bool) -> Refusal {
        let what = format!("load `{}` for `{hook}`", provider.name);
        if is_privilege(&failed.error) {
            return privilege(what);
        }
        let verdict = verifier::verdict(&failed.log, whole_log);
        let advice =
            if failed.log.is_empty() || whole_log { None } else { Some("--verifier-log to see all of it".to_owned()) };
        Refusal { what: format!("{what}: {}{verdict}", failed.error), privilege: None, advice }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

/// Turns the kernel's EPERM, wherever it came from, into what to do about it.
pub fn refused(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<io::Error>() {
        Some(cause) if is_privilege(cause) => privilege(format!("{error}")).into(),
        _ => error,
    }
}

fn is_privilege(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Why the kernel may say EPERM: a lockdown that no capability opens, capabilities that do not count, or too few of them.
fn privilege(what: String) -> Refusal {
    if let Some(mode) = lockdown() {
        let why = format!("the kernel is locked down ({mode})");
        let advice = "boot without lockdown=confidentiality; no privilege opens it".to_owned();
        return Refusal { what: format!("{what}: {why}"), privilege: Some(why), advice: Some(advice) };
    }
    match missing_privilege() {
        Some(missing) => Refusal {
            what: format!("{what}: not permitted, {}", missing.what),
            privilege: Some(missing.what),
            advice: Some(missing.advice),
        },
        None => {
            let why = "not permitted, though all capabilities are there".to_owned();
            Refusal { what: format!("{what}: {why}"), privilege: Some(why), advice: Some(other_obstacles()) }
        }
    }
}

fn other_obstacles() -> String {
    let mut advice =
        "a container's seccomp profile or an LSM refuses bpf(2): run it on the host, or allow bpf and perf_event_open"
            .to_owned();
    // It was lifted, unless that is not allowed; v5.11 took BPF's memory out of it.
    let locked = process::memlock();
    if locked != libc::RLIM_INFINITY {
        advice += &format!("; before kernel 5.11 also `ulimit -l` (now {} KiB) or cap_sys_resource", locked >> 10);
    }
    advice
}

/// What the process itself lacks, and what to do.
pub struct MissingPrivilege {
    pub what: String,
    pub advice: String,
}

pub fn missing_privilege() -> Option<MissingPrivilege> {
    if in_user_namespace() {
        return Some(MissingPrivilege {
            what: "in a user namespace, where capabilities do not count for BPF".to_owned(),
            advice: "run it outside, not below `unshare --user` or in a rootless container".to_owned(),
        });
    }
    let missing = process::missing_capabilities();
    if missing.is_empty() {
        return None;
    }
    let spoor = std::env::current_exe().map_or_else(|_| "spoor".to_owned(), |path| path.display().to_string());
    Some(MissingPrivilege {
        what: format!("{} missing", missing.join(" and ")),
        advice: format!(
            "run it as root, or once: setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep {spoor}"
        ),
    })
}

/// True in a user namespace other than the first: bpf(2) asks for capabilities in the first one. A map of ids does not
/// tell, it may be the whole of them.
fn in_user_namespace() -> bool {
    use std::os::unix::fs::MetadataExt;
    /// v5.10 include/linux/proc_ns.h: PROC_USER_INIT_INO.
    const FIRST: u64 = 0xEFFF_FFFD;
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != FIRST)
}

/// The mode of kernel lockdown that forbids tracing, if it is on.
pub fn lockdown() -> Option<String> {
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = modes.split('[').nth(1)?.split(']').next()?;
    (mode == "confidentiality").then(|| mode.to_owned())
}

/// Whether the kernel has something, as far as trying tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    Yes,
    /// It refused the thing for what it is.
    No,
    /// It refused for another reason, which says nothing about the thing.
    Unknown(String),
}

impl Support {
    /// EINVAL is what the kernel says to map types and instructions that it does not know (v5.10 kernel/bpf/syscall.c:
    /// find_and_alloc_map; kernel/bpf/verifier.c: check_xadd), ENOTSUPP what a JIT does.
    pub(super) fn of(result: io::Result<()>) -> Support {
        const ENOTSUPP: i32 = 524;
        match result {
            Ok(()) => Support::Yes,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => Support::No,
            Err(error) if is_privilege(&error) => {
                Support::Unknown(missing_privilege().map_or_else(|| error.to_string(), |missing| missing.what))
            }
            Err(error) => Support::Unknown(error.to_string()),
        }
    }
}

/// BPF_CMPXCHG, for who generates code. Where it is not known, nothing loads either.
pub fn compare_exchange() -> bool {
    *compare_exchange_support() == Support::Yes
}

/// BPF_CMPXCHG. Kernel: 5.12.
pub fn compare_exchange_support() -> &'static Support {
    static FEATURE: OnceLock<Support> = OnceLock::new();
    FEATURE.get_or_init(|| {
        Support::of(loads(|asm| {
            asm.store_imm(Size::B8, R10, -8, 0);
            asm.alu_imm(Alu::Mov, R0, 0);
            asm.alu_imm(Alu::Mov, R1, 0);
            asm.compare_exchange(R10, -8, R1);
        }))
    })
}

/// BPF_MAP_TYPE_RINGBUF. Kernel: 5.8.
pub fn ring_buffer() -> Support {
    let spec = bpf::MapSpec {
        name: "feature",
        map_type: bpf::MAP_TYPE_RINGBUF,
        key_bytes: 0,
        value_bytes: 0,
        max_entries: 4096,
        flags: 0,
        inner: None,
    };
    Support::of(bpf::map_create(&spec).map(drop))
}

/// Whether the kernel takes a raw tracepoint program with this body.
fn loads(body: impl FnOnce(&mut Assembler)) -> io::Result<()> {
    let mut asm = Assembler::default();
    body(&mut asm);
    asm.alu_imm(Alu::Mov, R0, 0);
    let mut insns = asm.finish().expect("no jumps").insns;
    insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
    let spec = ProgramSpec {
        name: "feature",
        program_type: bpf::PROG_TYPE_RAW_TRACEPOINT,
        attach_type: 0,
        attach_btf_id: 0,
        insns: &insns,
        license: c"GPL",
    };
    bpf::prog_load(&spec, false).map(drop).map_err(|failed| failed.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_thing_itself_is_no() {
        let support = |errno| Support::of(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(
            (Support::of(Ok(())), support(libc::EINVAL), support(524)),
            (Support::Yes, Support::No, Support::No)
        );
        for errno in [libc::EPERM, libc::EACCES, libc::ENOMEM, libc::E2BIG, libc::EAGAIN] {
            assert!(matches!(support(errno), Support::Unknown(why) if !why.is_empty()), "{errno}");
        }
    }
}
