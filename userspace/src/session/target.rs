//! The target of a run: whether it exists, when it has ended, how it is called in words and in JSON.
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use crate::attach::target::{Target, in_container};
use crate::cli::plan::Plan;
use crate::error::Advice;
use crate::program::error::printable;
use crate::sinks::stderr;
use crate::sys::command::{self, Inherited, Stage, Stopped};
use crate::sys::process::{self, ProcessEnd};

/// Errors: a process or thread that does not exist.
pub fn check(target: &Target) -> Result<()> {
    for (what, option, ids) in [("process", "-p", &target.pids), ("thread", "-t", &target.tids)] {
        if let Some(id) = ids.iter().find(|id| !process::exists(**id)) {
            let place = if in_container() { ", in this PID namespace" } else { "" };
            return Err(Advice::new(
                format!("{option} {id}: no such {what}"),
                format!("ps -eL lists what runs here{place}"),
            )
            .into());
        }
        if option == "-p"
            && let Some((pid, owner)) = ids
                .iter()
                .find_map(|id| process::process_of_thread(*id).filter(|owner| owner != id).map(|owner| (id, owner)))
        {
            return Err(Advice::new(
                format!("-p {pid}: that is a thread of process {owner}"),
                format!("-t {pid} for the thread, -p {owner} for the process"),
            )
            .into());
        }
    }
    Ok(())
}

/// Starts the command up to its exec, and makes it the target.
pub fn spawn(run: &[OsString], target: &mut Target, inherited: Inherited) -> Result<Option<Stopped>> {
    let Some(name) = run.first() else { return Ok(None) };
    let Some(file) = command::find_command(name) else {
        let what = format!("run `{}`: no such command", printable(&name.to_string_lossy()));
        return Err(Advice::new(what, "give its path, or look at PATH").into());
    };
    let stopped =
        command::spawn_stopped(&file, run, inherited).with_context(|| format!("start `{}`", file.display()))?;
    target.pids = vec![stopped.pid];
    target.command = Some(run.iter().map(|word| word.to_string_lossy().into_owned()).collect());
    Ok(Some(stopped))
}

/// Lets the command run.
pub fn release(command: &Stopped, run: &[OsString]) -> Result<()> {
    command.release().map_err(|error| not_run(&run[0], &error).into())
}

fn not_run(name: &OsStr, error: &io::Error) -> Advice {
    let shown = printable(&name.to_string_lossy());
    let advice = match error.raw_os_error() {
        Some(libc::EACCES) if Path::new(name).is_dir() => "a program in it: that is a folder".to_owned(),
        Some(libc::EACCES) => format!("chmod +x {shown}, if it is a program"),
        _ => "look whether it is a program for this machine".to_owned(),
    };
    Advice::new(format!("run `{shown}`: {error}"), advice)
}

/// What tells when the targets have ended. None: nobody in particular is traced.
pub fn ends(plan: &Plan) -> Result<Option<Vec<ProcessEnd>>> {
    // Those that are listed are looked after there; a command's end is the end in any case.
    if plan.target.is_everything() || (plan.target.listed().is_some() && plan.run.is_empty()) {
        return Ok(None);
    }
    let mut ends = Vec::new();
    for pid in &plan.target.pids {
        match ProcessEnd::of(*pid) {
            Ok(end) => ends.push(end),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("watch process {pid}")),
        }
    }
    Ok(Some(ends))
}

/// Those that are there, as zombies that nobody waited for, or were a moment ago, and do nothing any more.
pub fn ended(target: &Target) -> Vec<String> {
    let ended = |what: &str, ids: &[u32], has_ended: fn(u32) -> bool| -> Vec<String> {
        let ids = ids.iter().filter(|id| has_ended(**id));
        ids.map(|id| format!("{what} {id} had already ended when tracing began")).collect()
    };
    let mut notes = ended("process", &target.pids, process::has_ended);
    notes.extend(ended("thread", &target.tids, process::thread_has_ended));
    notes
}

pub async fn all_end(ends: Option<Vec<ProcessEnd>>) {
    let Some(ends) = ends else { return std::future::pending().await };
    for end in &ends {
        end.wait().await;
    }
}

/// A command that was never let go ends with us. One that runs ends by itself or goes on; its exit is its own.
pub fn leave(command: &Stopped, quiet: bool) {
    match command.stage() {
        Stage::Waiting => command.abandon(),
        Stage::Released if !quiet => match command.try_wait() {
            Ok(Some(status)) if !status.success() => {
                stderr::say_line(format_args!("spoor: the command ended with {status}"));
            }
            Ok(None) => stderr::say_line(format_args!("spoor: the command (pid {}) goes on", command.pid)),
            _ => {}
        },
        Stage::Released | Stage::Failed => {}
    }
}

