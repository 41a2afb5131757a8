//! The workload of the function tests does what it says: by its own account, and by the kernel's counters of uprobes.
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use spoor_tests::folder::Folder;
use spoor_tests::uprobes::At::{Entry, Return};
use spoor_tests::uprobes::{At, Hits};
use spoor_tests::{Result, Work, binaries, ensure_eq, sys};

crate::tests![
    a_dynamic_program_calls_what_it_says,
    a_static_program_calls_what_it_says,
    a_tail_call_is_a_jump,
    calls_that_do_not_return_are_entered_only,
    children_call_what_they_say,
    a_library_that_is_loaded_late_is_called_as_often,
    a_library_in_another_mount_namespace_is_called_as_often,
];

/// A program that waits, up to the name of a mode, and the file that its functions are in.
type Program = fn() -> (Command, PathBuf);

fn dynamic() -> (Command, PathBuf) {
    let mut command = Command::new(binaries::tracee());
    command.arg("--wait");
    (command, binaries::tracee_library())
}

fn in_workload() -> (Command, PathBuf) {
    let mut command = Command::new(binaries::workload());
    command.args(["--wait", "tracee"]);
    (command, binaries::workload().to_owned())
}

/// Runs it: the hits of the functions are these, and it says so of itself.
fn hits(program: Program, args: &[&str], wanted: &[(&str, At, u64)], says: Value) -> Result<()> {
    let (mut command, file) = program();
    hits_in(command.args(args), |_| file, wanted, says)
}

/// `file` of its PID is where the functions are.
fn hits_in(
    command: &mut Command,
    file: impl FnOnce(&str) -> PathBuf,
    wanted: &[(&str, At, u64)],
    says: Value,
) -> Result<()> {
    let cpu = sys::own_cpu()?;
    sys::pin(command, cpu);
    let mut work = Work::start(command)?;
    let file = file(&work.pid());
    let counters: Vec<Hits> =
        wanted.iter().map(|(symbol, at, _)| Hits::of(&file, symbol, *at, cpu)).collect::<Result<_>>()?;
    ensure_eq!(work.run()?, says, "what the workload says");
    work.end()?;
    for (counter, (symbol, at, count)) in counters.iter().zip(wanted) {
        ensure_eq!(counter.count()?, *count, "{at:?} of {symbol}");
    }
    Ok(())
}

/// 0 + 1 .. 99 is 4950.
fn calls_are_what_it_says(program: Program) -> Result<()> {
    let add = [("tracee_add", Entry, 300), ("tracee_add", Return, 300), ("tracee_negative", Entry, 0)];
    hits(program, &["call", "add", "3", "100"], &add, json!({"calls": 300, "sum": 3 * 3 * 4950}))?;
    let late = [("tracee_add", Entry, 300)];
    hits(program, &["late-threads", "add", "3", "100"], &late, json!({"calls": 300, "sum": 3 * 3 * 4950}))?;
    // 10 calls from outside, each 11 in all.
    let recurse = [("tracee_recurse", Entry, 110), ("tracee_recurse", Return, 110)];
    hits(program, &["call", "recurse", "2", "5", "10"], &recurse, json!({"calls": 10, "sum": 100}))?;
    // Two names of one address.
    let alias = [("tracee_alias_one", Entry, 100), ("tracee_alias_two", Entry, 100)];
    hits(program, &["call", "alias", "1", "100"], &alias, json!({"calls": 100, "sum": 4950 + 100}))?;
    let ifunc = [("tracee_ifunc_chosen", Entry, 100)];
    hits(program, &["call", "ifunc", "1", "100"], &ifunc, json!({"calls": 100, "sum": 3 * 4950}))?;
    let parts = [("tracee_whole", Entry, 100), ("tracee_whole.isra.0", Entry, 100), ("tracee_whole.cold", Entry, 100)];
    hits(program, &["call", "whole", "1", "100"], &parts, json!({"calls": 100, "sum": 4 * 4950}))?;
    let put = [("_ZN5store3putEiPKc", Entry, 100), ("_ZN5store3putEl", Entry, 0)];
    hits(program, &["call", "put", "1", "100"], &put, json!({"calls": 100, "sum": 4950}))?;
    let give = [("_RNvCs1234_5store4give", Entry, 100), ("_ZN5store4take17h0123456789abcdefE", Entry, 0)];
    hits(program, &["call", "give", "1", "100"], &give, json!({"calls": 100, "sum": 4950}))
}

fn a_dynamic_program_calls_what_it_says() -> Result<()> {
    calls_are_what_it_says(dynamic)
}

