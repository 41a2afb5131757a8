//! More keys than there is room for: the sum stays exact, and the loss is said.
use spoor_tests::{Context, Report, Result, Work, binaries, ensure, ensure_eq, scaled, spoor, syscalls};

crate::tests![
    a_full_table_counts_the_rest_under_other,
    a_full_table_is_exact_with_threads,
    a_full_table_of_sums_keeps_the_sum,
    a_full_table_is_said_in_the_text,
    quiet_csv_says_the_loss_and_nothing_else,
    strict_makes_it_exit_3,
    strict_without_loss_is_0,
    ten_thousand_keys_fit,
];

const CLOSE: &str = "syscall == \"close\"";

/// 250 keys, 8 calls each, room for 100. A key is in from its first call or never.
fn a_full_table_counts_the_rest_under_other() -> Result<()> {
    let run = syscalls(&["--by", "arg0", "--max-keys", "100", "--where", CLOSE]).attached_to(&["keys", "250", "8"])?;
    let report = run.report_with_loss()?;
    let named = report.rows()?;
    ensure_eq!(report.kept()?, 2000, "fired = all rows in {run}");
    ensure_eq!(named.len(), 100, "keys in {run}");
    for row in &named {
        ensure_eq!(row.count()?, 8, "calls of {:?} in {run}", row.keys);
    }
    ensure_eq!(other(&report)?, 1200, "calls under `<other>` in {run}");
    ensure_eq!(report.lost()?, 1200, "lost in {run}");
    ensure_eq!(report.lost_of_kind("full")?, 1200, "lost because of a full table in {run}");
    Ok(())
}

fn other(report: &Report) -> Result<u64> {
    report.other()?.context("no `other` in the report")?.count()
}

/// Threads race for the last slots; the sum is what counts.
fn a_full_table_is_exact_with_threads() -> Result<()> {
    let each = scaled(20_000);
    let run = syscalls(&["--by", "tid,arg0", "--max-keys", "3"]).attached_to(&["threads", "4", &each.to_string()])?;
    let report = run.report_with_loss()?;
    // 9 readv, 6 writev, 4 exit, 1 exit_group.
    ensure_eq!(report.kept()?, 4 * each + 20, "fired = all rows in {run}");
    ensure_eq!(report.lost()?, other(&report)?, "lost = under `<other>` in {run}");
    Ok(())
}

/// 0 + 1 + ... + 999, with room for 10 of the 1000 keys.
fn a_full_table_of_sums_keeps_the_sum() -> Result<()> {
    let condition = "syscall == \"getppid\"";
    let run = syscalls(&["--by", "arg0", "--agg", "sum(arg0)", "--max-keys", "10", "--where", condition])
        .attached_to(&["range", "1000"])?;
    let report = run.report_with_loss()?;
    ensure_eq!(report.sum("sum(arg0)")?, 499_500, "sum of all rows in {run}");
    ensure_eq!(report.lost()?, 990, "lost in {run}");
    Ok(())
}

fn a_full_table_is_said_in_the_text() -> Result<()> {
    let run = spoor(&["syscalls", "--by", "arg0", "--max-keys", "100", "--where", CLOSE])
        .attached_to(&["keys", "250", "8"])?;
    let text = format!("{}{}", run.stdout, run.stderr);
    ensure!(
        text.contains("<other>") && text.contains("1200") && text.contains("--max-keys"),
        "the loss is not said: {run}"
    );
    ensure_eq!(run.code(), 0, "status of {run}");
    Ok(())
}

/// The data has no place for it.
fn quiet_csv_says_the_loss_and_nothing_else() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let args = ["syscalls", "-q", "--format", "csv", "--by", "arg0", "--top", "3", "--max-keys", "100"];
    let run = spoor(&args).and(&["--where", CLOSE, "--", &workload, "keys", "250", "8"]).run()?;
    ensure_eq!(run.code(), 0, "status of {run}");
    // Before 5.12 the kernel does not tell what it missed, and that is said, too.
    let told = run.stderr.lines().filter(|line| !line.contains("unknown number") && !line.contains("5.12"));
    let tags: Vec<&str> = told.map(|line| line.split(' ').next().unwrap_or_default()).collect();
    ensure_eq!(tags, ["lost:", "try:"], "stderr of {run}");
    Ok(())
}

fn strict_makes_it_exit_3() -> Result<()> {
    let run = syscalls(&["--strict", "--by", "arg0", "--max-keys", "100", "--where", CLOSE])
        .attached_to(&["keys", "250", "8"])?;
    ensure_eq!(run.code(), 3, "status of {run}");
    ensure_eq!(run.report_of_code()?.kept()?, 2000, "the report is there all the same: {run}");
    Ok(())
}

fn strict_without_loss_is_0() -> Result<()> {
    syscalls(&["--strict"]).attached_to(&["getppid", "100"])?.calls_of("getppid", 100)
}

/// The default room: 10,240 keys.
fn ten_thousand_keys_fit() -> Result<()> {
    let work = Work::waiting(&["keys", "10000", "3"])?;
    let pid = work.pid();
    let run = syscalls(&["-p", &pid, "--by", "arg0", "--where", CLOSE]).with(work)?;
    let report = run.report()?;
    ensure_eq!((report.rows()?.len(), report.kept()?), (10_000, 30_000), "keys and calls in {run}");
    Ok(())
}
