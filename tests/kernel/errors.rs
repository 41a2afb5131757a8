//! What goes wrong: said in one line, what to do in another, the right exit status, nothing left attached.
use std::os::fd::OwnedFd;
use std::process::Command;

use spoor_tests::folder::Folder;
use spoor_tests::ledger::Holdings;
use spoor_tests::sys::{self, BpfObject, Lower};
use spoor_tests::{Finished, Result, Trace, Work, binaries, ensure, ensure_eq, spoor, syscalls};

crate::tests![
    no_such_pid_says_so,
    no_such_tid_says_so,
    no_such_cgroup_says_so,
    a_command_that_does_not_exist_says_so,
    a_command_that_may_not_be_executed_says_so,
    no_privilege_names_the_capability_and_setcap,
    root_without_capabilities_is_told_the_same,
    unwritable_output_is_refused_before_tracing,
    a_full_disk_is_an_error,
    a_closed_pipe_is_a_normal_end,
    a_closed_pipe_ends_events,
    sigterm_ends_with_the_report,
    sigint_ends_with_the_report,
    sigint_leaves_nothing_attached,
    sigkill_leaves_nothing_attached,
    a_second_sigint_does_not_hurt,
    the_status_of_the_command_is_its_own,
];

/// A number that nobody has: that of a child that has been waited for.
fn dead_pid() -> Result<String> {
    let mut child =
        Command::new(binaries::workload()).args(["getppid", "0"]).stdout(std::process::Stdio::null()).spawn()?;
    let pid = child.id().to_string();
    child.wait()?;
    Ok(pid)
}

fn no_such_pid_says_so() -> Result<()> {
    let pid = dead_pid()?;
    syscalls(&["-p", &pid]).run()?.refused(1, &[&pid, "no such process"])
}

fn no_such_tid_says_so() -> Result<()> {
    let tid = dead_pid()?;
    syscalls(&["-t", &tid]).run()?.refused(1, &[&tid, "no such"])
}

fn no_such_cgroup_says_so() -> Result<()> {
    syscalls(&["--cgroup", "/sys/fs/cgroup/spoor-no-such-cgroup"]).run()?.refused(1, &["spoor-no-such-cgroup"])
}

fn a_command_that_does_not_exist_says_so() -> Result<()> {
    syscalls(&["--", "/spoor-no-such-command", "x"]).run()?.refused(1, &["/spoor-no-such-command"])?;
    syscalls(&["--", "spoor-no-such-command"]).run()?.refused(1, &["spoor-no-such-command"])
}

fn a_command_that_may_not_be_executed_says_so() -> Result<()> {
    let folder = Folder::new()?;
    let file = folder.text("no-program");
    std::fs::write(&file, "text")?;
    syscalls(&["--", &file]).run()?.refused(1, &[&file, "ermission denied"])
}

/// Nobody must be able to execute it: a copy in a folder that he can reach.
fn lowered(how: Lower) -> Result<Finished> {
    let folder = Folder::new()?;
    let copy = folder.text("spoor");
    std::fs::copy(binaries::spoor(), &copy)?;
    let mut command = Command::new(&copy);
    command.args(["syscalls", "--format", "json", "-d", "100ms"]).current_dir("/");
    sys::lower(&mut command, how);
    let mut process = spoor_tests::process::Process::start(&mut command, true)?;
    let status = process.wait()?;
    let (stdout, stderr) = (process.stdout.wait_closed()?, process.stderr.wait_closed()?);
    Ok(Finished::new(&format!("spoor as {how:?}"), status, &stdout, &stderr))
}

fn no_privilege_names_the_capability_and_setcap() -> Result<()> {
    lowered(Lower::Nobody)?.refused(1, &["CAP_", "setcap"])
}

fn root_without_capabilities_is_told_the_same() -> Result<()> {
    lowered(Lower::RootWithoutCapabilities)?.refused(1, &["CAP_", "setcap"])
}

