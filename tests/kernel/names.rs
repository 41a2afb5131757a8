//! Names of frames where they are hard to come by: code that a process makes, maps late or has from a place that only it
//! sees, processes that are gone at once, mangled names. The workload knows what runs.
use std::path::{Path, PathBuf};
use std::process::Command;

use spoor_tests::folder::Folder;
use spoor_tests::{Context, Finished, Report, Result, Work, binaries, ensure, scaled};

use crate::profile::{at_999_hz, module};
use crate::stacks::{frames, is_in};

crate::tests![
    mangled_names_are_those_of_the_source,
    jitted_code_has_the_name_that_its_perf_map_tells,
    a_program_in_another_mount_namespace_has_names,
    code_mapped_late_by_a_process_that_ends_at_once_has_names,
    code_mapped_late_has_names_when_the_news_of_it_is_lost,
    news_that_is_lost_is_said_where_names_may_be_missing,
    children_of_five_milliseconds_have_names,
    programs_of_five_milliseconds_have_names,
    programs_of_five_milliseconds_in_another_mount_namespace_have_names,
];

fn count_of(run: &Finished, function: &str) -> Result<u64> {
    let counts = run.report_with_loss()?.counts_by("func")?;
    counts.get(function).copied().with_context(|| format!("no {function} in {counts:?}: {run}"))
}

fn mangled_names_are_those_of_the_source() -> Result<()> {
    let run = at_999_hz(&["--by", "func"]).attached_to(&["mangled", "400000000"])?;
    for name in ["spoor::burn(char const*, unsigned long)", "workload::burn::rust"] {
        count_of(&run, &format!("{}`{name}", module()))?;
    }
    Ok(())
}

/// Gone with the test.
struct PerfMap(PathBuf);

impl Drop for PerfMap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Made and told of in mid-run, by a process that is gone when its names are asked for.
fn jitted_code_has_the_name_that_its_perf_map_tells() -> Result<()> {
    let work = Work::waiting(&["jit", "200000000"])?;
    let pid = work.pid();
    let _map = PerfMap(format!("/tmp/perf-{pid}.map").into());
    let run = at_999_hz(&["--by", "func", "-p", &pid]).with(work)?;
    count_of(&run, "[jit]`spoor_jitted").map(drop)
}

/// The whole machine is sampled, so that nobody knows of the process before its first sample.
fn of_the_machine(mut work: Work, args: &[&str]) -> Result<Finished> {
    let trace = at_999_hz(args).start()?;
    let did = work.run()?;
    work.end()?;
    let mut run = trace.interrupt()?;
    run.did = did;
    Ok(run)
}

/// `workload elsewhere DIR ARGS`, where DIR/hidden is; outside there is no such file.
fn hidden(folder: &Folder, args: &[&str]) -> Result<Work> {
    let work =
        Work::start(Command::new(binaries::workload()).arg("elsewhere").arg(folder.path()).arg("--wait").args(args))?;
    ensure!(!folder.file("hidden").exists(), "{} is seen outside", folder.text("hidden"));
    Ok(work)
}

fn a_program_in_another_mount_namespace_has_names() -> Result<()> {
    let folder = Folder::new()?;
    let work = hidden(&folder, &["burn", "70:20:10", "0.5"])?;
    count_of(&of_the_machine(work, &["--by", "func"])?, "hidden`spoor_burn_a").map(drop)
}

/// A copy of the workload that is mapped as a library, and the arguments that do it.
fn late(folder: &Path, storm: u64, ms: u64) -> Result<[String; 4]> {
    let file = folder.join("late.so");
    std::fs::copy(binaries::workload(), &file)?;
    Ok(["late".to_owned(), file.display().to_string(), storm.to_string(), (ms * 1_000_000).to_string()])
}

/// A path near the longest of 4,096 bytes: 16 news of it fill the ring of a CPU.
fn far(folder: &Folder) -> Result<PathBuf> {
    let far = (0..15).fold(folder.path().to_owned(), |path, _| path.join("d".repeat(250)));
    std::fs::create_dir_all(&far)?;
    Ok(far)
}

/// So many that nobody reads them in time.
const STORM: u64 = 2000;

