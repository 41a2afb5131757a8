//! `spoor threads`: the times of a thread add up to its life, and its other columns are what the workload did.
use spoor_tests::{Finished, Report, Result, Row, Work, ensure, ensure_eq, scaled, spoor, threads, vm};

crate::tests![
    times_of_a_busy_thread_add_up,
    times_of_a_sleeping_thread_add_up,
    times_of_every_thread_add_up,
    intervals_add_up,
    calls_are_exact,
    busy_thread_is_on_the_cpu_in_its_function,
    sleeps_are_voluntary_switches,
    threads_that_share_a_cpu_wait_for_it,
    threads_born_and_ended_meanwhile_have_lines,
    a_tid_is_alone,
    the_whole_machine_is_without_spoor,
    text_shows_a_line_a_thread,
    stacks_cannot_be_had,
];

/// The workload works from `attached` on, and is there until the end.
fn of(work: &[&str], args: &[&str]) -> Result<(Finished, String)> {
    let mut work = Work::holding(work)?;
    let pid = work.pid();
    let trace = threads(args).and(&["-p", &pid]).start()?;
    let did = work.run()?;
    let mut run = trace.interrupt()?;
    run.did = did;
    Ok((run, pid))
}

fn times(row: &Row) -> Result<[u64; 3]> {
    let time = |name| -> Result<u64> { Ok(row.value(name)? as u64) };
    Ok([time("oncpu_ns")?, time("runnable_ns")?, time("blocked_ns")?])
}

fn elapsed_ns(report: &Report) -> u64 {
    report.0["elapsed_ns"].as_u64().unwrap_or(0)
}

fn percent() -> u64 {
    if vm::is_init() { 5 } else { 1 }
}

/// On the CPU, waiting and asleep is all that a thread can be: together it is the run, within 1 %, or 5 % in a virtual
/// machine, where spoor itself waits long for a CPU between the one's clock and the other's.
fn add_up(report: &Report, row: &Row, run: &Finished) -> Result<()> {
    let (sum, all) = (times(row)?.iter().sum::<u64>(), elapsed_ns(report));
    ensure!(sum.abs_diff(all) * 100 <= all * percent(), "{sum} ns of {all} of {:?} in {run}", row.keys);
    Ok(())
}

/// Known only where samples fell; then what is not the kernel's is the process's.
fn halves_add_up(row: &Row, run: &Finished) -> Result<()> {
    let half = |name: &str| row.values[name].as_u64();
    match (half("user_ns"), half("kernel_ns")) {
        (None, None) => Ok(()),
        (Some(user), Some(kernel)) => {
            ensure_eq!(user + kernel, times(row)?[0], "user and kernel of {run}");
            Ok(())
        }
        halves => anyhow::bail!("one half is known: {halves:?} in {run}"),
    }
}

fn all_add_up(work: &[&str], lines: usize) -> Result<()> {
    let (run, _) = of(work, &[])?;
    let report = run.report_with_loss()?;
    ensure_eq!(report.rows()?.len(), lines, "lines of {run}");
    for row in report.rows()? {
        add_up(&report, &row, &run)?;
        halves_add_up(&row, &run)?;
    }
    Ok(())
}

fn times_of_a_busy_thread_add_up() -> Result<()> {
    all_add_up(&["burn", "1:1:1", "1"], 1)
}

fn times_of_a_sleeping_thread_add_up() -> Result<()> {
    all_add_up(&["sleep-ns", "20", "20000000"], 1)
}

/// One that waits for three others, which call the kernel all the time, and end.
fn times_of_every_thread_add_up() -> Result<()> {
    let calls = scaled(400_000).to_string();
    let (run, pid) = of(&["threads", "3", &calls], &[])?;
    let report = run.report_with_loss()?;
    ensure_eq!(report.rows()?.len(), 4, "lines of {run}");
    add_up(&report, &report.row(&[("tid", &pid)])?, &run)?;
    for row in report.rows()? {
        halves_add_up(&row, &run)?;
        let sum = times(&row)?.iter().sum::<u64>();
        ensure!(
            sum <= elapsed_ns(&report) * (100 + percent()) / 100,
            "{:?} lived longer than the run: {run}",
            row.keys
        );
    }
    Ok(())
}

fn intervals_add_up() -> Result<()> {
    let (run, pid) = of(&["sleep-ns", "15", "100000000"], &["-i", "400ms"])?;
    let reports: Vec<Report> = run.stdout.lines().map(Report::parse).collect::<Result<_>>()?;
    // A slow machine comes late to some.
    ensure!(reports.len() >= 2, "{} reports in {run}", reports.len());
    let (mut sum, mut all) = (0, 0);
    for report in &reports {
        sum += times(&report.row(&[("tid", &pid)])?)?.iter().sum::<u64>();
        all += elapsed_ns(report);
    }
    ensure!(sum.abs_diff(all) * 100 <= all * percent(), "{sum} ns of {all} in {run}");
    Ok(())
}

/// The workload's own calls, the one that it waits for its release in, and the two that it says `done` and holds with.
fn calls_are_exact() -> Result<()> {
    let (run, pid) = of(&["getppid", "5000"], &[])?;
    let row = run.report_with_loss()?.row(&[("tid", &pid)])?;
    // The wait for the release returns; the one behind `done` does not.
    ensure_eq!(row.value("syscalls")?, 5000 + 2, "calls of {run}");
    Ok(())
}

