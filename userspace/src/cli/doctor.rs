//! `spoor doctor`: what this kernel and these privileges allow, found out by trying.
use std::fmt::Write;
use std::fs;

use crate::attach::budget::{self, Limits};
use crate::attach::target::Target;
use crate::attach::{self, Request, btf::Btf, features};
use crate::program::tree::{Action, Clause};
use crate::providers::{PROVIDERS, Provider};
use crate::sys::{bpf, process};

pub fn examine() -> String {
    let mut out = String::new();
    let mut line = |name: &str, verdict: String| {
        let _ = writeln!(out, "{name:<22} {verdict}");
    };
    line("kernel", release());
    line("privileges", privileges());
    line("lockdown", features::lockdown().map_or("no".to_owned(), |mode| format!("{mode}: BPF tracing is refused")));
    line(
        "BTF",
        match Btf::of_running_kernel() {
            Ok(_) => "yes".to_owned(),
            Err(error) => format!("no ({error}): no 32-bit calls told apart, no ppid; raw_tp instead of tp_btf"),
        },
    );
    line("ring buffer", works(features::map_type_works(bpf::MAP_TYPE_RINGBUF, 0, 0, 4096), "--events will not work"));
    line(
        "compare-and-exchange",
        if features::compare_exchange() {
            "yes".to_owned()
        } else {
            "no: not needed, this kernel does not preempt tracing programs".to_owned()
        },
    );
    for provider in PROVIDERS {
        line(&format!("provider {}", provider.name), path_of(provider));
    }
    line("CPUs", format!("{} possible", process::possible_cpus()));
    line(
        "map memory",
        format!(
            "{} MiB for tables unless --map-memory says otherwise",
            budget::default_budget(process::memory_bytes()) >> 20
        ),
    );
    line(
        "PID namespace",
        if attach::target::in_container() {
            "its own: processes outside are not seen with -p".to_owned()
        } else {
            "the first one".to_owned()
        },
    );
    line("cgroup v2", cgroups());
    out
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn privileges() -> String {
    let missing = process::missing_capabilities();
    if missing.is_empty() {
        "enough".to_owned()
    } else {
        format!(
            "{} missing; run as root or: setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep spoor",
            missing.join(" and ")
        )
    }
}

fn works(result: std::io::Result<()>, else_what: &str) -> String {
    match result {
        Ok(()) => "yes".to_owned(),
        Err(error) => format!("no ({error}): {else_what}"),
    }
}

fn cgroups() -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    match mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")) {
        Some(line) => format!("mounted on {}", line.split(' ').nth(1).unwrap_or("?")),
        None => "not mounted: --cgroup will not work (v1 hierarchies have no ids that BPF can compare)".to_owned(),
    }
}

/// How a provider attaches here: the path that was taken, or why none is.
pub fn path_of(provider: &'static Provider) -> String {
    let clause = Clause { predicate: None, action: Action::Aggregate { keys: Vec::new(), columns: Vec::new() } };
    let request = Request {
        provider,
        clause: &clause,
        target: &Target::default(),
        limits: Limits { map_memory: None, max_keys: Some(1) },
        intervals: false,
        ring_bytes: 4096,
        verifier_log: false,
    };
    match attach::enable(&request) {
        Ok(enabled) => {
            let task = if enabled.path.task_direct { "task read directly" } else { "task copied" };
            format!("{}, {task}", enabled.path.name())
        }
        Err(error) => format!("not at all: {error:#}"),
    }
}
