//! Interleaved rounds of one case: everybody in turns, so that what changes on the machine changes for all.
use std::collections::BTreeMap;
use std::path::Path;

use spoor_tests::{Context, Result};

use crate::cases::{Case, Contender, Measure, UNTRACED, What, Work};
use crate::counted;
use crate::floor::Floor;
use crate::report::{Line, Table};
use crate::stats::middle;
use crate::sys;
use crate::tool::Tool;
use crate::worker::Worker;

/// Who is traced, who is not, and where the peers are.
pub struct Stage<'a> {
    pub worker: Worker,
    pub other: Worker,
    pub peers: Option<&'a Path>,
    pub rounds: usize,
    /// A short look: shorter windows, too.
    pub quick: bool,
    /// Processes that do nothing, started when somebody asks for that many.
    pub idle: Vec<Worker>,
}

impl Stage<'_> {
    /// The tool of a contender, attached; None: it is none.
    pub fn start(&mut self, what: What, pinned: bool) -> Result<Option<Tool>> {
        let peers = self.peers;
        let peers = || peers.context("there are no peers");
        Ok(Some(match what {
            What::Untraced | What::Floor(_) | What::Stacks(_) => return Ok(None),
            What::Spoor(args) => {
                let mut args = self.fill_all(args)?;
                args.extend(["--format".to_owned(), "json".to_owned()]);
                Tool::spoor(&args, pinned)?
            }
            What::Bpftrace(program) => Tool::bpftrace(peers()?, &self.fill(program)?, None, pinned)?,
            What::Peer(command, links) => {
                Tool::peer(peers()?, &self.fill_all(command)?, links, self.worker.pid(), pinned)?
            }
        }))
    }

    fn fill_all(&mut self, texts: &[&str]) -> Result<Vec<String>> {
        texts.iter().map(|text| self.fill(text)).collect()
    }

    fn fill(&mut self, text: &str) -> Result<String> {
        let mut text =
            text.replace("{pid}", &self.worker.pid().to_string()).replace("{other}", &self.other.pid().to_string());
        for (open, between) in [("{pids ", ","), ("{pid of ", " || pid == ")] {
            if let Some((before, rest)) = text.split_once(open) {
                let (number, after) = rest.split_once('}').context("a brace that closes")?;
                let among = self.among(number.parse()?)?.join(between);
                let first = if between == "," { "" } else { "pid == " };
                text = format!("{before}{first}{among}{after}");
            }
        }
        Ok(text)
    }

    /// So many processes, the worker in the middle.
    fn among(&mut self, many: usize) -> Result<Vec<String>> {
        while self.idle.len() + 1 < many {
            self.idle.push(Worker::start()?);
        }
        let mut pids: Vec<String> = self.idle[..many - 1].iter().map(|worker| worker.pid().to_string()).collect();
        pids.insert(pids.len() / 2, self.worker.pid().to_string());
        Ok(pids)
    }
}

/// Nanoseconds by contender and round; None: did not take part.
type Samples = BTreeMap<&'static str, Vec<Option<f64>>>;

pub fn run(case: &Case, stage: &mut Stage) -> Result<Table> {
    let mut samples = Samples::new();
    let mut table = Table::new(case.name);
    for round in 0..stage.rounds {
        // Nobody is always first after somebody else.
        for turn in 0..case.contenders.len() {
            let contender = &case.contenders[(turn + round) % case.contenders.len()];
            let sits_out = (contender.slow && round % 2 == 1)
                || (matches!(contender.what, What::Bpftrace(_) | What::Peer(..)) && stage.peers.is_none());
            let ns =
                if sits_out { None } else { one(contender, case.work, stage, &mut table).context(contender.name)? };
            samples.entry(contender.name).or_default().push(ns);
        }
        eprint!("\r{}: round {} of {}\x1b[K", case.name, round + 1, stage.rounds);
    }
    eprintln!("\r\x1b[K");
    for contender in case.contenders {
        let all: Vec<f64> = samples[contender.name].iter().flatten().copied().collect();
        if let Some(middle) = middle(&all) {
            table.lines.push(Line::new(contender.name, case.work.unit(), middle, None));
        }
    }
    for goal in case.goals {
        let (name, unit) = match goal.measure {
            Measure::Added { of, over } => (format!("{of} - {over}"), "ns"),
            Measure::Ratio { of, to } => (format!("{of} / {to}, of what they add"), "x"),
            Measure::Kept { of } => (format!("{of}: throughput kept"), "x"),
        };
        let per_round = by_round(goal.measure, &samples);
        match middle(&per_round) {
            Some(middle) => table.lines.push(Line::new(&name, unit, middle, goal.limit)),
            None => table.notes.push(format!("{name}: no round in which both heard of everything")),
        }
    }
    Ok(table)
}

fn by_round(measure: Measure, samples: &Samples) -> Vec<f64> {
    let (left, right) = match measure {
        Measure::Added { of, over } => (of, over),
        Measure::Ratio { of, to } => (of, to),
        Measure::Kept { of } => (of, UNTRACED),
    };
    let rounds = samples[left].iter().zip(&samples[right]).zip(&samples[UNTRACED]);
    rounds
        .filter_map(|((left, right), untraced)| {
            let (left, right, untraced) = ((*left)?, (*right)?, (*untraced)?);
            Some(match measure {
                Measure::Added { .. } => left - right,
                Measure::Ratio { .. } => (left - untraced) / (right - untraced),
                Measure::Kept { .. } => untraced / left,
            })
        })
        .collect()
}

/// One contender, one round. None where it did not count what the worker did: then its cost means nothing.
fn one(contender: &Contender, work: Work, stage: &mut Stage, table: &mut Table) -> Result<Option<f64>> {
    // Another tracer on the machine is paid by everybody: wait until it is gone.
    sys::wait_for_no_bpf_programs()?;
    let worker_pid = stage.worker.pid();
    let tool = stage.start(contender.what, true)?;
    let floor = match contender.what {
        What::Floor(tracepoints) => Some((Floor::on(tracepoints)?, tracepoints.len())),
        What::Stacks(tracepoints) => Some((Floor::taking_stacks(tracepoints, worker_pid)?, tracepoints.len())),
        _ => None,
    };
    let hot = stage.worker.hot(work.command())?;
    let expected = tool.as_ref().map_or(Ok(0), Tool::programs)? + floor.as_ref().map_or(0, |(_, programs)| *programs);
    let alone = sys::bpf_programs()? == expected;
    if let Some(tool) = tool {
        let heard = counted::of(contender.what, work, &tool.interrupt()?)?;
        let due = if contender.hears { hot.due } else { 0 };
        if !counted::is_all(heard, due, work) {
            table.notes.push(format!("{} counted {heard}, not {due}: this round is left out", contender.name));
            return Ok(None);
        }
    }
    Ok(hot.ns.filter(|_| alone))
}
