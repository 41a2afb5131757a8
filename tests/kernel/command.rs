//! `-- COMMAND`: its life is its own, but it does not outlive a spoor that dies before it lets it go.
use std::time::Instant;

use spoor_tests::folder::Folder;
use spoor_tests::process::Process;
use spoor_tests::{Context, Result, bail, binaries, ensure, ensure_eq, patience, spoor, sys, syscalls};

crate::tests![
    a_command_finds_our_signals_as_they_were,
    a_failure_of_our_own_output_does_not_end_the_command,
    a_command_that_goes_on_is_said,
    sigterm_during_the_start_leaves_no_command,
    sigkill_during_the_start_leaves_no_command,
    a_run_that_is_interrupted_before_it_began_says_so,
];

fn a_command_finds_our_signals_as_they_were() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let run = spoor(&["syscalls", "-q", "--", &workload, "signals-found"]).run()?;
    // SIGINT, SIGPIPE, SIGTERM, and the one that holds it.
    const OURS: u64 = 1 << 1 | 1 << 12 | 1 << 14 | 1 << 25;
    let found = run.stdout.lines().find(|line| line.starts_with('{')).with_context(|| run.to_string())?;
    let found: serde_json::Value = serde_json::from_str(found)?;
    for set in ["blocked", "ignored"] {
        let signals = found[set].as_u64().with_context(|| format!("{set} in {run}"))?;
        ensure_eq!(signals & OURS, inherited(set)? & OURS, "{set} of {run}");
    }
    Ok(())
}

/// What the tests themselves were started with: a shell ignores SIGINT for what it starts in the background.
fn inherited(set: &str) -> Result<u64> {
    // Rust ignores SIGPIPE in a program, and gives it back to programs that this one starts.
    const SIGPIPE: u64 = 1 << 12;
    let line = if set == "blocked" { "SigBlk:" } else { "SigIgn:" };
    let status = std::fs::read_to_string("/proc/self/status")?;
    let bits = status.lines().find_map(|found| found.strip_prefix(line)).context("the signals of this process")?;
    Ok(u64::from_str_radix(bits.trim(), 16)? & !SIGPIPE)
}

/// `COMMAND` waits for a line on standard input, as spoor's child.
fn around_a_waiting_command(args: &[&str]) -> Result<Process> {
    let workload = binaries::workload().display().to_string();
    let setup = spoor(&["syscalls"]).and(args).and(&["--", &workload, "--wait", "getppid", "5"]);
    Process::start(&mut setup.command(), true)
}

/// After spoor's end: it still is there, and does its work.
fn goes_on(mut process: Process, code: i32) -> Result<()> {
    process.stdout.wait_for("ready ")?;
    // Not reaped yet: that would close its standard input, which the command has, too.
    ensure!(sys::wait_for_end(process.pid(), patience())?, "spoor runs on: {}", process.stderr.text());
    process.line()?;
    process.stdout.wait_for("{\"getppid\":5}")?;
    let status = process.wait()?;
    let stderr = process.stderr.wait_closed()?;
    let stderr = String::from_utf8_lossy(&stderr);
    ensure_eq!(status.code(), Some(code), "status; stderr: {stderr}");
    ensure!(stderr.contains("spoor: the command (pid ") && stderr.contains(") goes on"), "it is not said: {stderr}");
    Ok(())
}

fn a_failure_of_our_own_output_does_not_end_the_command() -> Result<()> {
    goes_on(around_a_waiting_command(&["--events", "-o", "/dev/full"])?, 1)
}

fn a_command_that_goes_on_is_said() -> Result<()> {
    let folder = Folder::new()?;
    let report = folder.text("report");
    goes_on(around_a_waiting_command(&["-d", "300ms", "-o", &report])?, 0)?;
    let interrupted = around_a_waiting_command(&["-o", &report])?;
    interrupted.stdout.wait_for("ready ")?;
    interrupted.signal(sys::SIGTERM)?;
    goes_on(interrupted, 0)
}

const STARTS: usize = 60;

/// The signal comes at once, or when the child is there, or a little later: the command ends, or never was.
fn signal_during_the_start(signal: i32) -> Result<()> {
    for start in 0..STARTS {
        let folder = Folder::new()?;
        // A name that no other process has on its command line.
        let name = folder.text("workload");
        std::os::unix::fs::symlink(binaries::workload(), &name)?;
        let report = folder.text("report");
        let setup = spoor(&["syscalls", "-q", "-o", &report, "--", &name, "getppid", "5"]);
        let mut process = Process::start(&mut setup.command(), true)?;
        let end = Instant::now() + patience();
        if start % 3 > 0 {
            while process.is_running()? && processes(&name)?.iter().all(|(pid, _)| *pid == process.pid()) {
                ensure!(Instant::now() < end, "no child: {}", process.stderr.text());
            }
        }
        for _ in 0..start % 3 * start {
            std::thread::yield_now();
        }
        process.signal(signal)?;
        let status = process.wait()?;
        let ended = matches!(status.code(), Some(0 | 1))
            || std::os::unix::process::ExitStatusExt::signal(&status) == Some(signal);
        ensure!(ended, "{status}: {}", process.stderr.text());
        loop {
            let left = processes(&name)?;
            if left.is_empty() {
                break;
            }
            ensure!(Instant::now() < end, "start {start} left {left:?} behind");
        }
    }
    Ok(())
}

/// Processes with this on their command line, and their states.
fn processes(name: &str) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("cmdline").contains(name) {
            let state = read("status").lines().find(|line| line.starts_with("State:")).unwrap_or("gone").to_owned();
            found.push((pid, state));
        }
    }
    Ok(found)
}

fn sigterm_during_the_start_leaves_no_command() -> Result<()> {
    signal_during_the_start(sys::SIGTERM)
}

fn sigkill_during_the_start_leaves_no_command() -> Result<()> {
    signal_during_the_start(sys::SIGKILL)
}

/// The child is there from before the programs are loaded, which takes milliseconds.
fn a_run_that_is_interrupted_before_it_began_says_so() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let end = Instant::now() + patience();
    while Instant::now() < end {
        let mut trace = syscalls(&["--", &workload, "getppid", "5"]).start_anyway()?;
        let children = format!("/proc/{0}/task/{0}/children", trace.pid());
        while trace.process.is_running()? && std::fs::read_to_string(&children).is_ok_and(|list| list.is_empty()) {}
        trace.signal(sys::SIGTERM)?;
        let run = trace.finish()?;
        if run.code() == 1 {
            return run.refused(1, &["interrupted before tracing began"]);
        }
    }
    bail!("every run began before its signal came")
}
