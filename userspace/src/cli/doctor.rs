//! `spoor doctor`: what this kernel and these privileges allow, found out by trying.
use std::fmt::Write;
use std::fs;

use anyhow::Result;

use crate::attach::budget::{self, Limits};
use crate::attach::features::{self, Refusal, Support};
use crate::attach::points::{FENTRY_MAX, How, support};
use crate::attach::sampling::{EVENTS, Sampling};
use crate::attach::target::Target;
use crate::attach::{self, Request};
use crate::btf::Btf;
use crate::program::tree::{Action, Clause};
use crate::providers::{PROVIDERS, Provider};
use crate::sys::process;
use crate::sys::tracefs::Tracefs;

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
    line("ring buffer", verdict(&features::ring_buffer(), "--events will not work"));
    line(
        "compare-and-exchange",
        verdict(
            features::compare_exchange_support(),
            "not needed, this kernel does not preempt tracing programs; a hot key costs some 50 ns more",
        ),
    );
    for provider in PROVIDERS {
        let path = match path_of(provider) {
            Ok(path) => path,
            Err(error) => match error.downcast_ref::<Refusal>().and_then(Refusal::privilege) {
                Some(why) => format!("unknown ({why})"),
                None => format!("not at all: {error:#}"),
            },
        };
        line(&format!("provider {}", provider.name), path);
    }
    line("user functions", user_functions());
    line("kernel functions", kernel_functions());
    line("attach cookies", cookies());
    line("tracepoints", tracepoints());
    line("events to sample", events());
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
    match features::missing_privilege() {
        None => "enough".to_owned(),
        Some(missing) => format!("not enough: {}; {}", missing.what, missing.advice),
    }
}

fn verdict(support: &Support, without: &str) -> String {
    match support {
        Support::Yes => "yes".to_owned(),
        Support::No => format!("no: {without}"),
        Support::Unknown(why) => format!("unknown ({why})"),
    }
}

/// For --event of `spoor profile`.
fn events() -> String {
    let (here, not_here): (Vec<_>, Vec<_>) =
        EVENTS.iter().map(|event| (event.name, event.works())).partition(|(_, works)| works.is_ok());
    let names =
        |events: &[(&str, std::io::Result<()>)]| events.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match not_here.first() {
        None => names(&here),
        Some((_, Err(error))) if here.is_empty() => format!("none ({error})"),
        Some(_) => format!("{}; not here: {}", names(&here), names(&not_here)),
    }
}

/// What has to be said where each point is detached by itself (measured on 5.10 to 6.1).
const SLOW: &str = "one by one, each takes 0.1 s and more to detach";

/// Points in files, for `spoor func`.
fn user_functions() -> String {
    if let Some(missing) = features::missing_privilege() {
        return format!("unknown ({})", missing.what);
    }
    let multi = support::uprobe_multi();
    match support::user_functions() {
        Ok(How::UprobeMulti) if multi.exact => "uprobe.multi, in the processes that are meant and no others".to_owned(),
        Ok(How::UprobeMulti) => {
            "uprobe.multi, in all processes that run the code: this kernel takes a process for a thread (before 6.10)"
                .to_owned()
        }
        Ok(how) => {
            let why = support::without(&[(How::UprobeMulti, &multi.multi)]);
            format!("{}, {SLOW} ({why})", how.name())
        }
        Err(why) => format!("not at all: {why}"),
    }
}

fn kernel_functions() -> String {
    if let Some(missing) = features::missing_privilege() {
        return format!("unknown ({})", missing.what);
    }
    let named = |how: How| if how.is_slow() { format!("{}, {SLOW}", how.name()) } else { how.name().to_owned() };
    match support::kernel_functions() {
        Ok((few, many)) if few != many => format!("{} of up to {FENTRY_MAX}, else {}", few.name(), named(many)),
        Ok((How::Fentry, _)) => {
            let others = [(How::KprobeMulti, support::kprobe_multi()), (How::Kprobe, support::kprobe())];
            format!("fentry of up to {FENTRY_MAX}, and no more ({})", support::without(&others))
        }
        Ok((how, _)) => format!("{} ({})", named(how), support::without(&[(How::Fentry, support::fentry())])),
        Err(why) => format!("not at all: {why}"),
    }
}

fn cookies() -> String {
    match features::missing_privilege() {
        Some(missing) => format!("unknown ({})", missing.what),
        None if support::cookies() => "yes".to_owned(),
        None => "no: a program for each point (before 5.15)".to_owned(),
    }
}

fn tracepoints() -> String {
    if let Some(missing) = features::missing_privilege() {
        return format!("unknown ({})", missing.what);
    }
    let place = match Tracefs::open() {
        Ok(tracefs) => match tracefs.mounted() {
            Some(place) => format!("tracefs is mounted on {}", place.display()),
            None => "tracefs is not mounted, spoor mounts it for itself".to_owned(),
        },
        Err(error) => format!("tracefs is not where spoor may read it, nor can it be mounted: {error}"),
    };
    match support::tracepoints() {
        Support::Yes => format!("yes; {place}"),
        Support::No => format!("no; {place}"),
        Support::Unknown(why) => format!("unknown ({why}); {place}"),
    }
}

/// For points: the ways that are open here.
fn ways_to_points() -> String {
    let user = support::user_functions().ok();
    let (few, many) = support::kernel_functions().ok().unzip();
    let tracepoint = (*support::tracepoints() == Support::Yes).then_some(How::Tracepoint);
    let mut ways: Vec<How> = [user, few, many, tracepoint].into_iter().flatten().collect();
    ways.dedup();
    let names: Vec<&str> = ways.iter().map(|how| how.name()).collect();
    let without = if few.is_none() { "; no kernel functions" } else { "" };
    format!("{}{without}", names.join(", "))
}

fn cgroups() -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    match mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")) {
        Some(line) => format!("mounted on {}", line.split(' ').nth(1).unwrap_or("?")),
        None => "not mounted: --cgroup will not work (v1 hierarchies have no ids that BPF can compare)".to_owned(),
    }
}

/// How a provider attaches here: the path that was taken.
pub fn path_of(provider: &'static Provider) -> Result<String> {
    let clause = Clause { predicate: None, action: Action::Aggregate { keys: Vec::new(), columns: Vec::new() } };
    let sampling = provider.sampler.map(|_| Sampling { event: EVENTS[0], hz: None });
    let enabled = attach::enable(&Request {
        provider,
        clause: &clause,
        target: &Target::default(),
        limits: Limits { map_memory: None, max_keys: Some(1) },
        intervals: false,
        ring_bytes: 4096,
        sampling,
        points: None,
        facts: 0,
        verifier_log: false,
    })?;
    let task = if enabled.path.task_direct { "task read directly" } else { "task copied" };
    if provider.points.is_some() {
        return Ok(ways_to_points());
    }
    if provider.sampler.is_some() {
        return Ok(format!("perf events, {task}"));
    }
    Ok(format!("{}, {task}", enabled.path.name()))
}
