//! Files that come, go and hide: a probe is in the file, whoever runs it and whenever.
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use spoor_tests::folder::Folder;
use spoor_tests::{Context, Result, Trace, Work, binaries, ensure_eq, func};

use super::{calls_are, in_workload, library, traced, traced_of};

crate::tests![
    a_library_that_is_loaded_late_is_traced,
    processes_that_start_later_are_traced,
    a_command_is_traced_from_its_first_call,
    a_child_is_traced_where_it_is_followed,
    another_image_of_the_process_is_traced,
    an_exec_by_another_thread_is_told_or_followed,
    a_library_in_another_mount_namespace_is_found_by_its_short_name,
    a_program_in_another_mount_namespace_is_found_by_its_name,
    a_library_that_was_replaced_is_traced_as_it_runs,
    a_library_that_is_replaced_while_it_is_traced_goes_on,
];

/// Loaded, called and unloaded three times.
fn a_library_that_is_loaded_late_is_traced() -> Result<()> {
    let folder = Folder::new()?;
    let late = folder.text("late.so");
    fs::copy(binaries::tracee_library(), &late)?;
    let run = traced(&["-L", &format!("{late}:tracee_add")], &["late-library", &late, "3", "100"])?;
    calls_are(&run, &[("tracee_add", 300)])
}

/// Of the whole machine: no target, three processes after it was attached.
fn processes_that_start_later_are_traced() -> Result<()> {
    // A copy: nobody else has it.
    let (_folder, program, library) = installed()?;
    for latency in [&[][..], &["-L"]] {
        let trace = func(&[&format!("{library}:tracee_add")]).and(latency).start()?;
        ran_three_times(trace, &program)?;
    }
    Ok(())
}

fn ran_three_times(trace: Trace, program: &str) -> Result<()> {
    for _ in 0..3 {
        let status =
            Command::new(program).args(["call", "add", "2", "50"]).stdout(std::process::Stdio::null()).status()?;
        ensure_eq!(status.code(), Some(0), "status of the tracee");
    }
    calls_are(&trace.interrupt()?, &[("tracee_add", 300)])
}

/// A folder with a copy of the dynamic program and of its library: their paths.
fn installed() -> Result<(Folder, String, String)> {
    let folder = Folder::new()?;
    let (program, library) = (folder.text("tracee"), folder.text("libtracee.so"));
    fs::copy(binaries::tracee(), &program).context("copy the tracee")?;
    fs::copy(binaries::tracee_library(), &library).context("copy its library")?;
    Ok((folder, program, library))
}

fn a_command_is_traced_from_its_first_call() -> Result<()> {
    let tracee = binaries::tracee().display().to_string();
    for pattern in ["libtracee:tracee_add", "tracee_add", &format!("{}:tracee_add", library())] {
        let folder = Folder::new()?;
        let report = folder.text("report");
        let command = [&["--", &tracee], &["call", "add", "3", "50"][..]].concat();
        let mut run = func(&[pattern, "-o", &report]).and(&command).run()?;
        ensure_eq!(run.stdout, "done\n{\"calls\":150,\"sum\":11025}\n", "output of the command in {run}");
        run.stdout = fs::read_to_string(&report)?;
        calls_are(&run, &[("tracee_add", 150)]).with_context(|| pattern.to_owned())?;
    }
    // The same functions in the static program.
    let run = func(&["-L", "tracee_add"]).around(&["tracee", "call", "add", "3", "50"])?;
    calls_are(&run, &[("tracee_add", 150)])
}

/// 20 calls before the forks and 20 after them, 20 in each of 5 children.
fn a_child_is_traced_where_it_is_followed() -> Result<()> {
    let fork = ["fork-between", "5", "20"];
    for latency in [&[][..], &["-L"]] {
        let args = [&["libtracee:tracee_add"], latency].concat();
        calls_are(&traced(&args, &fork)?, &[("tracee_add", 40)])?;
        calls_are(&traced(&[&args[..], &["--follow"]].concat(), &fork)?, &[("tracee_add", 140)])?;
        let run = traced_of(in_workload(&fork)?, &[&["workload:tracee_add", "--follow"], latency].concat())?;
        calls_are(&run, &[("tracee_add", 140)])?;
    }
    let vfork = ["vfork-between", "5", "20"];
    calls_are(&traced(&["libtracee:tracee_add"], &vfork)?, &[("tracee_add", 20)])?;
    calls_are(&traced(&["libtracee:tracee_add", "--follow"], &vfork)?, &[("tracee_add", 120)])
}

