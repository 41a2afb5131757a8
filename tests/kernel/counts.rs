//! N calls are N: by name, by thread, beside the calls of others.
use spoor_tests::{Result, Work, ensure, ensure_eq, scaled, spoor, syscalls};

crate::tests![
    n_calls_are_counted_as_n,
    no_call_is_no_row,
    who_makes_no_call_is_told_what_to_look_at_next,
    a_command_is_traced_from_its_first_instruction,
    errors_are_counted_beside_calls,
    every_error_has_its_name,
    numbers_without_a_name_print_as_numbers,
    threads_at_once_lose_nothing,
    a_million_calls_are_a_million,
    calls_of_other_processes_are_not_counted,
    calls_before_and_after_are_not_counted,
];

/// The whole table: the work, and what the workload's protocol says (one readv that began before, one writev, the end).
fn n_calls_are_counted_as_n() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["getppid", "1000"])?;
    run.calls_are(&[("getppid", 1000), ("readv", 1), ("writev", 1), ("exit_group", 1)])
}

fn no_call_is_no_row() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["getppid", "0"])?;
    run.calls_are(&[("readv", 1), ("writev", 1), ("exit_group", 1)])
}

/// It waits in the call that it made before.
fn who_makes_no_call_is_told_what_to_look_at_next() -> Result<()> {
    let work = Work::waiting(&["getppid", "1"])?;
    let run = spoor(&["syscalls", "-d", "200ms", "-p", &work.pid()]).run()?;
    ensure_eq!(run.code(), 0, "status of {run}");
    for words in ["no events matched", "`spoor profile`"] {
        ensure!(run.stdout.contains(words), "no `{words}` in {run}");
    }
    Ok(())
}

/// The exec that starts it, the loader's calls, its own, its end; its output stays its own.
fn a_command_is_traced_from_its_first_instruction() -> Result<()> {
    let run = syscalls(&[]).around(&["getppid", "1000"])?;
    let report = run.report()?;
    run.calls_of("getppid", 1000)?;
    run.calls_of("exit_group", 1)?;
    run.calls_of("execve", 1)?;
    // The stop that it waited in is not its own.
    run.calls_of("kill", 0)?;
    ensure!(report.calls("brk")? + report.calls("mmap")? > 0, "nothing of its loader: {run}");
    ensure_eq!(run.output, "done\n{\"getppid\":1000}\n", "output of the command");
    Ok(())
}

fn errors_are_counted_beside_calls() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["mix", "500"])?;
    run.calls_are(&[
        ("getppid", 500),
        ("close", 1000),
        ("read", 1500),
        ("readv", 1),
        ("writev", 1),
        ("exit_group", 1),
    ])?;
    let report = run.report()?;
    for (syscall, errors) in [("getppid", 0), ("close", 1000), ("read", 0), ("exit_group", 0)] {
        ensure_eq!(report.row(&[("syscall", syscall)])?.value("errors")?, errors, "errors of {syscall} in {run}");
    }
    Ok(())
}

fn every_error_has_its_name() -> Result<()> {
    let run = syscalls(&["--by", "syscall,errno", "--where", "errno != 0"]).attached_to(&["errors", "300"])?;
    let report = run.report()?;
    for (syscall, errno) in [("openat", "ENOENT"), ("close", "EBADF"), ("lseek", "ESPIPE")] {
        ensure_eq!(report.row(&[("syscall", syscall), ("errno", errno)])?.count()?, 300, "{syscall} {errno} in {run}");
    }
    ensure_eq!(report.rows()?.len(), 3, "rows of {run}");
    Ok(())
}

fn numbers_without_a_name_print_as_numbers() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["badnr", "400"])?;
    run.calls_are(&[("9999", 400), ("-1", 400), ("readv", 1), ("writev", 1), ("exit_group", 1)])?;
    ensure_eq!(run.report()?.row(&[("syscall", "-1")])?.value("errors")?, 400, "errors of -1 in {run}");
    Ok(())
}

/// Four threads that start together: their 4 writev and 4 exit, and the 8 readv of the barrier.
fn threads_at_once_lose_nothing() -> Result<()> {
    let each = scaled(100_000);
    let run = syscalls(&[]).attached_to(&["threads", "4", &each.to_string()])?;
    run.calls_are(&[("getppid", 4 * each), ("readv", 9), ("writev", 6), ("exit", 4), ("exit_group", 1)])
}

fn a_million_calls_are_a_million() -> Result<()> {
    let n = scaled(1_000_000);
    let run = syscalls(&["--by", "comm,syscall"]).attached_to(&["getppid", &n.to_string()])?;
    run.calls_of("getppid", n)
}

/// A second workload does the same at the same time.
fn calls_of_other_processes_are_not_counted() -> Result<()> {
    let mut other = Work::waiting(&["getppid", "5000"])?;
    let mut work = Work::waiting(&["getppid", "1000"])?;
    let trace = syscalls(&["-p", &work.pid()]).start()?;
    other.release()?;
    work.release()?;
    other.done()?;
    work.end()?;
    trace.finish()?.calls_of("getppid", 1000)
}

/// Spoor is interrupted between two works of one process: the first in the report, the second not.
fn calls_before_and_after_are_not_counted() -> Result<()> {
    let mut work = Work::holding(&["getppid", "1000"])?;
    let trace = syscalls(&["-p", &work.pid()]).start()?;
    work.run()?;
    let run = trace.interrupt()?;
    work.release()?;
    work.end()?;
    run.calls_of("getppid", 1000)?;
    run.calls_of("exit_group", 0)
}
