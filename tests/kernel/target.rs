//! Whom spoor listens to.
use std::process::Command;

use spoor_tests::cgroup::Cgroup;
use spoor_tests::process::Process;
use spoor_tests::{Context, Result, Work, binaries, ensure, ensure_eq, sys, syscalls};

crate::tests![
    a_pid_means_all_threads_of_the_process,
    two_pids_are_both_traced,
    a_tid_means_one_thread,
    two_tids_of_three,
    comm_is_a_pattern,
    comm_and_pid_must_both_match,
    a_cgroup_includes_its_descendants,
    a_process_that_joins_the_cgroup_later_is_traced,
    follow_adds_children_born_later,
    follow_adds_the_children_of_children,
    follow_takes_the_children_that_exist,
    without_follow_children_are_not_traced,
    follow_keeps_a_process_through_exec,
    a_command_that_execs_stays_the_target,
    the_end_of_the_target_ends_the_run,
    a_target_that_has_ended_is_said_to_have,
    the_end_of_one_of_two_targets_does_not,
    the_end_of_all_that_is_followed_ends_the_run,
    the_end_of_the_command_ends_the_run,
    the_command_keeps_its_standard_input,
    a_duration_ends_the_run,
    no_target_is_the_whole_machine_without_spoor,
    a_process_in_another_pid_namespace_has_the_callers_number,
    in_a_pid_namespace_a_pid_is_of_that_namespace,
    in_a_pid_namespace_a_command_is_traced,
    in_a_pid_namespace_children_are_followed,
    a_pid_namespace_below_is_followed,
    the_end_of_the_thread_ends_the_run,
    a_process_that_has_ended_already_ends_the_run,
    an_exec_by_a_thread_is_one_call_with_its_duration,
    stacks_that_change_hands_are_told_apart,
];

fn a_pid_means_all_threads_of_the_process() -> Result<()> {
    let run = syscalls(&["--by", "tid,syscall"]).attached_to(&["threads", "3", "700"])?;
    run.calls_of("getppid", 2100)?;
    let counts: Vec<u64> = run
        .report()?
        .rows()?
        .iter()
        .filter(|row| row.is(&[("syscall", "getppid")]).unwrap_or(false))
        .map(|row| row.count())
        .collect::<Result<_>>()?;
    ensure_eq!(counts, [700, 700, 700], "getppid by thread in {run}");
    Ok(())
}

fn two_pids_are_both_traced() -> Result<()> {
    let mut works =
        [Work::waiting(&["getppid", "100"])?, Work::waiting(&["getppid", "200"])?, Work::waiting(&["getppid", "400"])?];
    let pids: Vec<String> = works.iter().map(Work::pid).collect();
    let trace = syscalls(&["--by", "pid,syscall", "-p", &pids[0], "-p", &pids[1]]).start()?;
    for work in &mut works {
        work.run()?;
    }
    let run = trace.finish()?;
    let report = run.report()?;
    for (pid, count) in [(&pids[0], 100), (&pids[1], 200)] {
        ensure_eq!(report.row(&[("pid", pid), ("syscall", "getppid")])?.count()?, count, "calls of {pid} in {run}");
    }
    run.calls_of("getppid", 300)
}

fn a_tid_means_one_thread() -> Result<()> {
    let mut work = Work::waiting(&["threads", "3", "900"])?;
    let tid = work.others()[1].to_string();
    let trace = syscalls(&["--by", "tid,syscall", "-t", &tid]).start()?;
    work.run()?;
    work.end()?;
    let run = trace.finish()?;
    // Its readv began before and returns; then its work, its writev, its exit.
    run.calls_are(&[("getppid", 900), ("readv", 1), ("writev", 1), ("exit", 1)])?;
    ensure_eq!(run.report()?.counts_by("tid")?.into_keys().collect::<Vec<_>>(), [tid], "threads in {run}");
    Ok(())
}

