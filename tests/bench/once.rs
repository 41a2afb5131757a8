//! What happens once in a run: to start, to end, to hold memory, to keep up.
use std::fs;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::Value;
use spoor_tests::folder::Folder;
use spoor_tests::{Context, Result, ensure};

use crate::cases::{Links, What};
use crate::report::{Limit, Line, Table};
use crate::rounds::Stage;
use crate::stats::middle;
use crate::tool::{Tool, fd_infos};
use crate::{busy, disk, functions, hits, keys, programs, stacks};

const KEYS: u64 = 10_240;
const PACED_RATE: u64 = 500_000;

pub type Once = fn(&mut Stage) -> Result<Table>;

pub const ONCE: &[(&str, Once)] = &[
    ("startup", |stage| starts(stage, &SYSCALLS)),
    ("start-offcpu", |stage| starts(stage, &OFFCPU)),
    ("start-profile", |stage| starts(stage, &PROFILE)),
    ("memory", memory),
    ("disk", disk::disk),
    ("interrupt", interrupt),
    ("events", events),
    ("profile", busy::profile),
    ("stacks", stacks::stacks),
    ("func-count", |stage| hits::hits(stage, &hits::COUNT)),
    ("func-latency", |stage| hits::hits(stage, &hits::LATENCY)),
    ("func-attach", functions::attach),
    ("func-points", functions::points),
    ("func-list", functions::list),
    ("udp-runs", programs::delivered),
    ("programs", programs::programs),
    ("keys", keys::keys),
    ("own-cpu", keys::own_cpu),
];

pub fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub fn push(table: &mut Table, name: &str, unit: &'static str, samples: &[f64], at_most: Option<f64>) {
    if let Some(middle) = middle(samples) {
        table.lines.push(Line::new(name, unit, middle, at_most.map(Limit::AtMost)));
    }
}

/// Who starts, and how soon the first of them has to be attached.
struct Starts {
    name: &'static str,
    contenders: &'static [(&'static str, What)],
    at_most_ms: f64,
    /// Of what bpftrace needs.
    at_most_ratio: Option<f64>,
}

const SYSCALLS: Starts = Starts {
    name: "startup",
    contenders: &[
        ("spoor -p", What::Spoor(&["syscalls", "-p", "{pid}"])),
        ("spoor -L -p", What::Spoor(&["syscalls", "-L", "-p", "{pid}"])),
        ("spoor --events -p", What::Spoor(&["syscalls", "--events", "-p", "{pid}"])),
        ("bpftrace", What::Bpftrace("tracepoint:raw_syscalls:sys_exit /pid == {pid}/ { @[args.id] = count(); }")),
        (
            "bpftrace-raw",
            What::Bpftrace("rawtracepoint:vmlinux:sys_exit /pid == {pid}/ { @[args.regs.orig_ax] = count(); }"),
        ),
    ],
    at_most_ms: 15.0,
    at_most_ratio: Some(0.15),
};

const OFFCPU: Starts = Starts {
    name: "start-offcpu",
    contenders: &[
        ("spoor -p", What::Spoor(&["offcpu", "-p", "{pid}"])),
        ("spoor", What::Spoor(&["offcpu"])),
        ("offcputime", What::Peer(&["/usr/sbin/offcputime-libbpf", "-p", "{pid}"], Links::One)),
        (
            "bpftrace",
            What::Bpftrace(
                "tracepoint:sched:sched_switch { if (pid == {pid}) { @o[tid] = (nsecs, kstack, ustack); } \
                 $o = @o[args.next_pid]; if ($o.0) { @[args.next_pid, $o.1, $o.2] = sum(nsecs - $o.0); } }",
            ),
        ),
    ],
    at_most_ms: 50.0,
    at_most_ratio: None,
};

const PROFILE: Starts = Starts {
    name: "start-profile",
    contenders: &[
        ("spoor -p", What::Spoor(&["profile", "-p", "{pid}"])),
        ("spoor", What::Spoor(&["profile"])),
        ("profile-libbpf", What::Peer(&["/usr/sbin/profile-libbpf"], Links::EachCpu)),
        ("bpftrace", What::Bpftrace("profile:hz:99 { @[kstack, ustack] = count(); }")),
    ],
    at_most_ms: 50.0,
    at_most_ratio: None,
};

