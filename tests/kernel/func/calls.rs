//! Calls are counted one by one, with the arguments that they were made with.
use serde_json::json;
use spoor_tests::cgroup::Cgroup;
use spoor_tests::uprobes::{At, Hits};
use spoor_tests::{Result, Work, binaries, ensure, ensure_eq, func, scaled, sys};

use super::{by_key, calls_are, in_workload, library, only_value, traced, traced_of};

crate::tests![
    threads_at_once_lose_no_call,
    threads_that_start_later_are_counted,
    the_kernels_own_counter_says_the_same,
    who_is_not_the_target_is_not_counted,
    a_thread_is_a_target,
    two_processes_are_a_target,
    a_cgroup_is_a_target,
    threads_are_keys,
    arguments_are_what_was_passed,
    a_predicate_on_an_argument_picks_calls,
    texts_that_arguments_point_to_are_keys,
    a_predicate_on_a_text_picks_calls,
    a_long_text_is_cut,
    a_text_that_cannot_be_read_is_no_call_less,
    intervals_add_up,
    no_call_is_no_row,
];

/// Linked dynamically, and statically.
type Program = fn(&[&str]) -> Result<Work>;
const PROGRAMS: [Program; 2] = [Work::dynamic, in_workload];

fn threads_at_once_lose_no_call() -> Result<()> {
    let each = scaled(10_000);
    for program in PROGRAMS {
        let work = program(&["call", "add", "4", &each.to_string()])?;
        calls_are(&traced_of(work, &["tracee_add"])?, &[("tracee_add", 4 * each)])?;
    }
    Ok(())
}

fn threads_that_start_later_are_counted() -> Result<()> {
    for program in PROGRAMS {
        let work = program(&["late-threads", "add", "5", "100"])?;
        let run = traced_of(work, &["-L", "tracee_add"])?;
        calls_are(&run, &[("tracee_add", 500)])?;
    }
    Ok(())
}

/// Both count what one CPU does, at the same time.
fn the_kernels_own_counter_says_the_same() -> Result<()> {
    let mut command = std::process::Command::new(binaries::tracee());
    command.args(["--wait", "call", "recurse", "2", "50", "10"]);
    let cpu = sys::own_cpu()?;
    sys::pin(&mut command, cpu);
    let work = Work::start(&mut command)?;
    let hits = Hits::of(&binaries::tracee_library(), "tracee_recurse", At::Entry, cpu)?;
    let run = traced_of(work, &["libtracee:tracee_recurse"])?;
    ensure_eq!(run.report()?.kept()?, hits.count()?, "hits of a perf event, against {run}");
    calls_are(&run, &[("tracee_recurse", 2 * 50 * 11)])
}

/// A second process calls the same function of the same file at the same time.
fn who_is_not_the_target_is_not_counted() -> Result<()> {
    let mut other = Work::dynamic(&["call", "add", "1", "500"])?;
    let mut work = Work::dynamic(&["call", "add", "1", "100"])?;
    let trace = func(&["libtracee:tracee_add", "-p", &work.pid()]).start()?;
    other.run()?;
    work.run()?;
    other.end()?;
    work.end()?;
    calls_are(&trace.finish()?, &[("tracee_add", 100)])
}

/// One of four that call at once.
fn a_thread_is_a_target() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let mut work = Work::dynamic(&["call", "add", "4", "100"])?;
        let tid = work.others()[2].to_string();
        let trace = func(&["libtracee:tracee_add", "-t", &tid]).and(latency).start()?;
        work.run()?;
        work.end()?;
        calls_are(&trace.finish()?, &[("tracee_add", 100)])?;
    }
    Ok(())
}

/// A third one is not meant.
fn two_processes_are_a_target() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let mut works: Vec<Work> =
            ["100", "20", "3"].iter().map(|n| Work::dynamic(&["call", "add", "1", n])).collect::<Result<_>>()?;
        let (first, second) = (works[0].pid(), works[1].pid());
        let trace = func(&["libtracee:tracee_add", "-p", &first, "-p", &second]).and(latency).start()?;
        for work in &mut works {
            work.run()?;
        }
        for work in works {
            work.end()?;
        }
        calls_are(&trace.finish()?, &[("tracee_add", 120)])?;
    }
    Ok(())
}

fn a_cgroup_is_a_target() -> Result<()> {
    let group = Cgroup::new("func")?;
    let (mut work, mut other) =
        (Work::dynamic(&["call", "add", "2", "50"])?, Work::dynamic(&["call", "add", "1", "7"])?);
    group.add(work.process().pid())?;
    let trace = func(&[&format!("{}:tracee_add", library()), "--cgroup", &group.path()]).start()?;
    work.run()?;
    other.run()?;
    work.end()?;
    other.end()?;
    calls_are(&trace.interrupt()?, &[("tracee_add", 100)])
}

fn threads_are_keys() -> Result<()> {
    let work = Work::dynamic(&["call", "add", "3", "100"])?;
    let tids: Vec<String> = work.others().iter().map(u32::to_string).collect();
    let wanted: Vec<(&str, u64)> = tids.iter().map(|tid| (tid.as_str(), 100)).collect();
    by_key(&traced_of(work, &["libtracee:tracee_add", "--by", "tid"])?, "tid", &wanted)
}