fn two_tids_of_three() -> Result<()> {
    let mut work = Work::waiting(&["threads", "3", "900"])?;
    let [a, b] = [0, 2].map(|i: usize| work.others()[i].to_string());
    let trace = syscalls(&["-t", &a, "-t", &b]).start()?;
    work.run()?;
    work.end()?;
    trace.finish()?.calls_are(&[("getppid", 1800), ("readv", 2), ("writev", 2), ("exit", 2)])
}

/// One workload with the name and one without, the whole machine in view.
fn comm_is_a_pattern() -> Result<()> {
    let mut named = Work::holding(&["comm", "spoor-name-7", "800"])?;
    let mut other = Work::holding(&["comm", "spoor-mane-7", "800"])?;
    let trace = syscalls(&["--by", "comm,syscall", "--comm", "spoor-n?m*-[0-9]"]).start()?;
    named.run()?;
    other.run()?;
    let run = trace.interrupt()?;
    let report = run.report()?;
    ensure_eq!(report.row(&[("comm", "spoor-name-7"), ("syscall", "getppid")])?.count()?, 800, "calls in {run}");
    ensure_eq!(report.counts_by("comm")?.len(), 1, "names in {run}");
    Ok(())
}

fn comm_and_pid_must_both_match() -> Result<()> {
    for (pattern, count) in [("spoor-*", 50), ("no-such-*", 0)] {
        let run = syscalls(&["--comm", pattern]).attached_to(&["comm", "spoor-name", "50"])?;
        run.calls_of("getppid", count)?;
    }
    Ok(())
}

/// One process in the cgroup, one in its child, one outside.
fn a_cgroup_includes_its_descendants() -> Result<()> {
    let outer = Cgroup::new("descendants")?;
    let inner = outer.child("inner")?;
    let mut works =
        [Work::holding(&["getppid", "100"])?, Work::holding(&["getppid", "200"])?, Work::holding(&["getppid", "400"])?];
    outer.add(works[0].process().pid())?;
    inner.add(works[1].process().pid())?;
    let trace = syscalls(&["--by", "pid,syscall", "--cgroup", &outer.path()]).start()?;
    for work in &mut works {
        work.run()?;
    }
    let run = trace.interrupt()?;
    run.calls_of("getppid", 300)?;
    ensure!(!run.report()?.counts_by("pid")?.contains_key(&works[2].pid()), "the process outside is in {run}");
    Ok(())
}

fn a_process_that_joins_the_cgroup_later_is_traced() -> Result<()> {
    let group = Cgroup::new("later")?;
    let mut work = Work::holding(&["getppid", "600"])?;
    let trace = syscalls(&["--cgroup", &group.path()]).start()?;
    group.add(work.process().pid())?;
    work.run()?;
    trace.interrupt()?.calls_of("getppid", 600)
}

fn follow_adds_children_born_later() -> Result<()> {
    let run = syscalls(&["--follow", "--by", "pid,syscall"]).attached_to(&["children", "5", "300"])?;
    run.calls_are(&[("getppid", 1500), ("clone", 5), ("wait4", 5), ("exit_group", 6), ("readv", 1), ("writev", 1)])?;
    ensure_eq!(run.report()?.counts_by("pid")?.len(), 6, "processes in {run}");
    Ok(())
}

fn follow_adds_the_children_of_children() -> Result<()> {
    let run = syscalls(&["--follow"]).attached_to(&["children", "3", "100", "4"])?;
    run.calls_are(&[("getppid", 1200), ("clone", 12), ("wait4", 12), ("exit_group", 13), ("readv", 1), ("writev", 1)])
}

/// The children's readv began before, like their parent's.
fn follow_takes_the_children_that_exist() -> Result<()> {
    let run = syscalls(&["--follow"]).attached_to(&["child-exists", "4", "250"])?;
    run.calls_are(&[("getppid", 1000), ("wait4", 4), ("exit_group", 5), ("readv", 5), ("writev", 2)])
}

