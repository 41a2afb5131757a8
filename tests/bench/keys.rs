//! How everything grows with the number of keys: an event, the report, memory, loss; and what spoor itself takes.
use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use spoor_tests::folder::Folder;
use spoor_tests::{Result, bail, ensure};

use crate::once::{kernel_bytes, lost, ms, push, words};
use crate::report::Table;
use crate::rounds::Stage;
use crate::sys;
use crate::tool::Tool;

const KEYS: [u64; 4] = [1, 1_000, 100_000, 1_000_000];
const MB: f64 = 1e6;

/// One run with so many keys; without a tool, what the calls take alone.
#[derive(Default)]
struct Runs {
    first_ns: Vec<f64>,
    again_ns: Vec<f64>,
    ending_ms: Vec<f64>,
    own_mb: Vec<f64>,
    maps_mb: Vec<f64>,
    both_mb: Vec<f64>,
    lost: Vec<f64>,
    unaccounted: Vec<f64>,
}

pub fn keys(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("keys");
    table
        .notes
        .push("`spoor syscalls --by arg0 --agg 'count()' --top 0 --max-keys N --map-memory 1G -o FILE`".to_owned());
    let folder = Folder::new()?;
    let rounds = stage.rounds.min(if stage.quick { 1 } else { 9 });
    for keys in KEYS {
        let mut runs = Runs::default();
        for round in 0..rounds {
            one(keys, stage, &folder, &mut runs)?;
            eprint!("\rkeys: {keys}, round {} of {rounds}\x1b[K", round + 1);
        }
        let largest = keys == KEYS[KEYS.len() - 1];
        let goal = |most: f64| largest.then_some(most);
        let mut push =
            |what: &str, unit, samples: &[f64], most| push(&mut table, &format!("{keys}: {what}"), unit, samples, most);
        push("added to a call whose key is new", "ns", &runs.first_ns, None);
        push("added to a call whose key is there", "ns", &runs.again_ns, None);
        push("SIGINT to exit", "ms", &runs.ending_ms, goal(5_000.0));
        push("VmHWM", "MB", &runs.own_mb, None);
        push("maps", "MB", &runs.maps_mb, None);
        push("VmHWM + maps", "MB", &runs.both_mb, goal(300.0));
        push("lost", "", &runs.lost, Some(0.0));
        push("fired - counted - lost", "", &runs.unaccounted, Some(0.0));
    }
    eprintln!("\r\x1b[K");
    Ok(table)
}

fn one(keys: u64, stage: &mut Stage, folder: &Folder, runs: &mut Runs) -> Result<()> {
    sys::wait_for_no_bpf_programs()?;
    let spread = format!("spread {keys}");
    let alone = stage.worker.ask(&spread)?;
    let file = folder.text("report");
    let args = format!(
        "syscalls --by arg0 --where syscall==\"getppid\" --agg count() --top 0 --max-keys {keys} --map-memory 1G -p {} -o {file}",
        stage.worker.pid()
    );
    let tool = Tool::spoor(&words(&args), false)?;
    let traced = stage.worker.ask(&spread)?;
    let ([_, alone_first, alone_good, alone_again], [fired, first, good, again]) = (&alone[..], &traced[..]) else {
        bail!("the worker says {alone:?} and {traced:?}")
    };
    let maps = kernel_bytes(tool.pid())?.0 / MB;
    let end = tool.interrupt()?;
    let (rows, counted) = rows(&file)?;
    ensure!(rows == keys, "{rows} rows, not {keys}: {}", end.stderr);
    let lost = lost("text", &file, &end.stderr)?;
    fs::remove_file(&file)?;
    runs.first_ns.push(first - alone_first);
    if *alone_good > 0.0 && *good > 0.0 {
        runs.again_ns.push(again - alone_again);
    }
    let own = end.peak_bytes as f64 / MB;
    runs.ending_ms.push(ms(end.ending));
    runs.own_mb.push(own);
    runs.maps_mb.push(maps);
    runs.both_mb.push(own + maps);
    runs.lost.push(lost);
    runs.unaccounted.push(fired - counted as f64 - lost);
    Ok(())
}

/// Lines of a key and a count, and the sum of the counts.
fn rows(file: &str) -> Result<(u64, u64)> {
    let (mut rows, mut counted) = (0, 0);
    for line in BufReader::new(File::open(file)?).lines() {
        let line = line?;
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(_)), Some(Ok(count)), None) = (numbers.next(), numbers.next(), numbers.next()) {
            rows += 1;
            counted += count;
        }
    }
    Ok((rows, counted))
}

/// All the CPU time that spoor takes from its start to its end, while a process is busy with 10,000 keys.
pub fn own_cpu(stage: &mut Stage) -> Result<Table> {
    const KEYS: u64 = 10_000;
    let mut table = Table::new("own-cpu");
    let seconds = if stage.quick { 2 } else { 10 };
    let args = format!("syscalls --by arg0 --where syscall==\"getppid\" -p {}", stage.worker.pid());
    let mut cpu_ms = Vec::new();
    for round in 0..stage.rounds.min(if stage.quick { 1 } else { 5 }) {
        let tool = Tool::spoor(&words(&args), true)?;
        stage.worker.ask(&format!("around {KEYS} {}", seconds * 1_000))?;
        let end = tool.interrupt()?;
        let lines = end.stdout.lines().count() as u64;
        ensure!(lines >= KEYS, "{lines} lines, not {KEYS}: {}", end.stderr);
        cpu_ms.push(ms(end.usage.cpu));
        eprint!("\rown-cpu: round {}\x1b[K", round + 1);
    }
    eprintln!("\r\x1b[K");
    push(&mut table, &format!("{KEYS} keys, {seconds} s: CPU in all"), "ms", &cpu_ms, Some(60.0));
    Ok(table)
}
