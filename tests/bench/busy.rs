//! What a profiler takes from CPUs that are all busy: the time that the victims' arithmetic does not account for though they
//! are on the CPU, and the CPU time of the tool itself.
use std::collections::BTreeMap;

use spoor_tests::{Context, Result, bail};

use crate::cases::{Links, UNTRACED, What};
use crate::counted;
use crate::once::{ms, push};
use crate::paths;
use crate::report::Table;
use crate::rounds::Stage;
use crate::stats::median;
use crate::sys;
use crate::tool::Ended;
use crate::worker;

const HZ: f64 = 999.0;
const WINDOW_MS: u64 = 1_000;
const DEPTH: u64 = 12;
/// A few microseconds: less than what an interruption takes would be lost among them.
const CHUNK_ROUNDS: u64 = 4_000;

const CONTENDERS: [(&str, What); 5] = [
    (UNTRACED, What::Untraced),
    ("spoor", What::Spoor(&["profile", "-F", "999", "--top", "0"])),
    ("spoor -p", What::Spoor(&["profile", "-F", "999", "--top", "0", "-p", "{pid}", "-p", "{other}"])),
    ("profile-libbpf", What::Peer(&["/usr/sbin/profile-libbpf", "-F", "999"], Links::EachCpu)),
    ("bpftrace", What::Bpftrace("profile:hz:999 { @[kstack, ustack] = count(); }")),
];

/// `busy CPU MILLISECONDS`: `chunks-a-second ns-a-second-that-no-chunk-accounts-for ns-a-second-that-others-ran`.
pub fn spin_on(cpu: usize, window_ms: u64) -> Result<String> {
    sys::pin(cpu)?;
    let mut chunks = Vec::with_capacity(1 << 20);
    let waited_before_ns = waited_ns()?;
    let begin = sys::now_ns();
    let end = begin + window_ms * 1_000_000;
    let mut now = begin;
    while now < end && chunks.len() < chunks.capacity() {
        paths::enter(0, DEPTH, paths::spin, CHUNK_ROUNDS);
        let then = now;
        now = sys::now_ns();
        chunks.push((now - then) as f64);
    }
    let waited_ns = (waited_ns()? - waited_before_ns) as f64;
    sys::pin(worker::CPU)?;
    // What a chunk takes when nobody comes in between. The median follows the speed of the core, which is the host's.
    let usual = median(&chunks).context("a chunk")?;
    let taken = (now - begin) as f64 - usual * chunks.len() as f64 - waited_ns;
    let seconds = (now - begin) as f64 / 1e9;
    Ok(format!("{:.0} {:.0} {:.0}", chunks.len() as f64 / seconds, taken / seconds, waited_ns / seconds))
}

/// How long this thread was ready to run while others did.
fn waited_ns() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split_whitespace().nth(1).context("the time on the run queue")?.parse()?)
}

/// One window of one contender, of both CPUs together.
#[derive(Clone, Copy)]
struct Window {
    /// Chunks a second.
    speed: f64,
    /// Share of the time that no chunk accounts for, %; and that others ran instead, the tool among them.
    taken: f64,
    waited: f64,
    /// The tool's own CPU time: before the window, in it as a share of both CPUs, and after it.
    starting_ms: f64,
    own: f64,
    ending_ms: f64,
}