/// From before fork and exec to the line that says attached.
fn starts(stage: &mut Stage, starts: &Starts) -> Result<Table> {
    let mut table = Table::new(starts.name);
    let many = starts.contenders.len();
    let (mut attached, mut ended, mut cpu) = (vec![Vec::new(); many], vec![Vec::new(); many], vec![Vec::new(); many]);
    for round in 0..stage.rounds {
        for (at, (name, what)) in starts.contenders.iter().enumerate() {
            let theirs = matches!(what, What::Bpftrace(_) | What::Peer(..));
            if theirs && (stage.peers.is_none() || round % 2 == 1) {
                continue;
            }
            let tool = stage.start(*what, false)?.with_context(|| format!("{name} is a tool"))?;
            attached[at].push(ms(tool.since_start()));
            let end = tool.interrupt()?;
            ended[at].push(ms(end.ending));
            cpu[at].push(ms(end.usage.cpu));
        }
    }
    let first = starts.contenders[0].0;
    for (at, (name, _)) in starts.contenders.iter().enumerate() {
        let goal = (at == 0).then_some(starts.at_most_ms);
        push(&mut table, &format!("{name}: exec to attached"), "ms", &attached[at], goal);
    }
    for (at, (name, what)) in starts.contenders.iter().enumerate() {
        if !matches!(what, What::Spoor(_)) {
            let rounds: Vec<f64> =
                attached[at].iter().enumerate().map(|(round, theirs)| attached[0][round * 2] / theirs).collect();
            push(&mut table, &format!("{first} / {name}"), "x", &rounds, starts.at_most_ratio);
        }
    }
    for (at, (name, _)) in starts.contenders.iter().enumerate() {
        push(&mut table, &format!("{name}: SIGINT to exit"), "ms", &ended[at], None);
        push(&mut table, &format!("{name}: CPU in all"), "ms", &cpu[at], None);
    }
    Ok(table)
}

