//! `-L`: what calls returned, how long they took, and which of them did not return: entries = kept + told.
use std::process::Command;

use spoor_tests::uprobes::{At, Hits};
use spoor_tests::{Finished, Result, Work, binaries, ensure, ensure_eq, func, sys};

use super::{by_key, calls_are, in_workload, only_value, traced, traced_of};

crate::tests![
    results_have_the_sign_that_a_cast_gives_them,
    a_sleep_is_as_long_as_it_was_asked_to_be,
    time_on_the_cpu_is_time_as_well,
    columns_are_in_order,
    every_call_of_a_recursion_is_timed,
    calls_too_deep_to_be_noted_are_counted_as_lost,
    the_kernels_own_counter_sees_what_is_kept_or_lost,
    threads_that_take_turns_on_a_cpu_keep_their_calls_apart,
    a_tail_call_is_timed_in_both_functions,
    calls_that_a_longjmp_leaves_never_return,
    a_handler_runs_inside_of_the_call_that_raised_it,
    what_returns_twice_is_counted_once_for_who_called_it,
    a_process_that_ends_inside_is_told,
    a_thread_that_ends_inside_is_told,
    an_exec_ends_the_calls_of_the_old_program,
    a_call_that_began_before_is_in_no_row,
    calls_that_never_end_are_told,
    calls_in_flight_at_the_end_are_told,
];

/// `kept` calls in rows, `told` in the ledger under that name, none elsewhere.
fn kept_and_told(run: &Finished, kept: u64, kind: &str, told: u64) -> Result<()> {
    let report = run.report()?;
    ensure_eq!(report.kept()?, kept, "calls in {run}");
    for known in ["never_returned", "began_before", "in_flight"] {
        let wanted = if known == kind { told } else { 0 };
        ensure_eq!(report.told(known), wanted, "{known} of {run}");
    }
    Ok(())
}

fn results_have_the_sign_that_a_cast_gives_them() -> Result<()> {
    let run = traced(&["libtracee:tracee_negative", "--by", "(i32)ret"], &["call", "negative", "2", "4"])?;
    by_key(&run, "(i32)ret", &[("0", 2), ("-1", 2), ("-2", 2), ("-3", 2)])?;
    let run = traced(&["libtracee:tracee_negative_long", "--by", "ret"], &["call", "negative_long", "2", "3"])?;
    by_key(&run, "ret", &[("0", 2), ("-1", 2), ("-2", 2)])?;
    let run = traced(
        &["libtracee:tracee_negative", "--where", "(i32)ret < -50", "--by", "func"],
        &["call", "negative", "1", "100"],
    )?;
    calls_are(&run, &[("tracee_negative", 49)])
}

/// At least that, and together no more than the program itself measured around the sleeps, plus what the probe takes.
fn a_sleep_is_as_long_as_it_was_asked_to_be() -> Result<()> {
    const NS: i64 = 2_000_000;
    let sleep = ["call", "sleep", "2", "20", "2000000"];
    let run = traced(&["libtracee:tracee_sleep", "--agg", "min(elapsed)"], &sleep)?;
    let least = only_value(&run, "min(elapsed)")?.as_i64().unwrap_or(0);
    ensure!(least >= NS, "a sleep of {least} ns: {run}");
    let run = traced(&["libtracee:tracee_sleep", "-L"], &sleep)?;
    calls_are(&run, &[("tracee_sleep", 40)])?;
    let row = run.report()?.row(&[("func", "tracee_sleep")])?;
    let total = row.value("total_ns")?;
    // The function measures inside of what we measure.
    ensure!(total as u64 >= run.did("sum")?, "total {total} is less than the program measured: {run}");
    // The error of a percentile is at most 1/8.
    ensure!(row.value("p50_ns")? >= NS * 7 / 8, "median below 2 ms: {run}");
    Ok(())
}

fn time_on_the_cpu_is_time_as_well() -> Result<()> {
    let work = in_workload(&["call", "spin", "1", "20", "500000"])?;
    let run = traced_of(work, &["tracee_spin", "--agg", "min(elapsed)"])?;
    let least = only_value(&run, "min(elapsed)")?.as_i64().unwrap_or(0);
    ensure!(least >= 500_000, "a spin of {least} ns: {run}");
    Ok(())
}