pub fn profile(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("profile");
    let mut windows: BTreeMap<&str, Vec<Option<Window>>> = BTreeMap::new();
    let rounds = if stage.quick { 1 } else { stage.rounds };
    for round in 0..rounds {
        for turn in 0..CONTENDERS.len() {
            let (name, what) = CONTENDERS[(turn + round) % CONTENDERS.len()];
            let absent = matches!(what, What::Bpftrace(_) | What::Peer(..)) && stage.peers.is_none();
            let window = if absent { None } else { window(name, what, stage, &mut table).context(name)? };
            windows.entry(name).or_default().push(window);
        }
        eprint!("\rprofile: round {} of {rounds}\x1b[K", round + 1);
    }
    eprintln!("\r\x1b[K");
    // Percent of both CPUs, beside the untraced window of the same round.
    let beside = |name: &str, of: fn(&Window, &Window) -> f64| -> Vec<Option<f64>> {
        let rounds = windows[name].iter().zip(&windows[UNTRACED]);
        rounds.map(|(traced, untraced)| Some(of(traced.as_ref()?, untraced.as_ref()?))).collect()
    };
    let cost = |name: &str| beside(name, |traced, untraced| traced.taken - untraced.taken + traced.own);
    let flat = |samples: Vec<Option<f64>>| samples.into_iter().flatten().collect::<Vec<f64>>();
    let of = |name: &str, of: fn(&Window) -> f64| windows[name].iter().flatten().map(of).collect::<Vec<f64>>();
    push(&mut table, "untraced: taken by interrupts", "%", &of(UNTRACED, |window| window.taken), None);
    push(&mut table, "untraced: others ran", "%", &of(UNTRACED, |window| window.waited), None);
    for (name, _) in &CONTENDERS[1..] {
        let goal = name.starts_with("spoor").then_some(1.0);
        push(&mut table, &format!("{name}: taken - untraced + own CPU"), "%", &flat(cost(name)), goal);
        let slower = beside(name, |traced, untraced| (1.0 - traced.speed / untraced.speed) * 100.0);
        push(&mut table, &format!("{name}: less work done"), "%", &flat(slower), None);
        push(&mut table, &format!("{name}: own CPU"), "%", &of(name, |window| window.own), None);
        push(&mut table, &format!("{name}: own CPU to start"), "ms", &of(name, |window| window.starting_ms), None);
        push(&mut table, &format!("{name}: own CPU to end"), "ms", &of(name, |window| window.ending_ms), None);
    }
    for peer in ["profile-libbpf", "bpftrace"] {
        let ours = cost("spoor").into_iter().zip(cost(peer));
        let ratios: Vec<f64> = ours.filter_map(|(ours, theirs)| Some(ours? / theirs?)).collect();
        push(&mut table, &format!("spoor / {peer}, of what they take"), "x", &ratios, Some(1.0));
    }
    Ok(table)
}

/// None where samples are missing: then its cost means nothing.
fn window(name: &str, what: What, stage: &mut Stage, table: &mut Table) -> Result<Option<Window>> {
    sys::wait_for_no_bpf_programs()?;
    let tool = stage.start(what, false)?;
    let cpu_ms = || tool.as_ref().map_or(Ok(0.0), |tool| tool.cpu().map(ms));
    let before = cpu_ms()?;
    for (cpu, victim) in [&mut stage.worker, &mut stage.other].into_iter().enumerate() {
        victim.tell(&format!("busy {cpu} {WINDOW_MS}"))?;
    }
    let (mut speed, mut taken, mut waited) = (0.0, 0.0, 0.0);
    for victim in [&mut stage.worker, &mut stage.other] {
        let answer = victim.answer()?;
        let [chunks, taken_ns, waited_ns] = answer[..] else { bail!("the worker says {answer:?}") };
        speed += chunks;
        taken += taken_ns / 1e9 * 100.0 / 2.0;
        waited += waited_ns / 1e9 * 100.0 / 2.0;
    }
    let after = cpu_ms()?;
    let own = (after - before) / (2.0 * WINDOW_MS as f64) * 100.0;
    let mut window = Window { speed, taken, waited, starting_ms: before, own, ending_ms: 0.0 };
    if let Some(tool) = tool {
        let end = tool.interrupt()?;
        window.ending_ms = ms(end.usage.cpu) - after;
        let due = HZ * 2.0 * WINDOW_MS as f64 / 1e3 * (1.0 - waited / 100.0);
        let samples = samples(what, &end)?;
        if samples < due * 0.95 {
            table.notes.push(format!("{name} has {samples} samples of {due:.0}: this round is left out"));
            return Ok(None);
        }
    }
    Ok(Some(window))
}

fn samples(what: What, end: &Ended) -> Result<f64> {
    Ok(match what {
        What::Spoor(_) => {
            let report = counted::spoor_report(&end.stdout)?;
            let rows = report["rows"].as_array().context("rows")?;
            rows.iter().filter_map(|row| row["values"]["count"].as_f64()).sum()
        }
        What::Bpftrace(_) => counted::bpftrace_sum(&end.stdout) as f64,
        _ => counted::listed_sum(&end.stdout) as f64,
    })
}
