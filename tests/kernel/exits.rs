//! exit and exit_group never return, and are counted all the same: once each, and no other end of a thread is one.
use spoor_tests::{Result, Work, ensure_eq, syscalls};

crate::tests![
    threads_that_exit_are_counted,
    threads_that_exit_are_counted_with_latency,
    children_that_exit_are_counted_under_follow,
    threads_killed_by_an_exit_group_made_no_call,
    threads_killed_by_an_exit_group_made_no_call_with_latency,
    threads_that_exit_at_once_are_counted,
    a_killed_process_made_no_exit,
    exits_can_be_selected_by_their_argument,
];

fn threads_that_exit_are_counted() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["exit-thread", "300"])?;
    run.calls_are(&[("clone", 300), ("exit", 300), ("readv", 1), ("writev", 1), ("exit_group", 1)])
}

fn threads_that_exit_are_counted_with_latency() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["exit-thread", "300"])?;
    for (syscall, count) in [("clone", 300), ("exit", 300), ("exit_group", 1)] {
        run.calls_of(syscall, count)?;
    }
    Ok(())
}

fn children_that_exit_are_counted_under_follow() -> Result<()> {
    let run = syscalls(&["--follow"]).attached_to(&["exit-group", "50", "0"])?;
    run.calls_are(&[("clone", 50), ("wait4", 50), ("readv", 1), ("writev", 1), ("exit_group", 51)])
}

/// Three threads of each child spin when it leaves: the kernel kills them in user mode.
fn threads_killed_by_an_exit_group_made_no_call() -> Result<()> {
    let run = syscalls(&["--follow"]).attached_to(&["exit-group", "20", "3"])?;
    run.calls_are(&[("clone", 80), ("wait4", 20), ("readv", 1), ("writev", 1), ("exit_group", 21)])
}

fn threads_killed_by_an_exit_group_made_no_call_with_latency() -> Result<()> {
    let run = syscalls(&["--follow", "-L"]).attached_to(&["exit-group", "20", "3"])?;
    run.calls_of("exit_group", 21)?;
    run.calls_of("exit", 0)
}

/// The kill that it sends to itself never returns either; strace does not count it, nor do we have to.
fn a_killed_process_made_no_exit() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let mut work = Work::waiting(&["sigkill-me", "100"])?;
        let trace = syscalls(&["-p", &work.pid()]).and(latency).start()?;
        work.release()?;
        work.process().wait()?;
        let run = trace.finish()?;
        run.calls_of("getppid", 100)?;
        run.calls_of("exit_group", 0)?;
        run.calls_of("exit", 0)?;
    }
    Ok(())
}

/// The protocol's exit_group has the code that the workload was told to leave with.
fn exits_can_be_selected_by_their_argument() -> Result<()> {
    for (condition, count) in [("arg0 == 7", 1), ("arg0 != 7", 0)] {
        let condition = format!("syscall == \"exit_group\" && {condition}");
        let mut work = Work::waiting(&["--exit", "7", "getppid", "1"])?;
        let trace = syscalls(&["-p", &work.pid(), "--where", &condition]).start()?;
        work.run()?;
        ensure_eq!(work.process().wait()?.code(), Some(7), "exit status of the workload");
        trace.finish()?.calls_of("exit_group", count)?;
    }
    Ok(())
}

/// Where the traced processes are listed: a process leaves the list with the last of its threads, not before.
fn threads_that_exit_at_once_are_counted() -> Result<()> {
    for args in [&["--follow"][..], &["--follow", "-L"]] {
        let run = syscalls(args).attached_to(&["exits-at-once", "200", "8"])?;
        run.calls_of("exit", 1800)?;
    }
    Ok(())
}
