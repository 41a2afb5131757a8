//! `spoor profile`: shares that are known, stacks with their callers, names of what has ended, and samples that add up.
//! The truth is the workload's own: the CPU time that it had, by its thread's clock.
use std::path::Path;
use std::process::Command;

use spoor_tests::folder::Folder;
use spoor_tests::skip::skip;
use spoor_tests::{Context, Finished, Report, Result, Row, Work, binaries, ensure, ensure_eq, profile, scaled, spoor};

crate::tests![
    shares_of_functions_are_within_three_points,
    samples_add_up_to_the_cpu_time,
    weights_add_up_to_the_cpu_time,
    a_stack_holds_the_caller,
    text_shows_functions_and_callers,
    folded_lines_go_from_the_root_to_the_leaf,
    svg_and_pprof_begin_as_they_should,
    the_whole_machine_is_without_spoor,
    an_event_that_is_not_here_says_which_are,
    where_picks_samples_and_ended_processes_keep_their_names,
    samples_of_threads_are_kept_apart,
    a_tid_is_sampled_alone,
    two_of_three_pids_are_sampled,
    follow_samples_children,
    a_command_is_sampled,
    a_full_map_of_stacks_is_counted,
    a_full_map_of_stacks_is_said_in_the_text,
    a_stripped_file_says_why_there_are_no_names,
    a_deleted_file_keeps_its_names,
    intervals_add_up,
];

const BURN: &[&str] = &["burn", "70:20:10", "4"];
/// Where only names matter.
const SHORT: &[&str] = &["burn", "70:20:10", "1"];
const PERIOD_NS: f64 = 1e9 / 999.0;

/// 999 Hz: not in step with what the kernel does every millisecond.
pub fn at_999_hz(args: &[&str]) -> spoor_tests::Setup {
    profile(&["-F", "999"]).and(args)
}

