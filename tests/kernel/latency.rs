//! `-L`: how long calls took, and which had not ended.
use spoor_tests::{Result, Row, Work, ensure, ensure_eq, syscalls};

crate::tests![
    durations_are_what_the_caller_sees,
    columns_are_in_order,
    average_is_total_by_count,
    elapsed_can_be_a_condition,
    elapsed_can_be_aggregated,
    calls_in_flight_at_the_end_are_reported,
    a_call_that_began_before_is_not_measured,
    many_threads_keep_their_starts_apart,
    threads_that_ended_leave_room,
];

const MS: i64 = 1_000_000;

/// 50 sleeps of 1 ms: each at least that, together no more than the workload itself measured around them.
fn durations_are_what_the_caller_sees() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["known-latency", "50"])?;
    run.calls_of("nanosleep", 50)?;
    let row = run.report()?.row(&[("syscall", "nanosleep")])?;
    let total = row.value("total_ns")?;
    ensure!(total >= 50 * MS, "total {total} is less than 50 ms: {run}");
    ensure!(total <= run.did("elapsed_ns")? as i64, "total {total} is more than the workload measured: {run}");
    ensure!(row.value("avg_ns")? >= MS && row.value("max_ns")? >= MS, "a sleep of less than 1 ms: {run}");
    // The error of a percentile is at most 1/8.
    ensure!(row.value("p50_ns")? >= MS * 7 / 8, "median below 1 ms: {run}");
    ensure_eq!(row.value("errors")?, 0, "errors in {run}");
    Ok(())
}

fn columns_are_in_order() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["mix", "2000"])?;
    for row in run.report()?.rows()? {
        let [p50, p99, max, avg, total] = values(&row, ["p50_ns", "p99_ns", "max_ns", "avg_ns", "total_ns"])?;
        ensure!(p50 <= p99, "p50 {p50} > p99 {p99} in {:?}", row.keys);
        ensure!(p99 <= max, "p99 {p99} > max {max} in {:?}", row.keys);
        ensure!(avg <= max && max <= total, "avg {avg}, max {max}, total {total} in {:?}", row.keys);
    }
    Ok(())
}

fn values<const N: usize>(row: &Row, names: [&str; N]) -> Result<[i64; N]> {
    let mut values = [0; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = row.value(name)?;
    }
    Ok(values)
}

fn average_is_total_by_count() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["mix", "500"])?;
    let report = run.report()?;
    for syscall in ["getppid", "close", "read"] {
        let row = report.row(&[("syscall", syscall)])?;
        ensure_eq!(row.value("avg_ns")?, row.value("total_ns")? / row.count()? as i64, "average of {syscall} in {run}");
    }
    Ok(())
}

fn elapsed_can_be_a_condition() -> Result<()> {
    for (condition, count) in [("elapsed >= 1000000", 30), ("elapsed < 1000000", 0)] {
        let condition = format!("syscall == \"nanosleep\" && {condition}");
        syscalls(&["--where", &condition]).attached_to(&["known-latency", "30"])?.calls_of("nanosleep", count)?;
    }
    Ok(())
}

fn elapsed_can_be_aggregated() -> Result<()> {
    let run = syscalls(&["--by", "syscall", "--agg", "min(elapsed)", "--where", "syscall == \"nanosleep\""])
        .attached_to(&["known-latency", "30"])?;
    let least = run.report()?.row(&[("syscall", "nanosleep")])?.value("min(elapsed)")?;
    ensure!(least >= MS && least <= run.did("elapsed_ns")? as i64, "minimum {least}: {run}");
    Ok(())
}

/// A thread's second read blocks, and so does the first thread's readv of the protocol: two in flight.
/// Their calls of before (a read and a readv that began before spoor did) are in nobody's durations.
fn calls_in_flight_at_the_end_are_reported() -> Result<()> {
    let mut work = Work::waiting(&["inflight"])?;
    let trace = syscalls(&["-L", "-p", &work.pid()]).start()?;
    work.release()?;
    work.process().stdout.wait_for("blocked")?;
    wait_until_sleeping(work.own_pid())?;
    let run = trace.interrupt()?;
    work.run()?;
    work.end()?;

    let report = run.report()?;
    let Some(in_flight) = report.anywhere("flight") else { spoor_tests::bail!("nothing in flight is reported: {run}") };
    ensure_eq!(in_flight, 2, "calls in flight in {run}");
    Ok(())
}

/// The first thread prints before it waits; only then is it in its readv.
fn wait_until_sleeping(pid: u32) -> Result<()> {
    let end = std::time::Instant::now() + spoor_tests::patience();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')) {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < end, "the workload does not block: {stat}");
        std::thread::yield_now();
    }
}

/// The readv that the workload waited in has no entry: it is nowhere with a duration, and no loss of data.
fn a_call_that_began_before_is_not_measured() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["getppid", "100"])?;
    let report = run.report()?;
    run.calls_of("getppid", 100)?;
    if let Some(row) = report.find(&[("syscall", "readv")])? {
        ensure_eq!(row.value("total_ns")?, 0, "time of a call that began before in {run}");
    }
    Ok(())
}

fn many_threads_keep_their_starts_apart() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["threads", "8", "5000"])?;
    run.calls_of("getppid", 40_000)?;
    let longest = run.report()?.row(&[("syscall", "getppid")])?.value("max_ns")?;
    ensure!(longest < 20_000 * MS, "a getppid of {longest} ns: {run}");
    Ok(())
}

/// More threads, few at a time, than there can be starts (16,384): each leaves its slot when it ends.
fn threads_that_ended_leave_room() -> Result<()> {
    let n = if spoor_tests::vm::is_init() { 2000 } else { 20_000 };
    let run = syscalls(&["-L"]).attached_to(&["exit-thread", &n.to_string()])?;
    run.calls_of("exit", n)?;
    run.calls_of("clone", n)
}