fn without_follow_children_are_not_traced() -> Result<()> {
    syscalls(&[]).attached_to(&["children", "5", "300"])?.calls_of("getppid", 0)?;
    syscalls(&[]).attached_to(&["child-exists", "5", "300"])?.calls_of("getppid", 0)
}

/// execve is known by its number at its return, when the registers are those of the new program.
fn follow_keeps_a_process_through_exec() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    for args in [&["--follow"][..], &[], &["-L"]] {
        syscalls(args).attached_to(&["exec", &workload, "7"])?.calls_of("execve", 7)?;
    }
    Ok(())
}

/// Its own exec, and those that it makes.
fn a_command_that_execs_stays_the_target() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let run = syscalls(&[]).around(&["exec", &workload, "4"])?;
    run.calls_of("execve", 5)?;
    run.calls_of("exit_group", 1)
}

fn the_end_of_the_target_ends_the_run() -> Result<()> {
    let mut work = Work::holding(&["getppid", "10"])?;
    let mut trace = syscalls(&["-p", &work.pid()]).start()?;
    work.run()?;
    ensure!(trace.process.is_running()?, "spoor ended while its target runs");
    work.release()?;
    work.end()?;
    trace.finish()?.calls_of("getppid", 10)
}

/// A zombie, which is there until it is waited for. In the first report only.
fn a_target_that_has_ended_is_said_to_have() -> Result<()> {
    let mut child =
        Command::new(binaries::workload()).args(["getppid", "0"]).stdout(std::process::Stdio::null()).spawn()?;
    let pid = child.id();
    ensure!(sys::wait_for_end(pid, spoor_tests::patience())?, "the workload runs on");
    let said = format!("process {pid} had already ended when tracing began");
    for args in [&[][..], &["--follow"]] {
        let run = syscalls(&["-p", &pid.to_string()]).and(args).run()?;
        ensure_eq!(run.report()?.0["notes"][0], said, "note of {run}");
    }
    let text = spoor_tests::spoor(&["syscalls", "-t", &pid.to_string()]).run()?;
    ensure!(text.stdout.contains(&said.replace("process", "note: thread")), "not said: {text}");
    child.wait()?;
    let mut work = Work::holding(&["threads", "2", "5"])?;
    let trace = syscalls(&["-p", &work.pid()]).start()?;
    work.run()?;
    let run = trace.interrupt()?;
    ensure!(run.report()?.0.get("notes").is_none(), "a note on a process that runs: {run}");
    Ok(())
}

fn the_end_of_one_of_two_targets_does_not() -> Result<()> {
    let (mut first, mut second) = (Work::waiting(&["getppid", "10"])?, Work::waiting(&["getppid", "20"])?);
    let mut trace = syscalls(&["-p", &first.pid(), "-p", &second.pid()]).start()?;
    first.run()?;
    first.end()?;
    ensure!(trace.process.is_running()?, "spoor ended while a target runs");
    second.run()?;
    second.end()?;
    trace.finish()?.calls_of("getppid", 30)
}

/// The target, and the children that it had: all gone, nobody is left to trace.
fn the_end_of_all_that_is_followed_ends_the_run() -> Result<()> {
    let mut work = Work::waiting(&["children", "3", "10"])?;
    let trace = syscalls(&["--follow", "-p", &work.pid()]).start()?;
    work.run()?;
    work.end()?;
    trace.finish()?.calls_of("getppid", 30)
}

fn the_end_of_the_command_ends_the_run() -> Result<()> {
    let run = syscalls(&["-d", "1h"]).around(&["getppid", "10"])?;
    run.calls_of("getppid", 10)
}

