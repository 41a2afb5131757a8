//! What stands under the data: rows left out, what was lost, what could not be seen, what to do about it.
use super::accounts;
use super::escape::push_sentence;
use super::report::{LossLine, Report};
use super::stopped;
use super::text::push_int;

/// Empty where there is nothing to say: nothing was lost.
pub fn push(out: &mut String, report: &Report) {
    push_stopped(out, report);
    match report.rows_left_out {
        0 => {}
        1 => out.push_str("1 more row: --top 0 shows it\n"),
        n => {
            push_int(out, n.into());
            out.push_str(" more rows: --top 0 shows all\n");
        }
    }
    for line in accounts::lines(&report.accounts) {
        push_tagged(out, "kernel: ", &line);
    }
    push_ledger(out, report, |_| true);
    for note in &report.notes {
        push_tagged(out, "note: ", note);
    }
}

/// Only what was lost, and what was cut short.
pub fn push_lost(out: &mut String, report: &Report) {
    push_stopped(out, report);
    push_ledger(out, report, |line| line.lost);
}

fn push_stopped(out: &mut String, report: &Report) {
    if let Some(stopped) = &report.stopped {
        stopped::push(out, stopped);
    }
}

fn push_ledger(out: &mut String, report: &Report, wanted: fn(&LossLine) -> bool) {
    for line in report.loss.kinds.iter().filter(|line| line.count != Some(0) && wanted(line)) {
        push_loss(out, line);
    }
}

fn push_loss(out: &mut String, line: &LossLine) {
    out.push_str(if line.lost { "lost: " } else { "note: " });
    match line.count {
        Some(count) => push_int(out, count.into()),
        None => out.push_str("unknown number of"),
    }
    push_tagged(out, " ", &line.what);
    if let Some(advice) = &line.advice {
        push_tagged(out, "try:  ", advice);
    }
}

fn push_tagged(out: &mut String, tag: &str, sentence: &str) {
    out.push_str(tag);
    push_sentence(out, sentence);
    out.push('\n');
}