/// The processes and threads as alternatives in D; none where everybody is meant. `runs`: a command, which `dtrace -c`
/// calls `$target`.
pub fn in_d(target: &Target, runs: bool) -> Vec<String> {
    let command = runs.then(|| "$target".to_owned());
    let processes = command.into_iter().chain(target.pids.iter().map(u32::to_string));
    let processes =
        processes.map(|pid| if target.follow { format!("progenyof({pid})") } else { format!("pid == {pid}") });
    processes.chain(target.tids.iter().map(|tid| format!("tid == {tid}"))).collect()
}

/// What D has no condition for: children of a thread, and cgroups.
pub fn comment_in_d(target: &Target) -> Vec<String> {
    let mut lines = Vec::new();
    if target.follow && !target.tids.is_empty() {
        let tids: Vec<String> = target.tids.iter().map(u32::to_string).collect();
        lines.push(format!("/* and children of thread {} */", tids.join(", ")));
    }
    if !target.cgroups.is_empty() {
        let paths: Vec<String> = target.cgroups.iter().map(|path| printable(&path.display().to_string())).collect();
        // A name must not end the comment.
        lines.push(format!("/* and only tasks below cgroup {} */", paths.join(" or ").replace("*/", "*\\/")));
    }
    lines
}

/// For the line that says what is traced.
pub fn words(target: &Target) -> String {
    let list = |one: &str, many: &str, ids: &[u32]| {
        let what = if ids.len() == 1 { one } else { many };
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        (!ids.is_empty()).then(|| format!("{what} {}", ids.join(", ")))
    };
    let processes = list("process", "processes", &target.pids);
    let threads = list("thread", "threads", &target.tids);
    let mut parts: Vec<String> = processes.into_iter().chain(threads).collect();
    if parts.is_empty() {
        parts.push("the whole machine".to_owned());
    }
    if target.follow {
        parts.push("children too".to_owned());
    }
    if let Some(comm) = &target.comm {
        parts.push(format!("named {}", printable(comm)));
    }
    for cgroup in &target.cgroups {
        parts.push(format!("in cgroup {}", printable(&cgroup.display().to_string())));
    }
    parts.join(", ")
}

pub fn json(target: &Target) -> serde_json::Value {
    let mut json = serde_json::Map::new();
    if target.is_everything() {
        json.insert("all".to_owned(), true.into());
    }
    if !target.pids.is_empty() {
        json.insert("pids".to_owned(), target.pids.clone().into());
    }
    if !target.tids.is_empty() {
        json.insert("tids".to_owned(), target.tids.clone().into());
    }
    if !target.cgroups.is_empty() {
        let paths: Vec<String> = target.cgroups.iter().map(|path| path.display().to_string()).collect();
        json.insert("cgroups".to_owned(), paths.into());
    }
    if target.follow {
        json.insert("follow".to_owned(), true.into());
    }
    if let Some(comm) = &target.comm {
        json.insert("comm".to_owned(), comm.clone().into());
    }
    if let Some(command) = &target.command {
        json.insert("command".to_owned(), command.clone().into());
    }
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_executed_is_to_be_made_executable() {
        let advice =
            |name: &str, errno| not_run(OsStr::new(name), &io::Error::from_raw_os_error(errno)).advice().to_owned();
        assert_eq!(advice("/etc/passwd", libc::EACCES), "chmod +x /etc/passwd, if it is a program");
        assert!(advice("/", libc::EACCES).contains("folder"));
        assert!(advice("/etc/passwd", libc::ENOEXEC).contains("for this machine"));
    }

    #[test]
    fn several_targets_are_in_the_plural() {
        let of =
            |pids: &[u32], tids: &[u32]| words(&Target { pids: pids.into(), tids: tids.into(), ..Target::default() });
        assert_eq!(of(&[42], &[7]), "process 42, thread 7");
        assert_eq!(of(&[42, 43], &[7, 8]), "processes 42, 43, threads 7, 8");
        assert_eq!(of(&[], &[]), "the whole machine");
    }

    #[test]
    fn children_are_progeny_in_d_and_cgroups_a_comment() {
        let mut target = Target { pids: vec![42, 43], tids: vec![7], ..Target::default() };
        assert_eq!(in_d(&target, false), ["pid == 42", "pid == 43", "tid == 7"]);
        target.follow = true;
        assert_eq!(in_d(&target, false), ["progenyof(42)", "progenyof(43)", "tid == 7"]);
        assert_eq!(comment_in_d(&target), ["/* and children of thread 7 */"]);
        target = Target { cgroups: vec!["/a*/\x1b".into(), "/b".into()], ..Target::default() };
        assert_eq!(comment_in_d(&target), ["/* and only tasks below cgroup /a*\\/\\x1b or /b */"]);
        assert_eq!((in_d(&target, true), in_d(&target, false)), (vec!["pid == $target".to_owned()], vec![]));
    }
}