/// A number from a file of `name: number unit` lines.
pub fn number(file: &str, name: &str) -> Option<f64> {
    file.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// What the maps and the programs of a process take in the kernel.
pub fn kernel_bytes(pid: u32) -> Result<(f64, f64)> {
    let (mut maps, mut programs) = (0.0, 0.0);
    for info in fd_infos(pid)? {
        let memlock = number(&info, "memlock:").unwrap_or(0.0);
        if info.contains("map_type:") { maps += memlock } else { programs += memlock }
    }
    Ok((maps, programs))
}

/// Own memory and that of the maps, by what is asked.
fn memory(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("memory");
    let pid = stage.worker.pid();
    for (args, most) in [
        (format!("syscalls -p {pid}"), Some(15.0)),
        (format!("syscalls -L -p {pid}"), Some(15.0)),
        (format!("syscalls --by comm,syscall -p {pid}"), Some(15.0)),
        (format!("syscalls --by arg0 -p {pid}"), Some(15.0)),
        (format!("syscalls --events -p {pid}"), None),
    ] {
        let (mut own, mut maps, mut programs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..stage.rounds.min(5) {
            let tool = Tool::spoor(&words(&args), true)?;
            stage.worker.ask(&format!("keys {KEYS}"))?;
            let proc = format!("/proc/{}", tool.pid());
            own.push(number(&fs::read_to_string(format!("{proc}/status"))?, "VmHWM:").context("VmHWM")? / 1024.0);
            let (map_bytes, program_bytes) = kernel_bytes(tool.pid())?;
            maps.push(map_bytes / (1 << 20) as f64);
            programs.push(program_bytes / (1 << 20) as f64);
            tool.interrupt()?;
        }
        let args = args.replace(&format!(" -p {pid}"), " -p PID");
        push(&mut table, &format!("{args}: VmHWM"), "MiB", &own, most);
        push(&mut table, &format!("{args}: maps"), "MiB", &maps, Some(64.0));
        push(&mut table, &format!("{args}: programs"), "MiB", &programs, None);
    }
    Ok(table)
}

/// SIGINT to the end of the process, with as many rows as fit by default.
fn interrupt(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("interrupt");
    let pid = stage.worker.pid();
    for format in ["text", "json"] {
        let args = format!("syscalls --by arg0 --where syscall==\"getppid\" -p {pid} --format {format}");
        let (mut ending, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..stage.rounds {
            let tool = Tool::spoor(&words(&args), false)?;
            stage.worker.ask(&format!("keys {KEYS}"))?;
            let end = tool.interrupt()?;
            let rows =
                if format == "json" { end.stdout.matches("\"keys\":").count() } else { end.stdout.lines().count() };
            ensure!(rows as u64 >= KEYS, "{rows} rows, not {KEYS}: {}", end.stderr);
            ending.push(ms(end.ending));
            cpu.push(ms(end.usage.cpu));
        }
        push(&mut table, &format!("{KEYS} keys, {format}: SIGINT to exit"), "ms", &ending, Some(50.0));
        push(&mut table, &format!("{KEYS} keys, {format}: CPU in all"), "ms", &cpu, None);
    }
    Ok(table)
}

/// Every call to a file: at a rate that has to be kept, and as fast as it goes.
fn events(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("events");
    let (seconds, full) = if stage.quick { (1, 1) } else { (10, 3) };
    let folder = Folder::new()?;
    for (work, format, most) in [
        (format!("paced {PACED_RATE} {seconds}"), "text", Some(0.0)),
        (format!("paced {PACED_RATE} {seconds}"), "json", Some(0.0)),
        (format!("full {full}"), "text", None),
        (format!("full {full}"), "json", None),
    ] {
        let file = folder.text("events");
        let args = format!(
            "syscalls --events --where syscall==\"getppid\" -p {} --format {format} -o {file}",
            stage.worker.pid()
        );
        let tool = Tool::spoor(&words(&args), true)?;
        let begun = Instant::now();
        let fired = stage.worker.ask(&work)?[0];
        let took = begun.elapsed().as_secs_f64();
        let memory =
            number(&fs::read_to_string(format!("/proc/{}/status", tool.pid()))?, "VmHWM:").context("VmHWM")? / 1024.0;
        let end = tool.interrupt()?;
        let kept = kept_lines(&file)?;
        let lost = lost(format, &file, &end.stderr)?;
        let name = format!("{work}, {format}");
        let mut push =
            |what: &str, unit, value: f64, most| push(&mut table, &format!("{name}: {what}"), unit, &[value], most);
        push("fired", "", fired, None);
        push("fired a second", "", fired / took, None);
        push("kept", "", kept, None);
        push("lost", "", lost, most);
        push("fired - kept - lost", "", fired - kept - lost, Some(0.0));
        push("CPU of spoor", "s", end.usage.cpu.as_secs_f64(), None);
        push("SIGINT to exit", "ms", ms(end.ending), None);
        push("VmHWM", "MiB", memory, None);
        push("file", "MiB", fs::metadata(&file)?.len() as f64 / (1 << 20) as f64, None);
        fs::remove_file(&file)?;
    }
    Ok(table)
}

/// Lines of the file that are calls.
fn kept_lines(file: &str) -> Result<f64> {
    let mut lines = BufReader::new(fs::File::open(file)?);
    let (mut kept, mut line) = (0.0, Vec::new());
    while lines.read_until(b'\n', &mut line)? > 0 {
        kept += f64::from(u8::from(line.windows(7).any(|word| word == b"getppid")));
        line.clear();
    }
    Ok(kept)
}

/// The ledger's total: the last object, or what stderr says.
pub fn lost(format: &str, file: &str, stderr: &str) -> Result<f64> {
    if format == "json" {
        // Line by line: there may be millions.
        let (mut lines, mut line, mut last) = (BufReader::new(fs::File::open(file)?), Vec::new(), Vec::new());
        while lines.read_until(b'\n', &mut line)? > 0 {
            std::mem::swap(&mut line, &mut last);
            line.clear();
        }
        return serde_json::from_slice::<Value>(&last)?["loss"]["total"].as_f64().context("loss.total");
    }
    let lost =
        stderr.lines().filter_map(|line| line.strip_prefix("lost: ")?.split_whitespace().next()?.parse::<f64>().ok());
    // The sum of none is -0.
    Ok(lost.sum::<f64>().abs())
}