fn columns_are_in_order() -> Result<()> {
    let run = traced(&["libtracee:tracee_*", "-L", "--slow-detach"], &["call", "whole", "2", "200"])?;
    for row in run.report()?.rows()? {
        let [p50, p99, max] = [row.value("p50_ns")?, row.value("p99_ns")?, row.value("max_ns")?];
        let [avg, total] = [row.value("avg_ns")?, row.value("total_ns")?];
        ensure!(p50 <= p99 && p99 <= max, "p50 {p50}, p99 {p99}, max {max} in {:?}", row.keys);
        ensure_eq!(avg, total / row.count()? as i64, "average in {run}");
        ensure!(avg <= max && max <= total, "avg {avg}, max {max}, total {total} in {:?}", row.keys);
    }
    Ok(())
}

/// 64 in one another is what there is room for.
fn every_call_of_a_recursion_is_timed() -> Result<()> {
    for depth in [0, 1, 10, 63] {
        let run = traced(&["-L", "libtracee:tracee_recurse"], &["call", "recurse", "2", "5", &depth.to_string()])?;
        calls_are(&run, &[("tracee_recurse", 2 * 5 * (depth + 1))])?;
        kept_and_told(&run, 2 * 5 * (depth + 1), "", 0)?;
    }
    Ok(())
}

/// entries = kept + what there was no room for, at every depth; none of them is told in another way.
fn calls_too_deep_to_be_noted_are_counted_as_lost() -> Result<()> {
    for depth in [64, 65, 100, 300] {
        let work = ["call", "recurse", "1", "5", &depth.to_string()];
        let run = traced(&["libtracee:tracee_recurse"], &work)?;
        calls_are(&run, &[("tracee_recurse", 5 * (depth + 1))])?;
        let run = traced(&["-L", "libtracee:tracee_recurse"], &work)?;
        let report = run.report_with_loss()?;
        ensure_eq!(report.kept()?, 5 * 64, "calls that were timed in {run}");
        ensure_eq!(report.lost_of_kind("too_deep")?, 5 * (depth + 1 - 64), "calls without room in {run}");
        ensure_eq!(report.lost()?, report.lost_of_kind("too_deep")?, "all losses of {run}");
        for kind in ["never_returned", "began_before", "in_flight"] {
            ensure_eq!(report.told(kind), 0, "{kind} of {run}");
        }
    }
    Ok(())
}

/// Entries and returns, on one CPU: what the kernel counts is what is in the report and in its ledger.
fn the_kernels_own_counter_sees_what_is_kept_or_lost() -> Result<()> {
    let file = binaries::tracee_library();
    for depth in ["5", "90"] {
        let mut command = Command::new(binaries::tracee());
        command.args(["--wait", "call", "recurse", "2", "20", depth]);
        let cpu = sys::own_cpu()?;
        sys::pin(&mut command, cpu);
        let work = Work::start(&mut command)?;
        let [entries, returns] = [At::Entry, At::Return].map(|at| Hits::of(&file, "tracee_recurse", at, cpu));
        let (entries, returns) = (entries?, returns?);
        let run = traced_of(work, &["-L", "libtracee:tracee_recurse"])?;
        let report = run.report_with_loss()?;
        ensure_eq!(report.kept()?, returns.count()?, "returns that the kernel counted, against {run}");
        ensure_eq!(report.kept()? + report.lost()?, entries.count()?, "entries that the kernel counted, against {run}");
    }
    Ok(())
}

/// Each is deep in calls when another one comes, and is preempted in the program itself where the kernel does that.
fn threads_that_take_turns_on_a_cpu_keep_their_calls_apart() -> Result<()> {
    let mut command = Command::new(binaries::tracee());
    command.args(["--wait", "call", "recurse", "4", "30", "60"]);
    sys::pin(&mut command, sys::own_cpu()?);
    let run = traced_of(Work::start(&mut command)?, &["-L", "libtracee:tracee_recurse"])?;
    kept_and_told(&run, 4 * 30 * 61, "", 0)
}

fn a_tail_call_is_timed_in_both_functions() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let run = traced(&[&["libtracee:tracee_tail_*"], latency].concat(), &["call", "tail", "2", "50"])?;
        calls_are(&run, &[("tracee_tail_a", 100), ("tracee_tail_b", 100)])?;
    }
    // The second one began later and ended with the first.
    let run = traced(&["libtracee:tracee_tail_*", "-L"], &["call", "tail", "1", "50"])?;
    let report = run.report()?;
    let total = |func| report.row(&[("func", func)])?.value("total_ns");
    let (first, second) = (total("tracee_tail_a")?, total("tracee_tail_b")?);
    ensure!(first >= second, "{first} ns with the jump, {second} ns of it behind the jump: {run}");
    Ok(())
}