pub fn module() -> String {
    binaries::workload().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn samples_in(report: &Report, function: &str) -> Result<u64> {
    Ok(report.counts_by("func")?.get(&format!("{}`{function}", module())).copied().unwrap_or(0))
}

/// Burns 70, 20 and 10 % in slices of random length; the workload says how much it really was.
fn shares_of_functions_are_within_three_points() -> Result<()> {
    let run = at_999_hz(&["--by", "func"]).attached_to(BURN)?;
    let report = run.report_with_loss()?;
    let names = ["spoor_burn_a", "spoor_burn_b", "spoor_burn_c"];
    let samples = names.map(|name| samples_in(&report, name).unwrap_or(0) as f64);
    let mut spent = [0.0; 3];
    for (spent, name) in spent.iter_mut().zip(names) {
        *spent = run.did(&format!("{name}_ns"))? as f64;
    }
    let [all_samples, all_spent] = [samples, spent].map(|of| of.iter().sum::<f64>());
    for i in 0..3 {
        let [seen, true_share] = [samples[i] * 100.0 / all_samples, spent[i] * 100.0 / all_spent];
        ensure!(
            (seen - true_share).abs() <= 3.0,
            "{}: {seen:.1} % of the samples, {true_share:.1} % in {run}",
            names[i]
        );
    }
    Ok(())
}

/// Kept, and at most those that the ledger says were missed, make up the CPU time within 5 %.
fn add_up(run: &Finished, kept: f64, period_ns: f64) -> Result<()> {
    let missed = run.report_with_loss()?.lost_of_kind("samples_missed")? as f64;
    let due = run.did("cpu_ns")? as f64 / period_ns;
    ensure!(
        kept <= due * 1.05 && kept + missed >= due * 0.95,
        "{kept} samples kept and {missed} missed of {due:.0} in {run}"
    );
    Ok(())
}

fn samples_add_up_to_the_cpu_time() -> Result<()> {
    let run = at_999_hz(&["--by", "comm"]).attached_to(BURN)?;
    let kept = run.report_with_loss()?.kept()?;
    add_up(&run, kept as f64, PERIOD_NS)
}

fn weights_add_up_to_the_cpu_time() -> Result<()> {
    let run = at_999_hz(&["--agg", "sum(weight)"]).attached_to(BURN)?;
    let sum_ns = run.report_with_loss()?.sum("sum(weight)")?;
    add_up(&run, sum_ns as f64 / PERIOD_NS, PERIOD_NS)
}

/// Symbols of a row's user stack, leaf first; what has none is its reason.
fn symbols(row: &Row) -> Vec<String> {
    let stack = row.keys.get("ustack").or_else(|| row.keys.get("stack"));
    let frames = stack.and_then(|stack| stack["user"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let name = |frame: &serde_json::Value| frame["symbol"].as_str().or(frame["why"].as_str()).unwrap_or("").to_owned();
    frames.iter().map(name).collect()
}

fn a_stack_holds_the_caller() -> Result<()> {
    let run = at_999_hz(&["--by", "ustack"]).attached_to(SHORT)?;
    let (mut all, mut with_caller) = (0, 0);
    for row in run.report_with_loss()?.rows()? {
        let symbols = symbols(&row);
        if symbols.first().is_some_and(|leaf| leaf == "spoor_burn_a") {
            all += row.count()?;
            with_caller +=
                if symbols.get(1).is_some_and(|next| next == "spoor_burn_caller") { row.count()? } else { 0 };
        }
    }
    // All but those that fell between the entry and the frame.
    ensure!(all > 0 && with_caller * 100 >= all * 95, "{with_caller} of {all} samples have the caller in {run}");
    Ok(())
}

fn text_shows_functions_and_callers() -> Result<()> {
    for args in [&["profile"][..], &["profile", "--by", "stack", "-F", "499"]] {
        let run = spoor(args).attached_to(SHORT)?;
        ensure_eq!(run.code(), 0, "status of {run}");
        for name in ["spoor_burn_a", "spoor_burn_caller"] {
            ensure!(run.stdout.contains(&format!("{}`{name}", module())), "no {name} in {run}");
        }
        ensure!(run.stdout.starts_with("samples "), "no blocks in {run}");
    }
    Ok(())
}

/// The bytes of the report in a file of this name.
fn in_a_file(name: &str) -> Result<Vec<u8>> {
    let folder = Folder::new()?;
    let run = spoor(&["profile", "-F", "499", "-o", &folder.text(name)]).attached_to(SHORT)?;
    ensure_eq!(run.code(), 0, "status of {run}");
    ensure_eq!(run.stdout, "", "standard output of {run}");
    Ok(std::fs::read(folder.file(name))?)
}

fn folded_lines_go_from_the_root_to_the_leaf() -> Result<()> {
    let text = String::from_utf8(in_a_file("flame.folded")?)?;
    let burns: Vec<&str> = text.lines().filter(|line| line.contains(";spoor_burn_caller;spoor_burn_a ")).collect();
    ensure!(!burns.is_empty(), "no line of it in\n{text}");
    for line in text.lines() {
        let number = line.rsplit(' ').next().unwrap_or_default();
        ensure!(number.parse::<u64>().is_ok_and(|n| n > 0), "no number at the end of `{line}`");
    }
    Ok(())
}

fn svg_and_pprof_begin_as_they_should() -> Result<()> {
    let svg = String::from_utf8(in_a_file("flame.svg")?)?;
    let begins = svg.starts_with("<?xml") || svg.starts_with("<svg");
    ensure!(begins && svg.contains("spoor_burn_a") && svg.trim_end().ends_with("</svg>"), "no picture: {svg:.300}");
    let pprof = in_a_file("profile.pb.gz")?;
    ensure!(pprof.starts_with(&[0x1f, 0x8b]), "no gzip: {:?}", &pprof[..pprof.len().min(20)]);
    Ok(())
}

fn the_whole_machine_is_without_spoor() -> Result<()> {
    let mut work = Work::holding(SHORT)?;
    let pid = work.pid();
    let trace = at_999_hz(&["--by", "pid,comm"]).start()?;
    let own = trace.pid().to_string();
    work.run()?;
    let run = trace.interrupt()?;
    let by_pid = run.report_with_loss()?.counts_by("pid")?;
    ensure!(by_pid.contains_key(&pid), "no samples of the workload in {run}");
    ensure!(!by_pid.contains_key(&own), "samples of spoor, {own}, in {run}");
    // The idle task is nobody's time.
    ensure!(!by_pid.contains_key("0"), "samples of the idle task in {run}");
    Ok(())
}

/// Virtual machines have no counters for it, most of them.
fn an_event_that_is_not_here_says_which_are() -> Result<()> {
    let run = profile(&["--event", "cycles", "-d", "50ms"]).run()?;
    if run.code() == 0 {
        return skip("this machine counts cycles");
    }
    run.refused(1, &["--event cycles", "cpu-clock", "page-faults"])
}

/// The process is gone long before the report.
fn where_picks_samples_and_ended_processes_keep_their_names() -> Result<()> {
    let mut work = Work::waiting(SHORT)?;
    let condition = format!("comm == \"{}\"", module());
    let trace = at_999_hz(&["--by", "comm,func", "--where", &condition]).start()?;
    work.run()?;
    work.end()?;
    let run = trace.interrupt()?;
    let report = run.report_with_loss()?;
    ensure_eq!(report.counts_by("comm")?.into_keys().collect::<Vec<_>>(), [module()], "names in {run}");
    ensure!(samples_in(&report, "spoor_burn_a")? > 0, "no spoor_burn_a in {run}");
    Ok(())
}

fn threads() -> [String; 3] {
    ["threads".to_owned(), "2".to_owned(), scaled(3_000_000).to_string()]
}

fn samples_of_threads_are_kept_apart() -> Result<()> {
    let args = threads();
    let mut work = Work::waiting(&args.each_ref().map(String::as_str))?;
    let tids: Vec<String> = work.others().iter().map(u32::to_string).collect();
    let trace = at_999_hz(&["--by", "tid", "-p", &work.pid()]).start()?;
    work.run()?;
    work.end()?;
    let run = trace.finish()?;
    let by_tid = run.report_with_loss()?.counts_by("tid")?;
    ensure!(tids.len() == 2 && tids.iter().all(|tid| by_tid.contains_key(tid)), "not both of {tids:?} in {run}");
    Ok(())
}

fn a_tid_is_sampled_alone() -> Result<()> {
    let args = threads();
    let mut work = Work::waiting(&args.each_ref().map(String::as_str))?;
    let tid = work.others()[0].to_string();
    let trace = at_999_hz(&["--by", "tid", "-t", &tid]).start()?;
    work.run()?;
    work.end()?;
    let run = trace.finish()?;
    ensure_eq!(run.report_with_loss()?.counts_by("tid")?.into_keys().collect::<Vec<_>>(), [tid], "threads in {run}");
    Ok(())
}

/// The run ends with the last of them.
fn two_of_three_pids_are_sampled() -> Result<()> {
    let mut works = [Work::waiting(SHORT)?, Work::waiting(SHORT)?, Work::waiting(SHORT)?];
    let pids: Vec<String> = works.iter().map(Work::pid).collect();
    let trace = at_999_hz(&["--by", "pid", "-p", &pids[0], "-p", &pids[2]]).start()?;
    for work in &mut works {
        work.run()?;
    }
    let run = trace.finish()?;
    let by_pid = run.report_with_loss()?.counts_by("pid")?;
    let mut wanted = vec![pids[0].clone(), pids[2].clone()];
    wanted.sort();
    ensure_eq!(by_pid.into_keys().collect::<Vec<_>>(), wanted, "processes in {run}");
    Ok(())
}

fn follow_samples_children() -> Result<()> {
    let calls = scaled(2_000_000).to_string();
    let work = Work::waiting(&["children", "2", &calls])?;
    let pid = work.pid();
    let run = at_999_hz(&["--by", "pid", "--follow", "-p", &pid]).with(work)?;
    let by_pid = run.report_with_loss()?.counts_by("pid")?;
    ensure!(by_pid.keys().filter(|other| **other != pid).count() == 2, "not two children in {run}");
    Ok(())
}

fn a_command_is_sampled() -> Result<()> {
    let run = at_999_hz(&["--by", "func"]).around(SHORT)?;
    ensure!(samples_in(&run.report_with_loss()?, "spoor_burn_a")? > 0, "no spoor_burn_a in {run}");
    Ok(())
}

/// Two processes with three stacks each, and room for three in all.
fn more_stacks_than_room(setup: spoor_tests::Setup) -> Result<Finished> {
    let mut works = [Work::waiting(SHORT)?, Work::waiting(SHORT)?];
    let pids = [works[0].pid(), works[1].pid()];
    let args = ["-F", "999", "--by", "ustack", "--map-memory", "4k", "-p", &pids[0], "-p", &pids[1]];
    let trace = setup.and(&args).start()?;
    for work in &mut works {
        work.release()?;
    }
    for mut work in works {
        work.done()?;
        work.end()?;
    }
    trace.finish()
}

/// Every sample is in a row, those whose stack found no room in a row that says so, and the ledger has as many.
fn a_full_map_of_stacks_is_counted() -> Result<()> {
    let run = more_stacks_than_room(profile(&[]))?;
    let report = run.report_with_loss()?;
    let is_lost = |row: &&Row| row.keys["ustack"]["lost"] == true;
    let rows = report.rows()?;
    let without: u64 = rows.iter().filter(is_lost).map(Row::count).sum::<Result<_>>()?;
    let full = report.lost_of_kind("stack_full")?;
    ensure!(full > 0, "nothing lost in {run}");
    ensure_eq!(without, full, "samples without their stack in {run}");
    // One that was taken while the process ended has no frames.
    let with_frames = rows.iter().filter(|row| !symbols(row).is_empty()).count();
    ensure!((1..=3).contains(&with_frames), "{with_frames} stacks, and room for three, in {run}");
    Ok(())
}

fn a_full_map_of_stacks_is_said_in_the_text() -> Result<()> {
    let run = more_stacks_than_room(spoor(&["profile"]))?;
    for words in ["user stack lost", "firings counted without their stack", "--map-memory"] {
        ensure!(run.stdout.contains(words), "no `{words}` in {run}");
    }
    let strict = more_stacks_than_room(profile(&["--strict"]))?;
    ensure_eq!(strict.code(), 3, "status of {strict}");
    Ok(())
}

/// A copy of the workload as `NAME`, at work, waiting.
fn copy(folder: &Folder, name: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Work> {
    let file = folder.file(name);
    std::fs::copy(binaries::workload(), &file)?;
    prepare(&file)?;
    Work::start(Command::new(&file).arg("--wait").args(SHORT))
}

/// Takes the section headers away, and with them the symbols: as strip does, without needing it.
fn strip(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    // ELF64: e_shoff; e_shnum and e_shstrndx.
    bytes.get_mut(0x28..0x30).context("an ELF header")?.fill(0);
    bytes.get_mut(0x3c..0x40).context("an ELF header")?.fill(0);
    Ok(std::fs::write(file, bytes)?)
}

fn a_stripped_file_says_why_there_are_no_names() -> Result<()> {
    let folder = Folder::new()?;
    let work = copy(&folder, "bare", strip)?;
    let pid = work.pid();
    let run = spoor(&["profile", "-F", "999", "-p", &pid]).with(work)?;
    for words in ["bare`0x", "[ bare: no symbols for these places (stripped) ]"] {
        ensure!(run.stdout.contains(words), "no `{words}` in {run}");
    }
    ensure!(!run.stdout.contains("spoor_burn_a"), "a name from nowhere in {run}");
    Ok(())
}

fn a_deleted_file_keeps_its_names() -> Result<()> {
    let folder = Folder::new()?;
    let work = copy(&folder, "deleted", |_| Ok(()))?;
    std::fs::remove_file(folder.file("deleted"))?;
    let pid = work.pid();
    let run = at_999_hz(&["--by", "func", "-p", &pid]).with(work)?;
    let by_function = run.report_with_loss()?.counts_by("func")?;
    ensure!(by_function.contains_key("deleted`spoor_burn_a"), "no deleted`spoor_burn_a in {run}");
    Ok(())
}

/// Each interval has its own rows; together they are all.
fn intervals_add_up() -> Result<()> {
    let run = at_999_hz(&["--by", "func", "-i", "500ms"]).attached_to(BURN)?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let (mut kept, mut missed) = (0, 0);
    let reports: Vec<Report> = run.stdout.lines().map(Report::parse).collect::<Result<_>>()?;
    for report in &reports {
        kept += report.kept()?;
        missed += report.lost_of_kind("samples_missed")?;
    }
    ensure!(reports.len() > 4, "{} reports in {run}", reports.len());
    let due = run.did("cpu_ns")? as f64 / PERIOD_NS;
    ensure!(
        kept as f64 <= due * 1.05 && (kept + missed) as f64 >= due * 0.95,
        "{kept} samples kept and {missed} missed of {due:.0} in {run}"
    );
    Ok(())
}