fn code_mapped_late_by_a_process_that_ends_at_once_has_names() -> Result<()> {
    let folder = Folder::new()?;
    let args = late(folder.path(), 0, 20)?;
    let run = at_999_hz(&["--by", "func"]).attached_to(&args.each_ref().map(String::as_str))?;
    count_of(&run, &format!("{}`spoor_burn_b", module()))?;
    count_of(&run, "late.so`spoor_burn_a").map(drop)
}

/// Another process's news is lost, and ours behind it: ours is looked up while it is at work.
fn code_mapped_late_has_names_when_the_news_of_it_is_lost() -> Result<()> {
    let folder = Folder::new()?;
    let args = late(&far(&folder)?, STORM, 500)?;
    let run = at_999_hz(&["--by", "func"]).attached_to(&args.each_ref().map(String::as_str))?;
    count_of(&run, "late.so`spoor_burn_a").map(drop)
}

const NOTE: &str = "more news of mapped code than could be read";

/// The process ends right behind the storm. Where the rings are read in the milliseconds before that, it is still there to
/// be looked up, and nothing is missing: not five times in a row.
fn news_that_is_lost_is_said_where_names_may_be_missing() -> Result<()> {
    let folder = Folder::new()?;
    let args = late(&far(&folder)?, STORM, 0)?;
    let run = || at_999_hz(&["--by", "func"]).attached_to(&args.each_ref().map(String::as_str));
    let mut last = run()?;
    for _ in 0..4 {
        if !last.stdout.contains(NOTE) {
            last = run()?;
        }
    }
    ensure!(last.stdout.contains(NOTE), "no `{NOTE}` in {last}");
    let quiet = at_999_hz(&["--by", "func"]).attached_to(&["burn", "70:20:10", "0.2"])?;
    ensure!(!quiet.stdout.contains(NOTE), "`{NOTE}` where nobody maps in {quiet}");
    Ok(())
}

const CHILDREN: u64 = 40;
const CHILD_NS: &str = "5000000";

/// No sample but has a name where it was, and most children were seen at what they did.
fn children_have_names(run: &Finished, parent: &str) -> Result<()> {
    let report: Report = run.report_with_loss()?;
    let mut at_work: Vec<String> = Vec::new();
    for row in report.rows()? {
        let pid = row.key("pid")?;
        if let Some(leaf) = frames(&row).first() {
            // A loader that the system has stripped has no name of a function, but one of a file.
            let is_known = leaf["symbol"].is_string() || leaf["why"] == "stripped";
            ensure!(is_known, "{leaf} has no name in {run}");
        }
        if pid != parent && is_in(&row, "spoor_burn_a") {
            at_work.push(pid);
        }
    }
    at_work.sort_unstable();
    at_work.dedup();
    let all = run.did("children")?;
    ensure!(at_work.len() as u64 * 2 >= all, "{} of {all} children at work in {run}", at_work.len());
    Ok(())
}

fn brief(path: Option<&str>) -> Vec<String> {
    let k = scaled(CHILDREN).to_string();
    ["brief", &k, CHILD_NS].into_iter().chain(path).map(str::to_owned).collect()
}

/// With `--follow`, so that nobody else's samples are in it.
fn followed(work: Work) -> Result<()> {
    let pid = work.pid();
    let run = at_999_hz(&["--by", "pid,ustack", "--follow", "-p", &pid]).with(work)?;
    children_have_names(&run, &pid)
}

fn children_of_five_milliseconds_have_names() -> Result<()> {
    let args = brief(None);
    followed(Work::waiting(&args.iter().map(String::as_str).collect::<Vec<_>>())?)
}

fn programs_of_five_milliseconds_have_names() -> Result<()> {
    let folder = Folder::new()?;
    std::fs::copy(binaries::workload(), folder.file("brief"))?;
    let args = brief(Some(&folder.text("brief")));
    followed(Work::waiting(&args.iter().map(String::as_str).collect::<Vec<_>>())?)
}

fn programs_of_five_milliseconds_in_another_mount_namespace_have_names() -> Result<()> {
    let folder = Folder::new()?;
    let args = brief(Some(&folder.text("hidden")));
    followed(hidden(&folder, &args.iter().map(String::as_str).collect::<Vec<_>>())?)
}
