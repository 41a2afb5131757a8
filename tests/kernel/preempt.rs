//! Per-CPU is not exclusive: with preempt=full, and on 7.2 by default, a program is preempted in mid-update. Three
//! threads share one CPU, and a real-time thread that a timer wakes cuts into them thousands of times a second: every
//! call is counted once, in every function, or is in the ledger.
use spoor_tests::{Context, Result, Work, ensure, ensure_eq, scaled, syscalls};

crate::tests![
    counts_survive,
    counts_in_a_hash_survive,
    sums_survive,
    extremes_survive,
    deviations_survive,
    quantize_survives,
    lquantize_survives,
    llquantize_survives,
    latency_survives,
    a_full_table_survives,
    events_survive,
];

/// The threads, and one interruption about every 60 us.
fn work() -> [String; 5] {
    ["hot-threads".to_owned(), "3".to_owned(), scaled(200_000).to_string(), "0".to_owned(), "60000".to_owned()]
}

fn run(args: &[&str]) -> Result<spoor_tests::Finished> {
    let work = work();
    let work: Vec<&str> = work.iter().map(String::as_str).collect();
    let run = syscalls(args).and(&["--where", "syscall == \"getppid\""]).attached_to(&work)?;
    ensure!(run.did("nanosleep")? > 0, "nobody was interrupted: {run}");
    Ok(run)
}

fn counts_survive() -> Result<()> {
    let run = run(&[])?;
    run.calls_of("getppid", run.did("getppid")?)
}

fn counts_in_a_hash_survive() -> Result<()> {
    let run = run(&["--by", "comm,syscall"])?;
    run.calls_of("getppid", run.did("getppid")?)
}

/// Every call returns the same PID.
fn sums_survive() -> Result<()> {
    for function in ["sum(ret)", "sum(1)"] {
        let run = run(&["--by", "syscall", "--agg", function])?;
        let each = if function == "sum(1)" { 1 } else { i64::from(std::process::id()) };
        let sum = run.report()?.row(&[("syscall", "getppid")])?.value(function)?;
        ensure_eq!(sum, run.did("getppid")? as i64 * each, "{function} in {run}");
    }
    Ok(())
}

fn extremes_survive() -> Result<()> {
    for function in ["min(ret)", "max(ret)", "avg(ret)"] {
        let run = run(&["--by", "syscall", "--agg", function])?;
        let value = run.report()?.row(&[("syscall", "getppid")])?.value(function)?;
        ensure_eq!(value, i64::from(std::process::id()), "{function} in {run}");
    }
    Ok(())
}

/// Of equal values; a hit that is lost in one of its three numbers makes it large.
fn deviations_survive() -> Result<()> {
    let run = run(&["--by", "syscall", "--agg", "stddev(ret)"])?;
    ensure_eq!(run.report()?.row(&[("syscall", "getppid")])?.value("stddev(ret)")?, 0, "stddev(ret) in {run}");
    Ok(())
}

fn all_in_one_bucket(function: &str) -> Result<()> {
    let run = run(&["--by", "syscall", "--agg", function])?;
    let report = run.report()?;
    let row = report.row(&[("syscall", "getppid")])?;
    let value = row.values.values().next().with_context(|| format!("no value in {run}"))?.to_string();
    let fired = run.did("getppid")?.to_string();
    let whole = value.split(|c: char| !c.is_ascii_digit()).any(|number| number == fired);
    ensure!(whole, "no bucket of {function} has all {fired} calls: {run}");
    Ok(())
}

fn quantize_survives() -> Result<()> {
    all_in_one_bucket("quantize(ret)")
}

fn lquantize_survives() -> Result<()> {
    all_in_one_bucket("lquantize(cpu, 0, 4, 1)")
}

fn llquantize_survives() -> Result<()> {
    all_in_one_bucket("llquantize(cpu, 2, 0, 4, 2)")
}

fn latency_survives() -> Result<()> {
    let run = run(&["-L"])?;
    run.calls_of("getppid", run.did("getppid")?)
}

/// Room for one of the four threads.
fn a_full_table_survives() -> Result<()> {
    let run = run(&["--by", "tid", "--max-keys", "1"])?;
    let report = run.report_with_loss()?;
    ensure_eq!(report.kept()?, run.did("getppid")?, "fired = all rows in {run}");
    Ok(())
}

/// Slower by design: fewer calls. Lines of JSON, the last one the report.
fn events_survive() -> Result<()> {
    let work = Work::waiting(&["hot-threads", "3", "5000", "0", "60000"])?;
    let pid = work.pid();
    let run = syscalls(&["--events", "-p", &pid, "--where", "syscall == \"getppid\""]).with(work)?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let events = run.stdout.lines().filter(|line| !line.contains("\"spoor\"")).count() as u64;
    let closing = run
        .stdout
        .lines()
        .rfind(|line| line.contains("\"spoor\""))
        .with_context(|| format!("no closing report: {run}"))?;
    let lost = serde_json::from_str::<serde_json::Value>(closing)?["loss"]["total"].as_u64().context("loss.total")?;
    ensure_eq!(events + lost, run.did("getppid")?, "kept {events} + lost {lost}");
    Ok(())
}