fn unwritable_output_is_refused_before_tracing() -> Result<()> {
    let run = syscalls(&["-o", "/spoor-no-such-folder/report", "-d", "1h"]).run()?;
    run.refused(1, &["/spoor-no-such-folder/report"])?;
    ensure!(!run.stderr.contains("spoor: tracing"), "traced before it failed: {run}");
    Ok(())
}

fn a_full_disk_is_an_error() -> Result<()> {
    let run = syscalls(&["-o", "/dev/full"]).attached_to(&["getppid", "10"])?;
    run.refused(1, &["/dev/full"])
}

fn nowhere() -> Result<OwnedFd> {
    Ok(sys::broken_pipe()?)
}

/// `spoor -i 100ms | head -1`: not an error, no message, and the end of the run.
fn a_closed_pipe_is_a_normal_end() -> Result<()> {
    let mut work = Work::holding(&["getppid", "10"])?;
    let trace = syscalls(&["-i", "100ms", "-p", &work.pid()]).start_into(nowhere()?.into())?;
    work.run()?;
    normal_end(&trace.finish()?)
}

fn a_closed_pipe_ends_events() -> Result<()> {
    let mut work = Work::holding(&["getppid", "1000"])?;
    let trace = syscalls(&["--events", "-p", &work.pid()]).start_into(nowhere()?.into())?;
    work.run()?;
    normal_end(&trace.finish()?)
}

fn normal_end(run: &Finished) -> Result<()> {
    ensure_eq!(run.code(), 0, "status of {run}");
    ensure!(!run.stderr.contains("error:") && !run.stderr.contains("panicked"), "complained: {run}");
    Ok(())
}

/// Work, then the signal while the target still runs.
fn ends_by(signal: i32) -> Result<()> {
    let mut work = Work::holding(&["getppid", "1234"])?;
    let trace = syscalls(&["-p", &work.pid()]).start()?;
    work.run()?;
    trace.signal(signal)?;
    trace.finish()?.calls_of("getppid", 1234)
}

fn sigterm_ends_with_the_report() -> Result<()> {
    ends_by(sys::SIGTERM)
}

fn sigint_ends_with_the_report() -> Result<()> {
    ends_by(sys::SIGINT)
}

/// What a spoor holds while it traces: programs, maps and links.
fn held(trace: &Trace) -> Result<Holdings> {
    let holdings = Holdings::of(trace.pid())?;
    let [programs, maps] = [BpfObject::Program, BpfObject::Map].map(|kind| holdings.count(kind));
    ensure!(programs > 0 && maps > 0, "it holds {programs} programs and {maps} maps while it traces");
    Ok(holdings)
}

fn sigint_leaves_nothing_attached() -> Result<()> {
    let work = Work::waiting(&["getppid", "1"])?;
    let trace = syscalls(&["-p", &work.pid()]).start()?;
    let holdings = held(&trace)?;
    trace.interrupt()?;
    holdings.are_gone()
}

fn sigkill_leaves_nothing_attached() -> Result<()> {
    let work = Work::waiting(&["getppid", "1"])?;
    for args in [&[][..], &["-L"], &["--events"], &["--agg", "quantize(ret)"]] {
        let mut trace = syscalls(&["-p", &work.pid()]).and(args).start()?;
        let holdings = held(&trace)?;
        trace.process.kill();
        holdings.are_gone()?;
    }
    Ok(())
}

/// The first one asks for the report; it must come out whole.
fn a_second_sigint_does_not_hurt() -> Result<()> {
    let mut work = Work::holding(&["getppid", "77"])?;
    let trace = syscalls(&["-p", &work.pid()]).start()?;
    work.run()?;
    trace.signal(sys::SIGINT)?;
    trace.signal(sys::SIGINT)?;
    trace.finish()?.calls_of("getppid", 77)
}

/// A command that fails was traced: 0.
fn the_status_of_the_command_is_its_own() -> Result<()> {
    let run = syscalls(&["--where", "syscall == \"getppid\""]).around(&["--exit", "7", "getppid", "5"])?;
    run.calls_of("getppid", 5)?;
    let text = spoor(&["syscalls"]).around(&["--exit", "7", "getppid", "5"])?;
    ensure_eq!(text.code(), 0, "status of {text}");
    Ok(())
}