/// The workload waits for a line on the standard input that spoor was given.
fn the_command_keeps_its_standard_input() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let mut trace = syscalls(&["--", &workload, "--wait", "getppid", "10"]).start()?;
    trace.process.stdout.wait_for("ready ")?;
    trace.process.line()?;
    let run = trace.finish()?;
    run.calls_of("getppid", 10)?;
    ensure!(run.stdout.contains("done\n{\"getppid\":10}\n"), "no output of the command: {run}");
    Ok(())
}

fn a_duration_ends_the_run() -> Result<()> {
    let mut work = Work::holding(&["getppid", "10"])?;
    let trace = syscalls(&["-p", &work.pid(), "-d", "1500ms"]).start()?;
    work.run()?;
    let run = trace.finish()?;
    run.calls_of("getppid", 10)?;
    let elapsed = run.report()?.0["elapsed_ns"].as_u64().unwrap_or(0);
    ensure!(elapsed >= 1_500_000_000, "traced for {elapsed} ns: {run}");
    Ok(())
}

fn no_target_is_the_whole_machine_without_spoor() -> Result<()> {
    let mut works = [Work::holding(&["getppid", "3000"])?, Work::holding(&["getppid", "5000"])?];
    let trace = syscalls(&["--by", "pid,syscall"]).start()?;
    let own = trace.pid().to_string();
    for work in &mut works {
        work.run()?;
    }
    let run = trace.interrupt()?;
    let report = run.report()?;
    for (work, count) in works.iter().zip([3000, 5000]) {
        ensure_eq!(
            report.row(&[("pid", &work.pid()), ("syscall", "getppid")])?.count()?,
            count,
            "calls of {}",
            work.pid()
        );
    }
    ensure!(!report.counts_by("pid")?.contains_key(&own), "spoor's own calls are in the report");
    Ok(())
}

/// A workload that is PID 1 in a namespace of its own: its launcher knows the number that it has here.
pub fn namespaced(args: &[&str]) -> Result<(Work, u32)> {
    let workload = binaries::workload();
    let mut command = Command::new(workload);
    command.arg("in-pidns").arg(workload).args(["--wait", "--hold"]).args(args);
    let mut work = Work::start(&mut command)?;
    let pid = launched(work.process())?;
    ensure_eq!(work.own_pid(), 1, "PID in the new namespace");
    Ok((work, pid))
}

/// Whom a launcher launched.
pub fn launched(launcher: &Process) -> Result<u32> {
    let line = launcher.stdout.wait_for("launched ")?;
    line.split(' ').nth(1).and_then(|pid| pid.parse().ok()).context("a PID after launched")
}

fn a_process_in_another_pid_namespace_has_the_callers_number() -> Result<()> {
    let (mut work, pid) = namespaced(&["getppid", "350"])?;
    let pid = pid.to_string();
    let trace = syscalls(&["-p", &pid, "--by", "pid,tid,syscall"]).start()?;
    work.run()?;
    let run = trace.interrupt()?;
    ensure_eq!(
        run.report()?.row(&[("pid", &pid), ("tid", &pid), ("syscall", "getppid")])?.count()?,
        350,
        "calls in {run}"
    );
    Ok(())
}

/// `-p 1` in there is the workload, not this machine's init. Spoor is interrupted first: everybody in there dies with PID 1.
fn in_a_pid_namespace_a_pid_is_of_that_namespace() -> Result<()> {
    let (mut work, pid) = namespaced(&["getppid", "350"])?;
    let workload = binaries::workload().display().to_string();
    let setup = syscalls(&["-p", "1", "--by", "pid,syscall"]);
    let trace = setup.through(&[&workload, "enter-pidns", &pid.to_string()]).start()?;
    work.run()?;
    let spoor = launched(&trace.process)?;
    sys::kill(spoor, sys::SIGINT)?;
    let run = trace.finish()?;
    ensure_eq!(run.report()?.row(&[("pid", "1"), ("syscall", "getppid")])?.count()?, 350, "calls in {run}");
    ensure_eq!(run.report()?.counts_by("pid")?.len(), 1, "processes in {run}");
    Ok(())
}

