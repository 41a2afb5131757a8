//! `--max-rate`: what fires too often is let alone at once, and what it was until then is reported.
use serde_json::Value;
use spoor_tests::{Finished, Result, Work, ensure, ensure_eq, func, spoor, syscalls};

use super::{calls_are, traced};

crate::tests![
    a_hot_loop_is_stopped,
    people_are_told_why_in_words,
    what_a_predicate_refuses_fires_as_well,
    as_many_as_are_allowed_are_not_stopped,
    a_call_with_its_return_fires_twice,
    system_calls_in_a_loop_are_stopped,
    a_rate_is_a_number,
];

/// Seconds of work where each call is traced, and little where none is.
const HOT: [&str; 4] = ["call", "add", "1", "5000000"];

/// It says why it stopped: above 1000 a second.
fn is_stopped(run: &Finished) -> Result<()> {
    let stopped = &run.report()?.0["stopped"];
    ensure_eq!(stopped["max_rate"], 1000, "the rate that was allowed in {run}");
    ensure!(stopped["firings_per_second"].as_u64() > Some(1000), "the rate in {run}");
    let elapsed = &run.report()?.0["elapsed_ns"];
    ensure!(stopped["after_ns"].as_u64() <= elapsed.as_u64(), "how long it was traced in {run}");
    Ok(())
}

fn is_not_stopped(run: &Finished) -> Result<()> {
    ensure_eq!(run.report()?.0.get("stopped"), None::<&Value>, "why it stopped in {run}");
    Ok(())
}

/// The rest of the calls is made, and is not counted.
fn a_hot_loop_is_stopped() -> Result<()> {
    let run = traced(&["libtracee:tracee_add", "--max-rate", "1k"], &HOT)?;
    is_stopped(&run)?;
    ensure_eq!(run.did("calls")?, 5_000_000, "calls of the work in {run}");
    let counted = run.report()?.row(&[("func", "tracee_add")])?.count()?;
    ensure!(counted > 1000 && counted < 5_000_000, "{counted} calls in {run}");
    Ok(())
}

fn people_are_told_why_in_words() -> Result<()> {
    let work = Work::dynamic(&HOT)?;
    let pid = work.pid();
    let run = spoor(&["func", "libtracee:tracee_add", "--max-rate", "1k", "-p", &pid]).with(work)?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let is_why =
        |line: &str| line.starts_with("stopped after ") && line.ends_with(" firings a second, above --max-rate 1,000");
    ensure_eq!(run.stdout.lines().filter(|line| is_why(line)).count(), 1, "lines that say why in {run}");
    Ok(())
}

fn what_a_predicate_refuses_fires_as_well() -> Result<()> {
    let run = traced(&["libtracee:tracee_add", "--max-rate", "1k", "--where", "arg0 == 1 << 60"], &HOT)?;
    is_stopped(&run)?;
    ensure_eq!(run.report()?.rows()?.len(), 0, "rows of {run}");
    Ok(())
}

/// In no second there are more, however fast they come.
fn as_many_as_are_allowed_are_not_stopped() -> Result<()> {
    let run = traced(&["libtracee:tracee_add", "--max-rate", "500"], &["call", "add", "1", "500"])?;
    calls_are(&run, &[("tracee_add", 500)])?;
    is_not_stopped(&run)
}

fn a_call_with_its_return_fires_twice() -> Result<()> {
    let run = traced(&["-L", "libtracee:tracee_add", "--max-rate", "1000"], &["call", "add", "1", "500"])?;
    calls_are(&run, &[("tracee_add", 500)])?;
    is_not_stopped(&run)?;
    is_stopped(&traced(&["-L", "libtracee:tracee_add", "--max-rate", "1000"], &HOT)?)
}

fn system_calls_in_a_loop_are_stopped() -> Result<()> {
    let work = Work::waiting(&["mix", "1000000"])?;
    let pid = work.pid();
    is_stopped(&syscalls(&["-p", &pid, "--max-rate", "1000"]).with(work)?)
}

fn a_rate_is_a_number() -> Result<()> {
    func(&["malloc", "--max-rate", "0"]).run()?.refused(2, &["--max-rate", "not a count"])
}
