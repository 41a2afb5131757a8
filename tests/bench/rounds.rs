//! Interleaved rounds of one case: everybody in turns, so that what changes on the machine changes for all.
use std::collections::BTreeMap;
use std::path::Path;

use spoor_tests::{Context, Result};

use crate::cases::{Case, Contender, Measure, UNTRACED, What};
use crate::floor::Floor;
use crate::report::{Line, Table};
use crate::stats::middle;
use crate::sys;
use crate::tool::{self, Tool};
use crate::worker::{Hot, Worker};

/// Who is traced, who is not, and where the peers are.
pub struct Stage<'a> {
    pub worker: Worker,
    pub other: Worker,
    pub peers: Option<&'a Path>,
    pub rounds: usize,
}

/// Nanoseconds per call by contender and round; None: did not take part.
type Samples = BTreeMap<&'static str, Vec<Option<f64>>>;

pub fn run(case: &Case, stage: &mut Stage) -> Result<Table> {
    let mut samples = Samples::new();
    let mut table = Table::new(case.name);
    for round in 0..stage.rounds {
        // Nobody is always first after somebody else.
        for turn in 0..case.contenders.len() {
            let contender = &case.contenders[(turn + round) % case.contenders.len()];
            let sits_out = (contender.slow && round % 2 == 1)
                || (matches!(contender.what, What::Bpftrace(_)) && stage.peers.is_none());
            let ns = if sits_out { None } else { one(contender, stage, &mut table).context(contender.name)? };
            samples.entry(contender.name).or_default().push(ns);
        }
        eprint!("\r{}: round {} of {}\x1b[K", case.name, round + 1, stage.rounds);
    }
    eprintln!("\r\x1b[K");
    for contender in case.contenders {
        let all: Vec<f64> = samples[contender.name].iter().flatten().copied().collect();
        if let Some(middle) = middle(&all) {
            table.lines.push(Line::new(contender.name, "ns/call", middle, None));
        }
    }
    for goal in case.goals {
        let (name, unit) = match goal.measure {
            Measure::Added { of, over } => (format!("{of} - {over}"), "ns"),
            Measure::Ratio { of, to } => (format!("{of} / {to}, of what they add"), "x"),
        };
        let per_round = by_round(goal.measure, &samples);
        match middle(&per_round) {
            Some(middle) => table.lines.push(Line::new(&name, unit, middle, goal.at_most)),
            None => table.notes.push(format!("{name}: no round in which both counted every call")),
        }
    }
    Ok(table)
}

fn by_round(measure: Measure, samples: &Samples) -> Vec<f64> {
    let (left, right) = match measure {
        Measure::Added { of, over } => (of, over),
        Measure::Ratio { of, to } => (of, to),
    };
    let rounds = samples[left].iter().zip(&samples[right]).zip(&samples[UNTRACED]);
    rounds
        .filter_map(|((left, right), untraced)| {
            let (left, right, untraced) = ((*left)?, (*right)?, (*untraced)?);
            Some(match measure {
                Measure::Added { .. } => left - right,
                Measure::Ratio { .. } => (left - untraced) / (right - untraced),
            })
        })
        .collect()
}

/// One contender, one round. None where it did not count what the worker did: then its cost means nothing.
fn one(contender: &Contender, stage: &mut Stage, table: &mut Table) -> Result<Option<f64>> {
    let (pid, other) = (stage.worker.pid().to_string(), stage.other.pid().to_string());
    let fill = |text: &str| text.replace("{pid}", &pid).replace("{other}", &other);
    // Another tracer on the machine is paid by everybody: wait until it is gone.
    sys::wait_for_no_bpf_programs()?;
    let mut watched = |tracer: Option<&Tool>, owned: usize| -> Result<Hot> {
        let hot = stage.worker.hot()?;
        let there = sys::bpf_programs()?;
        let expected = owned + tracer.map_or(Ok(0), Tool::programs)?;
        Ok(if there == expected { hot } else { Hot { ns: None, ..hot } })
    };
    let (hot, counted) = match contender.what {
        What::Untraced => (watched(None, 0)?, None),
        What::Floor(tracepoints) => {
            let _attached = Floor::on(tracepoints)?;
            (watched(None, tracepoints.len())?, None)
        }
        What::Spoor(args) => {
            let mut args: Vec<String> = args.iter().map(|arg| fill(arg)).collect();
            args.extend(["--format".to_owned(), "json".to_owned()]);
            let tool = Tool::spoor(&args, true)?;
            let hot = watched(Some(&tool), 0)?;
            (hot, Some(tool::spoor_counted(&tool.interrupt()?.stdout)?))
        }
        What::Bpftrace(program) => {
            let program = fill(program);
            let tool = Tool::bpftrace(stage.peers.context("there are peers")?, &program, true)?;
            let hot = watched(Some(&tool), 0)?;
            (hot, Some(tool::bpftrace_counted(&tool.interrupt()?.stdout)?))
        }
    };
    let due = if contender.hears { hot.calls } else { 0 };
    match counted {
        Some(counted) if counted != due => {
            table.notes.push(format!("{} counted {counted} calls, not {due}: this round is left out", contender.name));
            Ok(None)
        }
        _ => Ok(hot.ns),
    }
}
