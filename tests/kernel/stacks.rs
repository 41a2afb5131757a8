//! User stacks: how deep they are, where they are none, which of them are one, and that no firing is without its own.
use serde_json::Value;
use spoor_tests::{Report, Result, Row, Work, ensure, ensure_eq, profile, spoor};

use crate::profile::at_999_hz;

crate::tests![
    a_stack_deeper_than_the_limit_is_cut_and_says_so,
    a_walk_that_goes_astray_ends_there_and_says_so,
    stacks_that_read_the_same_are_one_row_whatever_their_processes,
    page_faults_are_counted_each_with_its_stack,
];

/// A row's user frames, leaf first.
pub fn frames(row: &Row) -> &[Value] {
    row.keys["ustack"]["user"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether it was taken in this function.
pub fn is_in(row: &Row, function: &str) -> bool {
    frames(row).first().is_some_and(|leaf| leaf["symbol"] == function)
}

/// As much as the kernel gives (kernel.perf_event_max_stack).
const FRAMES_MAX: usize = 127;

fn a_stack_deeper_than_the_limit_is_cut_and_says_so() -> Result<()> {
    const DEEP: &[&str] = &["deep", "300", "300000000"];
    let run = at_999_hz(&["--by", "ustack"]).attached_to(DEEP)?;
    let (mut all, mut whole) = (0, 0);
    for row in run.report_with_loss()?.rows()?.iter().filter(|row| is_in(row, "spoor_deep")) {
        all += row.count()?;
        let is_cut = row.keys["ustack"]["cut"] == true;
        ensure_eq!(is_cut, frames(row).len() == FRAMES_MAX, "cut, of {} frames, in {run}", frames(row).len());
        let is_deep = frames(row).iter().all(|frame| frame["symbol"] == "spoor_deep");
        whole += if is_cut && is_deep { row.count()? } else { 0 };
    }
    // All but those on the way down or up.
    ensure!(all > 0 && whole * 100 >= all * 95, "{whole} of {all} stacks are 127 times spoor_deep in {run}");
    let run = spoor(&["profile", "--by", "ustack", "-F", "999"]).attached_to(DEEP)?;
    ensure!(run.stdout.contains("[ deeper: cut at 127 frames ]"), "it is not said in {run}");
    Ok(())
}

/// Each fault is one firing: the event counts them before they are handled, on whatever way. The pages are fresh, small
/// and nobody else's; of the function's own code no page is missing, since it ran before.
fn page_faults_are_counted_each_with_its_stack() -> Result<()> {
    let run = profile(&["--event", "page-faults", "--by", "ustack"]).attached_to(&["touch", "500"])?;
    let report = run.report()?;
    let rows = report.rows()?;
    let touches: Vec<&Row> = rows.iter().filter(|row| is_in(row, "spoor_touch")).collect();
    ensure_eq!(touches.iter().map(|row| row.count()).sum::<Result<u64>>()?, 500, "faults in spoor_touch in {run}");
    let with_caller = |row: &&Row| frames(row).get(1).is_some_and(|caller| caller["symbol"] == "spoor_burn_caller");
    ensure!(touches.iter().all(with_caller), "stacks without the caller in {run}");
    Ok(())
}

/// Where there is no frame, what the walk finds on its way through data is left out.
fn a_walk_that_goes_astray_ends_there_and_says_so() -> Result<()> {
    const ASTRAY: &[&str] = &["astray", "300000000"];
    let run = at_999_hz(&["--by", "ustack"]).attached_to(ASTRAY)?;
    let (mut all, mut alone) = (0, 0);
    for row in run.report_with_loss()?.rows()?.iter().filter(|row| is_in(row, "spoor_astray")) {
        all += row.count()?;
        let is_broken = row.keys["ustack"]["broken"] == true;
        alone += if is_broken && frames(row).len() == 1 { row.count()? } else { 0 };
    }
    // All but those on the way in or out.
    ensure!(all > 0 && alone * 100 >= all * 95, "{alone} of {all} stacks are of one frame, and broken, in {run}");
    let run = spoor(&["profile", "--by", "ustack", "-F", "999"]).attached_to(ASTRAY)?;
    for words in ["[ user stack ends early: no frame pointers ]", "% of the user stacks end early"] {
        ensure!(run.stdout.contains(words), "no `{words}` in {run}");
    }
    Ok(())
}

/// Two processes of one program, at different addresses; with their PIDs they stay apart.
fn stacks_that_read_the_same_are_one_row_whatever_their_processes() -> Result<()> {
    const BURN: &[&str] = &["burn", "100:0:0", "0.3"];
    let of_two = |by: &str| -> Result<Report> {
        let mut works = [Work::waiting(BURN)?, Work::waiting(BURN)?];
        let pids = [works[0].pid(), works[1].pid()];
        let trace = at_999_hz(&["--by", by, "-p", &pids[0], "-p", &pids[1]]).start()?;
        works.iter_mut().try_for_each(Work::release)?;
        trace.finish()?.report_with_loss()
    };
    let at = |row: &Row| {
        let whole = |frame: &Value| format!("{}`{}+{}", frame["module"], frame["symbol"], frame["offset"]);
        let stack: Vec<String> = frames(row).iter().map(whole).collect();
        (stack, row.keys["ustack"]["broken"] == true)
    };
    let report = of_two("ustack")?;
    let mut stacks: Vec<_> = report.rows()?.iter().map(at).filter(|(stack, _)| !stack.is_empty()).collect();
    stacks.sort();
    for two in stacks.windows(2) {
        ensure!(two[0] != two[1], "twice {:?} in {report}", two[0]);
    }
    // The loop is two instructions: each process was sampled at one of them.
    let report = of_two("pid,ustack")?;
    let rows = report.rows()?;
    let mut burns: Vec<_> = rows.iter().filter(|row| is_in(row, "spoor_burn_a")).map(at).collect();
    let all = burns.len();
    burns.sort();
    burns.dedup();
    ensure!(burns.len() < all, "nothing twice in {report}");
    Ok(())
}