fn busy_thread_is_on_the_cpu_in_its_function() -> Result<()> {
    let (run, pid) = of(&["burn", "80:10:10", "1"], &["-F", "999"])?;
    let row = run.report_with_loss()?.row(&[("tid", &pid)])?;
    let [oncpu, ..] = times(&row)?;
    let cpu = run.did("cpu_ns")?;
    // The CPU time that the thread's clock counted is a part of it: what came before and after is in neither.
    ensure!(oncpu * 100 >= cpu * 97 && oncpu <= cpu * 110 / 100 + 50_000_000, "{oncpu} ns on the CPU, {cpu} in {run}");
    let hottest = row.values["hottest"].as_str().unwrap_or_default().to_owned();
    ensure!(hottest.ends_with("`spoor_burn_a"), "hottest is `{hottest}` in {run}");
    ensure!(row.value("user_ns")? > row.value("kernel_ns")?, "more in the kernel than in the process: {run}");
    Ok(())
}

fn sleeps_are_voluntary_switches() -> Result<()> {
    const SLEEPS: i64 = 50;
    let (run, pid) = of(&["sleep-ns", "50", "2000000"], &[])?;
    let row = run.report_with_loss()?.row(&[("tid", &pid)])?;
    // And the one into the wait behind `done`, if it came to that. One that the kernel did not tell may be in another.
    let untold = run.report_with_loss()?.lost_of_kind("switch_missed")? as i64;
    let wanted = SLEEPS - untold..=SLEEPS + 1;
    ensure!(wanted.contains(&row.value("voluntary")?), "voluntary switches are not {wanted:?} in {run}");
    let [_, _, blocked] = times(&row)?;
    ensure!(blocked >= SLEEPS as u64 * 2_000_000, "{blocked} ns asleep in {run}");
    Ok(())
}

fn threads_that_share_a_cpu_wait_for_it() -> Result<()> {
    let calls = scaled(2_000_000).to_string();
    let (run, pid) = of(&["hot-threads", "2", &calls, "0"], &[])?;
    let report = run.report_with_loss()?;
    let others: Vec<Row> = report.rows()?.into_iter().filter(|row| !row.is(&[("tid", &pid)]).unwrap_or(true)).collect();
    ensure_eq!(others.len(), 2, "threads of {run}");
    for row in &others {
        let [oncpu, runnable, _] = times(row)?;
        // Each had the CPU while the other one waited, but for what others took of it.
        ensure!(runnable * 2 > oncpu && row.value("involuntary")? > 0, "{:?} had no need to wait in {run}", row.values);
    }
    Ok(())
}

fn threads_born_and_ended_meanwhile_have_lines() -> Result<()> {
    let (run, _) = of(&["exit-thread", "20"], &[])?;
    let report = run.report_with_loss()?;
    // Each has a life of its own, however short, and its end is a switch.
    ensure_eq!(report.rows()?.len(), 21, "lines of {run}");
    for row in report.rows()? {
        let [oncpu, ..] = times(&row)?;
        // The first one need not wait for another that has ended already.
        let is_first = row.key("tid")? == row.key("pid")?;
        ensure!(oncpu > 0 && (is_first || row.value("voluntary")? > 0), "{:?} did not run in {run}", row.keys);
    }
    Ok(())
}

fn a_tid_is_alone() -> Result<()> {
    let calls = scaled(100_000).to_string();
    let mut work = Work::waiting(&["threads", "2", &calls])?;
    let tid = work.others()[0].to_string();
    let trace = threads(&["-t", &tid]).start()?;
    work.run()?;
    work.end()?;
    let report = trace.finish()?.report_with_loss()?;
    ensure_eq!(report.rows()?.len(), 1, "lines of {report}");
    // It reads its release, which began before, calls, and says that it is done; then exit.
    ensure_eq!(report.row(&[("tid", &tid)])?.value("syscalls")?, scaled(100_000) as i64 + 3, "calls in {report}");
    Ok(())
}

fn the_whole_machine_is_without_spoor() -> Result<()> {
    let mut work = Work::holding(&["burn", "1:1:1", "0.3"])?;
    let pid = work.pid();
    let trace = threads(&[]).start()?;
    let own = trace.pid().to_string();
    work.run()?;
    let run = trace.interrupt()?;
    let report = run.report_with_loss()?;
    add_up(&report, &report.row(&[("tid", &pid)])?, &run)?;
    for row in report.rows()? {
        ensure!(row.key("pid")? != own && row.key("tid")? != "0", "{:?} in {run}", row.keys);
    }
    Ok(())
}

fn text_shows_a_line_a_thread() -> Result<()> {
    let run = spoor(&["threads"]).attached_to(&["burn", "1:0:0", "0.5"])?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let head: Vec<&str> = run.stdout.lines().next().unwrap_or_default().split_whitespace().collect();
    let wanted = ["pid", "tid", "comm", "on-cpu", "user", "kernel", "runnable", "blocked", "voluntary", "involuntary"];
    ensure_eq!(head[..10], wanted, "columns of {run}");
    ensure!(run.stdout.contains("`spoor_burn_a"), "no function in {run}");
    Ok(())
}

fn stacks_cannot_be_had() -> Result<()> {
    spoor(&["threads", "--format", "svg", "-d", "1s"]).run()?.refused(2, &["svg", "spoor profile"])
}
