//! `spoor func` on the functions of tests/tracee: how often, with what, how long, and what is said of the rest.
use std::collections::BTreeMap;

use serde_json::Value;
use spoor_tests::{Finished, Result, Work, binaries, ensure_eq, func};

pub mod calls;
pub mod ends;
pub mod files;
pub mod kernel;
pub mod lines;
pub mod names;
pub mod rate;
pub mod returns;
pub mod tracepoints;
pub mod usdt;

/// `spoor func ARGS -p PID` of the dynamic program, which works once everything is attached.
fn traced(args: &[&str], work: &[&str]) -> Result<Finished> {
    traced_of(Work::dynamic(work)?, args)
}

fn traced_of(work: Work, args: &[&str]) -> Result<Finished> {
    let pid = work.pid();
    func(args).and(&["-p", &pid]).with(work)
}

/// The same functions in a static program.
fn in_workload(work: &[&str]) -> Result<Work> {
    Work::waiting(&[&["tracee"], work].concat())
}

/// The library's own path, as a pattern begins.
fn library() -> String {
    binaries::tracee_library().display().to_string()
}

/// Calls by function are these, and there are no others; nothing is lost.
fn calls_are(run: &Finished, wanted: &[(&str, u64)]) -> Result<()> {
    by_key(run, "func", wanted)
}

/// One row for each of these values of a key, and no other.
fn by_key(run: &Finished, key: &str, wanted: &[(&str, u64)]) -> Result<()> {
    let report = run.report()?;
    ensure_eq!(report.rows()?.len(), wanted.len(), "rows of {run}");
    let wanted: BTreeMap<String, u64> = wanted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    ensure_eq!(report.counts_by(key)?, wanted, "counts by {key} in {run}");
    Ok(())
}

/// The only row's value, which may be more than an i64 holds.
fn only_value(run: &Finished, column: &str) -> Result<Value> {
    let report = run.report()?;
    let rows = report.rows()?;
    ensure_eq!(rows.len(), 1, "rows of {run}");
    Ok(rows[0].values[column].clone())
}