/// 10 leaps over 5 frames each: 50 entries, no return, and all of them told once.
fn calls_that_a_longjmp_leaves_never_return() -> Result<()> {
    for (n, depth) in [(10, 4), (40, 3), (3, 62)] {
        let run = traced(&["-L", "libtracee:tracee_leap"], &["leap", &n.to_string(), &depth.to_string()])?;
        let report = run.report_with_loss()?;
        let entries = n * (depth + 1);
        ensure_eq!(run.did("calls")?, entries, "calls of the workload");
        ensure_eq!(report.kept()?, 0, "calls that returned in {run}");
        let told = report.lost()? + report.told("never_returned") + report.told("in_flight");
        ensure_eq!(told, entries, "calls that are told in {run}");
        let run = traced(&["libtracee:tracee_leap"], &["leap", &n.to_string(), &depth.to_string()])?;
        calls_are(&run, &[("tracee_leap", entries)])?;
    }
    Ok(())
}

fn a_handler_runs_inside_of_the_call_that_raised_it() -> Result<()> {
    let run = traced(&["-L", "libtracee:tracee_raise", "libtracee:tracee_handler"], &["signals", "50"])?;
    calls_are(&run, &[("tracee_raise", 50), ("tracee_handler", 50)])?;
    let report = run.report()?;
    let total = |func| report.row(&[("func", func)])?.value("total_ns");
    ensure!(total("tracee_raise")? > total("tracee_handler")?, "the inner call took longer than the outer one: {run}");
    Ok(())
}

/// The children return from a call that another process made: where they are followed, that is told.
fn what_returns_twice_is_counted_once_for_who_called_it() -> Result<()> {
    let fork = ["fork-inside", "5"];
    kept_and_told(&traced(&["-L", "libtracee:tracee_fork"], &fork)?, 5, "", 0)?;
    kept_and_told(&traced(&["-L", "--follow", "libtracee:tracee_fork"], &fork)?, 5, "began_before", 5)
}

fn a_process_that_ends_inside_is_told() -> Result<()> {
    let run = traced(&["-L", "libtracee:tracee_add", "libtracee:tracee_leave"], &["leave", "30"])?;
    kept_and_told(&run, 30, "never_returned", 1)?;
    let run = traced(&["-L", "--follow", "libtracee:tracee_leave"], &["exit-inside", "5"])?;
    kept_and_told(&run, 0, "never_returned", 5)
}

fn a_thread_that_ends_inside_is_told() -> Result<()> {
    let run = traced(&["-L", "libtracee:tracee_add", "libtracee:tracee_end"], &["thread-ends-inside", "7"])?;
    kept_and_told(&run, 7, "never_returned", 7)
}

fn an_exec_ends_the_calls_of_the_old_program() -> Result<()> {
    let again = binaries::tracee().display().to_string();
    let exec = ["exec-between", &again, "30", "call", "add", "1", "12"];
    let run = traced(&["-L", "libtracee:tracee_add", "libtracee:tracee_exec"], &exec)?;
    kept_and_told(&run, 42, "never_returned", 1)
}

/// The kernel shows no return of a call that it did not see begin.
fn a_call_that_began_before_is_in_no_row() -> Result<()> {
    kept_and_told(&traced(&["-L", "libtracee:tracee_block"], &["began-before", "3"])?, 3, "", 0)
}

/// Threads that are in a call when their process ends.
fn calls_that_never_end_are_told() -> Result<()> {
    kept_and_told(&traced(&["-L", "libtracee:tracee_block"], &["stays-inside", "3"])?, 0, "never_returned", 3)
}

fn calls_in_flight_at_the_end_are_told() -> Result<()> {
    let mut command = Command::new(binaries::tracee());
    let mut work = Work::start(command.args(["--wait", "--hold", "stays-inside", "3"]))?;
    let trace = func(&["-L", "libtracee:tracee_block", "-p", &work.pid()]).start()?;
    work.run()?;
    let run = trace.interrupt()?;
    work.release()?;
    work.end()?;
    kept_and_told(&run, 0, "in_flight", 3)
}
