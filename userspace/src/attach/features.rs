//! What the running kernel can do, found out by trying; and its refusals in words.
use std::fmt;
use std::io;
use std::sync::OnceLock;

use super::verifier;
use crate::program::insn::{Alu, Assembler, Insn, R0, R1, R10, Size};
use crate::providers::{Probe, Provider};
use crate::sys::bpf::{self, LoadError, ProgramSpec};
use crate::sys::process;

/// The kernel said no: what, why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    what: String,
    advice: Option<String>,
    /// Another way would be refused as well.
    fatal: bool,
}

impl Refusal {
    pub fn not_here(what: &str) -> Refusal {
        Refusal { what: what.to_owned(), advice: None, fatal: false }
    }

    pub fn is_final(&self) -> bool {
        self.fatal
    }

    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    pub fn load(provider: &Provider, probe: &Probe, failed: LoadError, whole_log: bool) -> Refusal {
        let what = format!("load `{}` for tracepoint `{}`", provider.name, probe.tracepoint);
        if is_privilege(&failed.error) {
            return privilege(what);
        }
        let verdict = verifier::verdict(&failed.log, whole_log);
        let advice =
            if failed.log.is_empty() || whole_log { None } else { Some("--verifier-log to see all of it".to_owned()) };
        Refusal { what: format!("{what}: {}{verdict}", failed.error), advice, fatal: false }
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

/// Why the kernel may say EPERM: too few capabilities, or a lockdown that no capability opens.
fn privilege(what: String) -> Refusal {
    let missing = process::missing_capabilities();
    if let Some(mode) = lockdown() {
        return Refusal {
            what: format!("{what}: the kernel is locked down ({mode})"),
            advice: Some("boot without lockdown=confidentiality; no privilege opens it".to_owned()),
            fatal: true,
        };
    }
    if missing.is_empty() {
        let mut advice =
            "a container's seccomp profile or an LSM refuses bpf(2): run it on the host, or allow bpf and perf_event_open"
                .to_owned();
        // It was lifted, unless that is not allowed; v5.11 took BPF's memory out of it.
        let locked = process::memlock();
        if locked != libc::RLIM_INFINITY {
            advice += &format!("; before kernel 5.11 also `ulimit -l` (now {} KiB) or cap_sys_resource", locked >> 10);
        }
        return Refusal {
            what: format!("{what}: not permitted, though all capabilities are there"),
            advice: Some(advice),
            fatal: true,
        };
    }
    let spoor = std::env::current_exe().map_or_else(|_| "spoor".to_owned(), |path| path.display().to_string());
    Refusal {
        what: format!("{what}: not permitted, {} missing", missing.join(" and ")),
        advice: Some(format!(
            "run it as root, or once: setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep {spoor}"
        )),
        fatal: true,
    }
}

/// The mode of kernel lockdown that forbids tracing, if it is on.
pub fn lockdown() -> Option<String> {
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = modes.split('[').nth(1)?.split(']').next()?;
    (mode == "confidentiality").then(|| mode.to_owned())
}

/// BPF_CMPXCHG. Kernel: 5.12.
pub fn compare_exchange() -> bool {
    static FEATURE: OnceLock<bool> = OnceLock::new();
    *FEATURE.get_or_init(|| {
        loads(|asm| {
            asm.store_imm(Size::B8, R10, -8, 0);
            asm.alu_imm(Alu::Mov, R0, 0);
            asm.alu_imm(Alu::Mov, R1, 0);
            asm.compare_exchange(R10, -8, R1);
        })
    })
}

/// Whether the kernel takes a raw tracepoint program with this body.
fn loads(body: impl FnOnce(&mut Assembler)) -> bool {
    let mut asm = Assembler::default();
    body(&mut asm);
    asm.alu_imm(Alu::Mov, R0, 0);
    let Ok(code) = asm.finish() else { return false };
    let mut insns = code.insns;
    insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
    let spec = ProgramSpec {
        name: "feature",
        program_type: bpf::PROG_TYPE_RAW_TRACEPOINT,
        attach_type: 0,
        attach_btf_id: 0,
        insns: &insns,
        license: c"GPL",
    };
    bpf::prog_load(&spec, false).is_ok()
}

/// Result of creating one map of a type: whether the kernel has it.
pub fn map_type_works(map_type: u32, key_bytes: u32, value_bytes: u32, max_entries: u32) -> io::Result<()> {
    let spec = bpf::MapSpec { name: "feature", map_type, key_bytes, value_bytes, max_entries, flags: 0, inner: None };
    bpf::map_create(&spec).map(drop)
}