fn a_static_program_calls_what_it_says() -> Result<()> {
    calls_are_what_it_says(in_workload)
}

/// The second function sees that it returns to the caller of the first one: the sum counts it.
fn a_tail_call_is_a_jump() -> Result<()> {
    for program in [dynamic as Program, in_workload] {
        let both = [("tracee_tail_a", Entry, 100), ("tracee_tail_b", Entry, 100)];
        hits(program, &["call", "tail", "2", "50"], &both, json!({"calls": 100, "sum": 100}))?;
    }
    Ok(())
}

fn calls_that_do_not_return_are_entered_only() -> Result<()> {
    let leap = [("tracee_leap", Entry, 50), ("tracee_leap", Return, 0)];
    hits(dynamic, &["leap", "10", "4"], &leap, json!({"calls": 50, "leaps": 10}))?;
    let leave = [("tracee_leave", Entry, 1), ("tracee_leave", Return, 0), ("tracee_add", Return, 3)];
    hits(dynamic, &["leave", "3"], &leave, json!({"calls": 3}))?;
    let end = [("tracee_end", Entry, 5), ("tracee_end", Return, 0), ("tracee_add", Return, 5)];
    hits(dynamic, &["thread-ends-inside", "5"], &end, json!({"calls": 5}))?;
    let stay = [("tracee_block", Entry, 3), ("tracee_block", Return, 0)];
    hits(dynamic, &["stays-inside", "3"], &stay, json!({"calls": 3}))?;
    // What began before has no return either: the kernel did not see it begin.
    let began = [("tracee_block", Entry, 3), ("tracee_block", Return, 3)];
    hits(dynamic, &["began-before", "3"], &began, json!({"calls": 3, "began_before": 1}))
}

fn children_call_what_they_say() -> Result<()> {
    let fork = [("tracee_add", Entry, 2 * 20 + 5 * 20)];
    hits(dynamic, &["fork-between", "5", "20"], &fork, json!({"calls": 40, "calls_of_children": 100}))?;
    let inside = [("tracee_fork", Entry, 5), ("tracee_fork", Return, 10)];
    hits(dynamic, &["fork-inside", "5"], &inside, json!({"calls": 5, "returns_of_children": 5}))?;
    let exit = [("tracee_leave", Entry, 5), ("tracee_leave", Return, 0)];
    hits(dynamic, &["exit-inside", "5"], &exit, json!({"calls": 5}))?;
    let vfork = [("tracee_add", Entry, 120), ("tracee_add", Return, 120)];
    hits(dynamic, &["vfork-between", "5", "20"], &vfork, json!({"calls": 20, "calls_of_children": 100}))?;
    let signals = [("tracee_raise", Entry, 7), ("tracee_handler", Entry, 7), ("tracee_handler", Return, 7)];
    hits(dynamic, &["signals", "7"], &signals, json!({"calls": 7}))?;
    let again = binaries::tracee().display().to_string();
    let exec = [("tracee_add", Entry, 30 + 12), ("tracee_exec", Entry, 1), ("tracee_exec", Return, 0)];
    hits(dynamic, &["exec-between", &again, "30", "call", "add", "1", "12"], &exec, json!({"calls": 12, "sum": 3 * 66}))
}

fn a_library_that_is_loaded_late_is_called_as_often() -> Result<()> {
    let folder = Folder::new()?;
    let late = folder.file("late.so");
    std::fs::copy(binaries::tracee_library(), &late)?;
    let (mut command, _) = dynamic();
    command.args(["late-library", &folder.text("late.so"), "3", "100"]);
    hits_in(&mut command, |_| late, &[("tracee_add", Entry, 300)], json!({"calls": 300, "sum": 3 * 3 * 4950}))
}

fn a_library_in_another_mount_namespace_is_called_as_often() -> Result<()> {
    let folder = Folder::new()?;
    let mut command = Command::new(binaries::workload());
    command.arg("linked-elsewhere").arg(folder.path()).arg(binaries::tracee()).arg(binaries::tracee_library());
    command.args(["--wait", "call", "add", "1", "100"]);
    let inside = folder.file("libtracee.so");
    let file = |pid: &str| PathBuf::from(format!("/proc/{pid}/root{}", inside.display()));
    hits_in(&mut command, file, &[("tracee_add", Entry, 100)], json!({"calls": 100, "sum": 3 * 4950}))?;
    ensure_eq!(inside.exists(), false, "whether {} is seen outside", inside.display());
    Ok(())
}
