//! Ends of spoor and of its target: what is attached goes, and who was traced goes on.
use serde_json::json;
use spoor_tests::ledger::Holdings;
use spoor_tests::sys::{self, BpfObject};
use spoor_tests::{Result, Trace, Work, ensure, ensure_eq, func};

use super::{calls_are, traced};

crate::tests![
    sigkill_leaves_nothing_attached_and_the_target_unharmed,
    sigint_leaves_nothing_attached,
    calls_before_and_after_are_not_counted,
    a_target_that_is_killed_ends_the_trace,
    stacks_begin_with_the_function_and_its_caller,
];

/// Three threads call while spoor is killed; their results are right.
fn sigkill_leaves_nothing_attached_and_the_target_unharmed() -> Result<()> {
    for args in [&[][..], &["-L"], &["--by", "str(arg0)"], &["--by", "ustack"]] {
        let mut work = Work::dynamic(&["call", "add", "3", "20000"])?;
        let mut trace = func(&["libtracee:tracee_add", "-p", &work.pid()]).and(args).start()?;
        let holdings = held(&trace)?;
        work.release()?;
        trace.process.kill();
        holdings.are_gone()?;
        ensure_eq!(work.done()?, json!({"calls": 60_000, "sum": 9 * 199_990_000u64}), "what the workload says");
        work.end()?;
    }
    Ok(())
}

fn sigint_leaves_nothing_attached() -> Result<()> {
    let work = Work::dynamic(&["call", "add", "1", "1"])?;
    for args in [&[][..], &["-L"]] {
        let trace = func(&["libtracee:tracee_*", "--slow-detach", "-p", &work.pid()]).and(args).start()?;
        let holdings = held(&trace)?;
        let run = trace.interrupt()?;
        ensure_eq!(run.code(), 0, "status of {run}");
        holdings.are_gone()?;
    }
    Ok(())
}

/// What a spoor holds while it traces: programs, maps, and links or perf events.
fn held(trace: &Trace) -> Result<Holdings> {
    let holdings = Holdings::of(trace.pid())?;
    let [programs, maps] = [BpfObject::Program, BpfObject::Map].map(|kind| holdings.count(kind));
    ensure!(programs > 0 && maps > 0, "it holds {programs} programs and {maps} maps while it traces");
    Ok(holdings)
}

/// Two works of one process, the one with a spoor, the other behind its end.
fn calls_before_and_after_are_not_counted() -> Result<()> {
    let mut work = Work::dynamic(&["exec-between", "/proc/self/exe", "30", "--wait", "call", "add", "1", "12"])?;
    let trace = func(&["libtracee:tracee_add", "-p", &work.pid()]).start()?;
    work.release()?;
    // The second image names its thread.
    let ready = format!("ready {} ", work.pid());
    work.process().stdout.wait_for(&ready)?;
    let run = trace.interrupt()?;
    work.run()?;
    work.end()?;
    calls_are(&run, &[("tracee_add", 30)])
}

/// By another, in the middle of a call.
fn a_target_that_is_killed_ends_the_trace() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let mut work = Work::start(std::process::Command::new(spoor_tests::binaries::tracee()).args([
            "--wait",
            "--hold",
            "stays-inside",
            "2",
        ]))?;
        let trace = func(&["libtracee:tracee_block", "-p", &work.pid()]).and(latency).start()?;
        work.run()?;
        work.process().signal(sys::SIGKILL)?;
        let run = trace.finish()?;
        let report = run.report()?;
        let (kept, inside) = if latency.is_empty() { (2, 0) } else { (0, 2) };
        ensure_eq!((report.kept()?, report.told("never_returned")), (kept, inside), "calls and those inside of {run}");
    }
    Ok(())
}

/// The function itself, then who called it: the thread's own function, since what stands between jumps to it.
fn stacks_begin_with_the_function_and_its_caller() -> Result<()> {
    let run = traced(&["libtracee:tracee_add", "--by", "ustack"], &["call", "add", "2", "50"])?;
    let report = run.report()?;
    let rows = report.rows()?;
    ensure_eq!((rows.len(), report.kept()?), (1, 100), "stacks and calls of {run}");
    let frame = |at: usize, what: &str| rows[0].keys["ustack"]["user"][at][what].clone();
    ensure_eq!(frame(0, "symbol"), "tracee_add", "the innermost frame of {run}");
    ensure_eq!(frame(0, "offset"), 0, "where it is in {run}");
    ensure_eq!(frame(0, "module"), "libtracee.so", "whose it is in {run}");
    ensure_eq!(frame(1, "symbol"), "waiting", "its caller in {run}");
    Ok(())
}