/// The program runs itself once more: the process stays, and the library is mapped anew.
fn another_image_of_the_process_is_traced() -> Result<()> {
    let again = binaries::tracee().display().to_string();
    let run = traced(&["libtracee:tracee_add"], &["exec-between", &again, "30", "call", "add", "2", "12"])?;
    calls_are(&run, &[("tracee_add", 54)])
}

/// The kernel keeps to the memory of the first thread, which is gone then: told, unless probes are in every process.
fn an_exec_by_another_thread_is_told_or_followed() -> Result<()> {
    let again = binaries::tracee().display().to_string();
    let work = ["exec-by-thread", &again, "30", "call", "add", "2", "12"];
    let followed = traced(&["libtracee:tracee_add", "--follow"], &work)?;
    calls_are(&followed, &[("tracee_add", 54)])?;
    ensure_eq!(followed.report()?.lost_of_kind("exec_unseen")?, 0, "execs unseen of {followed}");
    let run = traced(&["libtracee:tracee_add"], &work)?;
    let report = run.report_with_loss()?;
    ensure_eq!((report.lost_of_kind("exec_unseen")?, report.lost()?), (1, 1), "execs unseen of {run}");
    let seen = BTreeMap::from([("tracee_add".to_owned(), 30)]);
    ensure_eq!(report.counts_by("func")?, seen, "calls in {run}");
    Ok(())
}

fn a_library_in_another_mount_namespace_is_found_by_its_short_name() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let folder = Folder::new()?;
        let run = traced_of(linked_elsewhere(&folder)?, &[&["libtracee:tracee_add"], latency].concat())?;
        calls_are(&run, &[("tracee_add", 100)])?;
        // By the path that it has in there.
        let pattern = format!("{}:tracee_add", folder.text("libtracee.so"));
        let run = traced_of(linked_elsewhere(&folder)?, &[&[&*pattern], latency].concat())?;
        calls_are(&run, &[("tracee_add", 100)])?;
        ensure_eq!(folder.file("libtracee.so").exists(), false, "whether the library is seen outside");
    }
    Ok(())
}

fn linked_elsewhere(folder: &Folder) -> Result<Work> {
    let mut command = Command::new(binaries::workload());
    command.arg("linked-elsewhere").arg(folder.path()).arg(binaries::tracee()).arg(binaries::tracee_library());
    Work::start(command.args(["--wait", "call", "add", "1", "100"]))
}

fn a_program_in_another_mount_namespace_is_found_by_its_name() -> Result<()> {
    let folder = Folder::new()?;
    let mut command = Command::new(binaries::workload());
    command.arg("elsewhere").arg(folder.path()).args(["--wait", "tracee", "call", "add", "1", "100"]);
    calls_are(&traced_of(Work::start(&mut command)?, &["hidden:tracee_add"])?, &[("tracee_add", 100)])?;
    let mut command = Command::new(binaries::workload());
    command.arg("elsewhere").arg(folder.path()).args(["--wait", "tracee", "call", "add", "1", "100"]);
    calls_are(&traced_of(Work::start(&mut command)?, &["tracee_add"])?, &[("tracee_add", 100)])
}

/// Another file has its path by the time that spoor comes.
fn a_library_that_was_replaced_is_traced_as_it_runs() -> Result<()> {
    let (folder, program, library) = installed()?;
    let work = Work::start(Command::new(&program).args(["--wait", "call", "add", "1", "100"]))?;
    replace(&folder, &library)?;
    calls_are(&traced_of(work, &["libtracee:tracee_add"])?, &[("tracee_add", 100)])
}

/// The old file's calls are counted on; those of who starts with the new one are another file's.
fn a_library_that_is_replaced_while_it_is_traced_goes_on() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let (folder, program, library) = installed()?;
        let mut work = Work::start(Command::new(&program).args(["--wait", "call", "add", "1", "100"]))?;
        let trace = func(&[&format!("{library}:tracee_add")]).and(latency).start()?;
        replace(&folder, &library)?;
        work.run()?;
        work.end()?;
        let mut other = Work::start(Command::new(&program).args(["--wait", "call", "add", "1", "7"]))?;
        other.run()?;
        other.end()?;
        calls_are(&trace.interrupt()?, &[("tracee_add", 100)])?;
    }
    Ok(())
}

/// As package managers do it: a new file under another name, then the name.
fn replace(folder: &Folder, library: &str) -> Result<()> {
    let new = folder.text("new");
    fs::copy(library, &new)?;
    fs::rename(&new, library).context("rename the new library over the old one")
}
