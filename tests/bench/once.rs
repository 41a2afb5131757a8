//! What happens once in a run: to start, to end, to hold memory, to keep up.
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use spoor_tests::folder::Folder;
use spoor_tests::{Context, Result, ensure};

use crate::report::{Line, Table};
use crate::rounds::Stage;
use crate::stats::middle;
use crate::tool::Tool;

const KEYS: u64 = 10_240;
const PACED_RATE: u64 = 500_000;

pub type Once = fn(&mut Stage) -> Result<Table>;

pub const ONCE: &[(&str, Once)] =
    &[("startup", startup), ("memory", memory), ("interrupt", interrupt), ("events", events)];

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn push(table: &mut Table, name: &str, unit: &'static str, samples: &[f64], at_most: Option<f64>) {
    if let Some(middle) = middle(samples) {
        table.lines.push(Line::new(name, unit, middle, at_most));
    }
}

/// From before fork and exec to the line that says attached.
fn startup(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("startup");
    let pid = stage.worker.pid();
    let ours = [
        ("spoor -p", format!("syscalls -p {pid}")),
        ("spoor -L -p", format!("syscalls -L -p {pid}")),
        ("spoor --events -p", format!("syscalls --events -p {pid}")),
    ];
    let theirs = [
        ("bpftrace", format!("tracepoint:raw_syscalls:sys_exit /pid == {pid}/ {{ @[args.id] = count(); }}")),
        (
            "bpftrace-raw",
            format!("rawtracepoint:vmlinux:sys_exit /pid == {pid}/ {{ @[args.regs.orig_ax] = count(); }}"),
        ),
    ];
    let (mut attached, mut ended, mut cpu) = (vec![Vec::new(); 5], vec![Vec::new(); 5], vec![Vec::new(); 5]);
    for round in 0..stage.rounds {
        for (at, (_, args)) in ours.iter().enumerate() {
            let tool = Tool::spoor(&words(args), false)?;
            attached[at].push(ms(tool.since_start()));
            let end = tool.interrupt()?;
            ended[at].push(ms(end.ending));
            cpu[at].push(ms(end.usage.cpu));
        }
        for (at, (_, program)) in theirs.iter().enumerate() {
            let Some(folder) = stage.peers.filter(|_| round % 2 == 0) else { continue };
            let tool = Tool::bpftrace(folder, program, false)?;
            attached[3 + at].push(ms(tool.since_start()));
            let end = tool.interrupt()?;
            ended[3 + at].push(ms(end.ending));
            cpu[3 + at].push(ms(end.usage.cpu));
        }
    }
    let names: Vec<&str> = ours.iter().chain(&theirs).map(|(name, _)| *name).collect();
    for (at, name) in names.iter().enumerate() {
        push(&mut table, &format!("{name}: exec to attached"), "ms", &attached[at], (at == 0).then_some(15.0));
    }
    for at in 3..5 {
        let rounds: Vec<f64> =
            attached[at].iter().enumerate().map(|(round, theirs)| attached[0][round * 2] / theirs).collect();
        push(&mut table, &format!("spoor -p / {}", names[at]), "x", &rounds, Some(0.15));
    }
    for (at, name) in names.iter().enumerate() {
        push(&mut table, &format!("{name}: SIGINT to exit"), "ms", &ended[at], None);
        push(&mut table, &format!("{name}: CPU in all"), "ms", &cpu[at], None);
    }
    Ok(table)
}

/// A number from a file of `name: number unit` lines.
fn number(file: &str, name: &str) -> Option<f64> {
    file.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
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
            let (mut map_bytes, mut program_bytes) = (0.0, 0.0);
            for file in fs::read_dir(format!("{proc}/fdinfo"))? {
                let info = fs::read_to_string(file?.path())?;
                let memlock = number(&info, "memlock:").unwrap_or(0.0);
                if info.contains("map_type:") { map_bytes += memlock } else { program_bytes += memlock }
            }
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
    let seconds = if stage.rounds < 21 { 3 } else { 10 };
    let folder = Folder::new()?;
    for (work, format, most) in [
        (format!("paced {PACED_RATE} {seconds}"), "text", Some(0.0)),
        (format!("paced {PACED_RATE} {seconds}"), "json", Some(0.0)),
        ("full 3".to_owned(), "text", None),
        ("full 3".to_owned(), "json", None),
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
    use std::io::{BufRead, BufReader};
    let mut lines = BufReader::new(fs::File::open(file)?);
    let (mut kept, mut line) = (0.0, Vec::new());
    while lines.read_until(b'\n', &mut line)? > 0 {
        kept += f64::from(u8::from(line.windows(7).any(|word| word == b"getppid")));
        line.clear();
    }
    Ok(kept)
}

/// The ledger's total: the last object, or what stderr says.
fn lost(format: &str, file: &str, stderr: &str) -> Result<f64> {
    if format == "json" {
        let text = fs::read(file)?;
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().context("a last line")?;
        return serde_json::from_slice::<Value>(last)?["loss"]["total"].as_f64().context("loss.total");
    }
    let lost =
        stderr.lines().filter_map(|line| line.strip_prefix("lost: ")?.split_whitespace().next()?.parse::<f64>().ok());
    Ok(lost.sum())
}
