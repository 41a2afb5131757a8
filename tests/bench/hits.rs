//! What the programs of `spoor func` take for each hit, by the kernel's own account of their run time. The trap that a
//! uprobe is costs 50 times as much and is everybody's: of that, nothing could be seen in the time of a call.
use std::collections::BTreeMap;
use std::path::Path;

use spoor_tests::{Context, Result, binaries, elf};

use crate::counted;
use crate::floor::Floor;
use crate::once::push;
use crate::report::Table;
use crate::rounds::Stage;
use crate::stats::median;
use crate::sys;
use crate::tool::{self, Tool};

/// What the worker calls: `{tracee}` in a program is the library that has it, as it is seen from the worker's root.
const FUNCTION: &str = "tracee_add";
/// Read after each batch, so that one in which somebody else had the core is not the others'.
const BATCH_HITS: u64 = 2_000;
const BATCHES: usize = 10;

pub struct Hits {
    name: &'static str,
    /// Entry and return, or the entry alone.
    returns: bool,
    /// The first is what a run that does nothing takes, most of which is the kernel's reading of the clock.
    contenders: &'static [(&'static str, Who)],
    /// ns of the first of spoor's.
    at_most_ns: f64,
    /// Pairs that do the same, theirs last.
    ratios: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy)]
enum Who {
    Empty,
    Spoor(&'static [&'static str]),
    Bpftrace(&'static str),
    /// With -p, which keeps its probes in the process as spoor's -p does.
    BpftraceIn(&'static str),
}

const EMPTY: &str = "empty";

pub const COUNT: Hits = Hits {
    name: "func-count",
    returns: false,
    contenders: &[
        (EMPTY, Who::Empty),
        ("spoor -p", Who::Spoor(&["func", "libtracee:tracee_add", "-p", "{pid}"])),
        ("spoor", Who::Spoor(&["func", "{library}:tracee_add"])),
        ("bpftrace -p, @[probe]", Who::BpftraceIn("uprobe:{tracee}:tracee_add { @[probe] = count(); }")),
        ("bpftrace -p, @[func]", Who::BpftraceIn("uprobe:{tracee}:tracee_add { @[func] = count(); }")),
        ("bpftrace, @[probe]", Who::Bpftrace("uprobe:{tracee}:tracee_add { @[probe] = count(); }")),
    ],
    at_most_ns: 60.0,
    ratios: &[
        ("spoor -p", "bpftrace -p, @[probe]"),
        ("spoor -p", "bpftrace -p, @[func]"),
        ("spoor", "bpftrace, @[probe]"),
    ],
};

pub const LATENCY: Hits = Hits {
    name: "func-latency",
    returns: true,
    contenders: &[
        (EMPTY, Who::Empty),
        // Calls, total, average, two percentiles and the longest.
        ("spoor -L -p", Who::Spoor(&["func", "-L", "libtracee:tracee_add", "-p", "{pid}"])),
        (
            "spoor quantize -p",
            Who::Spoor(&["func", "--by", "func", "--agg", "quantize(elapsed)", "libtracee:tracee_add", "-p", "{pid}"]),
        ),
        (
            "spoor avg -p",
            Who::Spoor(&[
                "func",
                "--by",
                "func",
                "--agg",
                "count()",
                "--agg",
                "avg(elapsed)",
                "libtracee:tracee_add",
                "-p",
                "{pid}",
            ]),
        ),
        (
            "bpftrace hist -p",
            Who::BpftraceIn(
                "uprobe:{tracee}:tracee_add { @s[tid] = nsecs; } uretprobe:{tracee}:tracee_add /@s[tid]/ \
                 { @[probe] = hist(nsecs - @s[tid]); delete(@s, tid); }",
            ),
        ),
        (
            "bpftrace stats -p",
            Who::BpftraceIn(
                "uprobe:{tracee}:tracee_add { @s[tid] = nsecs; } uretprobe:{tracee}:tracee_add /@s[tid]/ \
                 { @[probe] = stats(nsecs - @s[tid]); delete(@s, tid); }",
            ),
        ),
    ],
    at_most_ns: 200.0,
    ratios: &[
        ("spoor -L -p", "bpftrace hist -p"),
        ("spoor quantize -p", "bpftrace hist -p"),
        ("spoor avg -p", "bpftrace stats -p"),
    ],
};

pub fn hits(stage: &mut Stage, case: &Hits) -> Result<Table> {
    let mut table = Table::new(case.name);
    let library = binaries::tracee_library();
    // Spoor looks for the library among those that the worker has loaded.
    stage.worker.ask(&format!("load {}", library.display()))?;
    let _counting = sys::count_runs().context("have the kernel count runs (5.8)")?;
    let mut samples: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for round in 0..stage.rounds {
        for turn in 0..case.contenders.len() {
            let (name, who) = case.contenders[(turn + round) % case.contenders.len()];
            let absent = matches!(who, Who::Bpftrace(_) | Who::BpftraceIn(_)) && stage.peers.is_none();
            let ns =
                if absent { None } else { one(name, who, case.returns, &library, stage, &mut table).context(name)? };
            samples.entry(name).or_default().push(ns);
        }
        eprint!("\r{}: round {} of {}\x1b[K", case.name, round + 1, stage.rounds);
    }
    eprintln!("\r\x1b[K");
    let both = |left: &str, right: &str, of: fn(f64, f64, f64) -> f64| -> Vec<f64> {
        let rounds = samples[left].iter().zip(&samples[right]).zip(&samples[EMPTY]);
        rounds.filter_map(|((left, right), empty)| Some(of((*left)?, (*right)?, (*empty)?))).collect()
    };
    let mut goal = Some(case.at_most_ns);
    for (name, who) in case.contenders {
        let all: Vec<f64> = samples[name].iter().flatten().copied().collect();
        let at_most = if matches!(who, Who::Spoor(_)) { goal.take() } else { None };
        push(&mut table, name, "ns/hit", &all, at_most);
    }
    for (name, _) in &case.contenders[1..] {
        push(
            &mut table,
            &format!("{name} - {EMPTY}"),
            "ns/hit",
            &both(name, name, |left, _, empty| left - empty),
            None,
        );
    }
    for (ours, theirs) in case.ratios {
        let ratios = both(ours, theirs, |ours, theirs, _| ours / theirs);
        push(&mut table, &format!("{ours} / {theirs}"), "x", &ratios, Some(0.8));
        let beyond = both(ours, theirs, |ours, theirs, empty| (ours - empty) / (theirs - empty));
        push(&mut table, &format!("{ours} / {theirs}, less {EMPTY}"), "x", &beyond, None);
    }
    Ok(table)
}

/// One contender, one round: the median of the batches. None where it did not hear of all calls.
fn one(
    name: &str,
    who: Who,
    returns: bool,
    library: &Path,
    stage: &mut Stage,
    table: &mut Table,
) -> Result<Option<f64>> {
    let pid = stage.worker.pid();
    let fill = |text: &str| {
        let tracee = format!("/proc/{pid}/root{}", library.display());
        text.replace("{tracee}", &tracee)
            .replace("{library}", &library.to_string_lossy())
            .replace("{pid}", &pid.to_string())
    };
    let peers = || stage.peers.context("there are no peers");
    let (mut tool, mut floor) = (None, None);
    match who {
        Who::Empty => {
            floor = Some(Floor::on_functions(library, &[elf::file_offset(library, FUNCTION)?], pid, returns)?)
        }
        Who::Spoor(args) => {
            let json = ["--format", "json"];
            let args: Vec<String> = args.iter().chain(&json).map(|arg| fill(arg)).collect();
            tool = Some(Tool::spoor(&args, true)?);
        }
        Who::Bpftrace(program) => tool = Some(Tool::bpftrace(peers()?, &fill(program), None, true)?),
        Who::BpftraceIn(program) => tool = Some(Tool::bpftrace(peers()?, &fill(program), Some(pid), true)?),
    }
    let owner = tool.as_ref().map_or(std::process::id(), Tool::pid);
    let programs = if returns { 2 } else { 1 };
    let mut batches = Vec::new();
    let mut before = runs(owner)?;
    for _ in 0..BATCHES {
        stage.worker.ask(&format!("calls {BATCH_HITS}"))?;
        let after = runs(owner)?;
        let mut took_ns = Vec::new();
        for (id, (ns, count)) in &after {
            let (ns_before, count_before) = before.get(id).copied().unwrap_or_default();
            if count - count_before == BATCH_HITS {
                took_ns.push((ns - ns_before) as f64 / BATCH_HITS as f64);
            }
        }
        if took_ns.len() == programs {
            batches.push(took_ns.iter().sum());
        }
        before = after;
    }
    drop(floor);
    let due = BATCH_HITS * BATCHES as u64;
    let heard = match (who, tool) {
        (Who::Spoor(_), Some(tool)) => counted::spoor_hits(&tool.interrupt()?.stdout)?,
        (_, Some(tool)) => counted::bpftrace_hits(&tool.interrupt()?.stdout)?,
        (_, None) => due,
    };
    if heard != due || batches.len() != BATCHES {
        let many = batches.len();
        let note =
            format!("{name} counted {heard} of {due}, {many} of {BATCHES} batches are whole: this round is left out");
        table.notes.push(note);
        return Ok(None);
    }
    Ok(median(&batches))
}

/// Run time, ns, and number of runs of each program that a process holds, by their ids.
fn runs(pid: u32) -> Result<BTreeMap<u64, (u64, u64)>> {
    let number = |info: &str, name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    let of =
        |info: String| Some((number(&info, "prog_id:")?, (number(&info, "run_time_ns:")?, number(&info, "run_cnt:")?)));
    Ok(tool::fd_infos(pid)?.filter_map(of).collect())
}
