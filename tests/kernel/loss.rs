//! The loss ledger: fired = kept + lost, whatever the run looks like.
use serde_json::Value;
use spoor_tests::{Context, Report, Result, Work, ensure, ensure_eq, scaled, spoor, syscalls};

crate::tests![
    nothing_lost_is_an_empty_ledger,
    fired_is_kept_and_lost_with_two_pids_at_full_rate,
    fired_is_kept_with_latency_at_full_rate,
    intervals_add_up,
    intervals_in_csv_have_times_of_their_own,
    the_ledger_is_in_every_interval,
    the_whole_machine_at_full_rate_loses_nothing_of_the_target,
];

fn nothing_lost_is_an_empty_ledger() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["getppid", "100"])?;
    let loss = run.report()?.0["loss"].clone();
    ensure_eq!(loss["total"], 0, "loss.total in {run}");
    ensure!(loss["kinds"].is_object(), "loss.kinds is no object: {run}");
    Ok(())
}

fn fired_is_kept_and_lost_with_two_pids_at_full_rate() -> Result<()> {
    let mut works = [Work::waiting(&["full", "0.5"])?, Work::waiting(&["full", "0.5"])?];
    let trace = syscalls(&["--by", "pid,syscall", "-p", &works[0].pid(), "-p", &works[1].pid()]).start()?;
    works[0].release()?;
    works[1].release()?;
    let mut fired = 0;
    for work in &mut works {
        fired += work.done()?["getppid"].as_u64().unwrap_or(0);
    }
    trace.finish()?.calls_of("getppid", fired)
}

fn fired_is_kept_with_latency_at_full_rate() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["full", "0.5"])?;
    run.calls_of("getppid", run.did("getppid")?)
}

/// The reports of an `-i` run, one a line; the last one covers what was left.
fn intervals(work: &[&str], interval: &str) -> Result<(Vec<Report>, Value)> {
    let run = syscalls(&["-i", interval]).attached_to(work)?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let reports = run.stdout.lines().map(Report::parse).collect::<Result<Vec<_>>>()?;
    Ok((reports, run.did))
}

/// Either each covers its interval (their sum is all) or all the time so far (the last one is all).
fn intervals_add_up() -> Result<()> {
    let rate = scaled(50_000);
    let (reports, did) = intervals(&["paced", &rate.to_string(), "1.2"], "200ms")?;
    ensure!(reports.len() >= 3, "{} reports in 1.2 s with -i 200ms", reports.len());
    let calls = reports.iter().map(|report| report.calls("getppid")).collect::<Result<Vec<_>>>()?;
    let fired = did["getppid"].as_u64();
    ensure!(
        Some(calls.iter().sum()) == fired || calls.last().copied() == fired,
        "calls by interval {calls:?}, fired {fired:?}"
    );
    Ok(())
}

/// As in JSON: each interval begins where the one before it ended.
fn intervals_in_csv_have_times_of_their_own() -> Result<()> {
    let work = ["paced", "1000", "0.7"];
    let run = spoor(&["syscalls", "--format", "csv", "-i", "200ms", "--where", "syscall == \"getppid\""])
        .attached_to(&work)?;
    let mut lines = run.stdout.lines();
    ensure_eq!(lines.next(), Some("started_unix_ns,elapsed_ns,syscall,count,errors"), "header of {run}");
    let times = lines.map(|line| {
        let mut fields = line.split(',').map(str::parse::<u64>);
        Ok((fields.next().context("a start")??, fields.next().context("a length")??))
    });
    let times: Vec<(u64, u64)> = times.collect::<Result<_>>()?;
    ensure!(times.len() >= 3, "{} intervals in {run}", times.len());
    ensure!(times.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0), "intervals are not side by side: {times:?}");
    Ok(())
}

fn the_ledger_is_in_every_interval() -> Result<()> {
    let (reports, _) = intervals(&["paced", "1000", "0.7"], "200ms")?;
    for report in &reports {
        report.nothing_lost()?;
    }
    Ok(())
}

fn the_whole_machine_at_full_rate_loses_nothing_of_the_target() -> Result<()> {
    let mut work = Work::holding(&["full", "0.5"])?;
    let trace = syscalls(&["--by", "pid,syscall"]).start()?;
    let did = work.run()?;
    let run = trace.interrupt()?;
    let row = run.report()?.row(&[("pid", &work.pid()), ("syscall", "getppid")])?;
    ensure_eq!(Some(row.count()?), did["getppid"].as_u64(), "calls in {run}");
    Ok(())
}