/// Spoor is PID 1, its command the next one.
fn in_a_pid_namespace_a_command_is_traced() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let setup = syscalls(&["--by", "pid,syscall"]).through(&[&workload, "in-pidns"]);
    let run = setup.around(&["getppid", "450"])?;
    run.calls_of("getppid", 450)?;
    let pids = run.report()?.counts_by("pid")?;
    ensure!(pids.len() == 1 && pids.keys().all(|pid| pid.len() < 3 && pid != "0"), "PIDs {pids:?}: {run}");
    Ok(())
}

fn in_a_pid_namespace_children_are_followed() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let setup = syscalls(&["--follow"]).through(&[&workload, "in-pidns"]);
    let run = setup.around(&["children", "3", "100", "2"])?;
    run.calls_of("getppid", 600)?;
    run.calls_of("exit_group", 7)
}

/// A process of a namespace in the namespace has a number in both. Its own PID 1 is not spoor's.
fn a_pid_namespace_below_is_followed() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let setup = syscalls(&["--follow", "--by", "pid,syscall"]).through(&[&workload, "in-pidns"]);
    let run = setup.around(&["in-pidns", &workload, "children", "3", "100", "2"])?;
    run.calls_of("getppid", 600)?;
    let pids = run.report()?.counts_by("pid")?;
    ensure!(!pids.contains_key("1") && !pids.contains_key("0"), "PIDs {pids:?}: {run}");
    Ok(())
}

/// The process goes on.
fn the_end_of_the_thread_ends_the_run() -> Result<()> {
    let mut work = Work::holding(&["threads", "3", "900"])?;
    let tid = work.others()[1].to_string();
    let trace = syscalls(&["-t", &tid]).start()?;
    work.run()?;
    let run = trace.finish()?;
    run.calls_are(&[("getppid", 900), ("readv", 1), ("writev", 1), ("exit", 1)])?;
    work.release()?;
    work.end()
}

/// A child that nobody has waited for yet.
fn a_process_that_has_ended_already_ends_the_run() -> Result<()> {
    let mut command = Command::new(binaries::workload());
    let mut child = command.args(["getppid", "0"]).stdout(std::process::Stdio::null()).spawn()?;
    sys::wait_without_reaping(child.id())?;
    let pid = child.id().to_string();
    for args in [&[][..], &["--follow"], &["-t", &pid]] {
        let run = syscalls(&["-p", &pid]).and(args).run()?;
        ensure_eq!(run.code(), 0, "status of {run}");
    }
    child.wait()?;
    Ok(())
}

/// The thread takes the number of the first one, in the middle of its call.
fn an_exec_by_a_thread_is_one_call_with_its_duration() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    for args in [&[][..], &["-L"], &["-L", "--follow"]] {
        let run = syscalls(args).attached_to(&["exec-thread", &workload, "7"])?;
        run.calls_of("execve", 1)?;
        run.calls_of("getppid", 7)?;
    }
    let events = syscalls(&["--events"]).attached_to(&["exec-thread", &workload, "7"])?;
    let exec = events.stdout.lines().find(|line| line.contains("execve")).context("an execve")?;
    ensure!(exec.contains(&workload) && exec.contains("elapsed_ns\":"), "no path or duration: {exec}");
    Ok(())
}

/// Who is meant is remembered by the address of a thread's stack, and a stack goes from one that has ended to the next:
/// children of a traced process and of a stranger, all at once.
fn stacks_that_change_hands_are_told_apart() -> Result<()> {
    let mut works = [Work::waiting(&["children", "40", "50", "20"])?, Work::waiting(&["children", "40", "50", "20"])?];
    let trace = syscalls(&["--follow", "-p", &works[0].pid()]).start()?;
    for work in &mut works {
        work.release()?;
    }
    for work in &mut works {
        work.done()?;
    }
    trace.interrupt()?.calls_of("getppid", 40_000)
}
