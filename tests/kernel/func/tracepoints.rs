//! Tracepoints: their fields are by name, texts among them.
use spoor_tests::{Result, Work, binaries, ensure_eq, func};

use super::{by_key, calls_are, only_value, traced, traced_of};

crate::tests![
    a_tracepoint_is_counted_for_its_target,
    fields_of_a_record_are_keys,
    a_field_whose_name_is_taken_has_a_long_one,
    a_text_behind_the_record_is_a_key,
    a_text_in_the_record_is_a_key,
    a_predicate_picks_a_process_of_all,
    an_array_has_an_argument_for_each_of_its_items,
    several_tracepoints_are_several_rows,
    a_tracepoint_has_no_return,
    an_unknown_tracepoint_is_refused,
];

fn getppid(n: u64) -> Result<Work> {
    Work::waiting(&["getppid", &n.to_string()])
}

fn a_tracepoint_is_counted_for_its_target() -> Result<()> {
    let run = traced_of(getppid(1000)?, &["tracepoint:syscalls:sys_enter_getppid"])?;
    calls_are(&run, &[("sys_enter_getppid", 1000)])?;
    let run = traced_of(getppid(1000)?, &["tracepoint:syscalls:sys_enter_getppid", "--by", "module,comm"])?;
    let row = run.report()?.row(&[("module", "syscalls"), ("comm", "workload")])?;
    ensure_eq!(row.count()?, 1000, "calls in {run}");
    Ok(())
}

/// 40 descriptors that nobody has, each closed 25 times.
fn fields_of_a_record_are_keys() -> Result<()> {
    let work = Work::waiting(&["keys", "40", "25"])?;
    let run = traced_of(work, &["tracepoint:syscalls:sys_enter_close", "--by", "fd"])?;
    let counts = run.report()?.counts_by("fd")?;
    let wanted = (0..40).map(|key| ((1_000_000 + key).to_string(), 25)).collect();
    ensure_eq!(counts, wanted, "calls by fd in {run}");
    Ok(())
}

/// `ret` is what a function returns.
fn a_field_whose_name_is_taken_has_a_long_one() -> Result<()> {
    let run = traced_of(getppid(200)?, &["tracepoint:syscalls:sys_exit_getppid", "--by", "args.ret"])?;
    by_key(&run, "args.ret", &[(&std::process::id().to_string(), 200)])?;
    let work = Work::waiting(&["errors", "30"])?;
    let run = traced_of(work, &["tracepoint:syscalls:sys_exit_lseek", "--by", "args.ret"])?;
    by_key(&run, "args.ret", &[("-29", 30)])?;
    let work = Work::waiting(&["keys", "1", "25"])?;
    let run = traced_of(work, &["tracepoint:syscalls:sys_enter_close", "--where", "args.fd == 1000000"])?;
    calls_are(&run, &[("sys_enter_close", 25)])
}

/// `__data_loc char[] filename`.
fn a_text_behind_the_record_is_a_key() -> Result<()> {
    let again = binaries::tracee().display().to_string();
    let exec = ["exec-between", &again, "1", "call", "add", "1", "1"];
    let run = traced(&["tracepoint:sched:sched_process_exec", "--by", "filename"], &exec)?;
    by_key(&run, "filename", &[(&again, 1)])?;
    for (condition, count) in [("filename == \"*/tracee\"", 1), ("filename == \"/nowhere*\"", 0)] {
        let run = traced(&["tracepoint:sched:sched_process_exec", "--where", condition], &exec)?;
        ensure_eq!(run.report()?.kept()?, count, "execs with {condition} in {run}");
    }
    Ok(())
}

/// `char prev_comm[16]`, which a name of 15 bytes fills. The end of a process leaves the CPU.
fn a_text_in_the_record_is_a_key() -> Result<()> {
    let work = Work::waiting(&["comm", "a name of 15 b.", "120"])?;
    let run = traced_of(work, &["tracepoint:sched:sched_switch", "--by", "prev_comm"])?;
    let report = run.report()?;
    ensure_eq!(report.rows()?.len(), 1, "names in {run}");
    report.row(&[("prev_comm", "a name of 15 b.")])?;
    Ok(())
}

/// The whole machine is traced.
fn a_predicate_picks_a_process_of_all() -> Result<()> {
    let mut work = getppid(1000)?;
    let mut other = getppid(500)?;
    let condition = format!("pid == {}", work.pid());
    let trace = func(&["tracepoint:syscalls:sys_enter_getppid", "--where", &condition]).start()?;
    work.run()?;
    other.run()?;
    work.end()?;
    other.end()?;
    calls_are(&trace.interrupt()?, &[("sys_enter_getppid", 1000)])
}

/// `unsigned long args[6]`.
fn an_array_has_an_argument_for_each_of_its_items() -> Result<()> {
    let work = Work::waiting(&["keys", "1", "100"])?;
    let args = ["tracepoint:raw_syscalls:sys_enter", "--where", "args0 == 1000000", "--agg", "sum(args0)"];
    let run = traced_of(work, &args)?;
    ensure_eq!(only_value(&run, "sum(args0)")?, 100_000_000, "sum of the first item in {run}");
    Ok(())
}

fn several_tracepoints_are_several_rows() -> Result<()> {
    let work = Work::waiting(&["mix", "50"])?;
    let patterns = ["getppid", "close", "read"].map(|name| format!("tracepoint:syscalls:sys_enter_{name}"));
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let run = traced_of(work, &patterns)?;
    calls_are(&run, &[("sys_enter_getppid", 50), ("sys_enter_close", 100), ("sys_enter_read", 150)])
}

fn a_tracepoint_has_no_return() -> Result<()> {
    let run = func(&["-L", "tracepoint:sched:sched_switch", "-d", "1s"]).run()?;
    run.refused(2, &["`sched_switch`", "does not return"])
}

fn an_unknown_tracepoint_is_refused() -> Result<()> {
    let run = func(&["tracepoint:sched:no_such_event", "-d", "1s"]).run()?;
    run.refused(1, &["no tracepoint `sched:no_such_event`"])
}