/// 0 + 1 .. 99 is 4950.
fn arguments_are_what_was_passed() -> Result<()> {
    let add = ["call", "add", "3", "100"];
    for (latency, agg, sum) in [
        (false, "sum(arg0)", 3 * 4950),
        (false, "sum(arg1)", 2 * 3 * 4950),
        (true, "sum(arg0)", 3 * 4950),
        (true, "sum(arg1)", 2 * 3 * 4950),
        (true, "sum(ret)", 3 * 3 * 4950),
    ] {
        // That something of the return is asked for makes it the return that fires.
        let condition: &[&str] = if latency { &["--where", "elapsed > 0"] } else { &[] };
        let run = traced(&[&["libtracee:tracee_add", "--agg", agg], condition].concat(), &add)?;
        ensure_eq!(only_value(&run, agg)?, sum, "{agg}, of returns: {latency}, in {run}");
    }
    // The first four of i and i + 1 .. i + 5, then the last two.
    let six = ["call", "six", "1", "100"];
    for arguments in [[0, 1, 2, 3], [2, 3, 4, 5]] {
        let names = arguments.map(|at| format!("arg{at}"));
        let run = traced(&["libtracee:tracee_six", "--by", &names.join(",")], &six)?;
        let report = run.report()?;
        ensure_eq!(report.rows()?.len(), 100, "rows of {run}");
        for i in 0..100 {
            let values = arguments.map(|at| (i + at).to_string());
            let keys: Vec<(&str, &str)> =
                names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())).collect();
            ensure_eq!(report.row(&keys)?.count()?, 1, "{keys:?} in {run}");
        }
    }
    Ok(())
}

fn a_predicate_on_an_argument_picks_calls() -> Result<()> {
    let run = traced(&["libtracee:tracee_add", "--where", "arg0 >= 90 && arg1 != 182"], &["call", "add", "2", "100"])?;
    calls_are(&run, &[("tracee_add", 2 * 9)])
}

fn texts_that_arguments_point_to_are_keys() -> Result<()> {
    for program in PROGRAMS {
        for key in ["str(arg0)", "str(ret)"] {
            let work = program(&["call", "text", "2", "101"])?;
            let run = traced_of(work, &["tracee_text", "--by", key])?;
            by_key(&run, key, &[("even", 2 * 51), ("uneven", 2 * 50)])?;
        }
    }
    Ok(())
}

fn a_predicate_on_a_text_picks_calls() -> Result<()> {
    let text = ["call", "text", "1", "101"];
    let run = traced(&["libtracee:tracee_text", "--where", "str(arg0) == \"un*\""], &text)?;
    calls_are(&run, &[("tracee_text", 50)])?;
    let run = traced(&["libtracee:tracee_text", "-L", "--where", "str(ret) != \"un*\""], &text)?;
    calls_are(&run, &[("tracee_text", 51)])?;
    // Only one of two functions has it as an argument.
    let run = traced(
        &["libtracee:store::put(int, char const*)", "--by", "arg0", "--where", "str(arg1) == \"text\""],
        &["call", "put", "1", "3"],
    )?;
    by_key(&run, "arg0", &[("0", 1), ("1", 1), ("2", 1)])
}

/// 255 bytes of it are a key, and three dots say that there is more.
fn a_long_text_is_cut() -> Result<()> {
    let tracee = binaries::tracee().display().to_string();
    for bytes in [254, 255, 256, 300] {
        // As long as it shall be, and the same file: `/////tmp/tracee`.
        let path = format!("{}{tracee}", "/".repeat(bytes - tracee.len()));
        let exec = ["exec-between", &path, "1", "call", "add", "1", "1"];
        let shown = if bytes > 255 { format!("{}...", &path[..255]) } else { path.clone() };
        let run = traced(&["libtracee:tracee_exec", "--by", "str(arg0)"], &exec)?;
        by_key(&run, "str(arg0)", &[(&shown, 1)])?;
        let run = traced(&["tracepoint:sched:sched_process_exec", "--by", "filename"], &exec)?;
        by_key(&run, "filename", &[(&shown, 1)])?;
    }
    Ok(())
}

/// Small numbers are no addresses.
fn a_text_that_cannot_be_read_is_no_call_less() -> Result<()> {
    let run = traced(&["libtracee:tracee_add", "--by", "str(arg0)"], &["call", "add", "1", "100"])?;
    ensure_eq!(run.report_with_loss()?.kept()?, 100, "calls in {run}");
    Ok(())
}

/// Lines of JSON, one an interval: what they count is what was called.
fn intervals_add_up() -> Result<()> {
    let n = scaled(20_000);
    let run = traced(&["libtracee:tracee_add", "-i", "100ms"], &["call", "add", "2", &n.to_string()])?;
    let mut sum = 0;
    for line in run.stdout.lines() {
        let report = spoor_tests::Report::parse(line)?;
        report.nothing_lost()?;
        sum += report.kept()?;
    }
    ensure_eq!(sum, 2 * n, "calls of all intervals in {run}");
    Ok(())
}

fn no_call_is_no_row() -> Result<()> {
    let run = traced(&["libtracee:tracee_six"], &["call", "add", "1", "10"])?;
    let report = run.report()?;
    ensure_eq!(report.0["rows"], json!([]), "rows of {run}");
    let notes = report.notes();
    ensure!(notes.iter().any(|note| note.contains("`spoor list PATTERN`")), "no word of what to do: {run}");
    Ok(())
}
