//! Report in, bytes out: tables, dtrace's blocks, JSON, CSV, flame graphs, profiles. Looks nothing up, reads no clock.
pub mod escape;
pub mod report;
pub mod strace;

mod accounts;
mod bar;
mod blocks;
mod csv;
mod dtrace;
mod folded;
mod footer;
mod json;
mod json_stack;
mod llquantize;
pub mod lost;
mod lquantize;
mod page;
mod pprof;
mod quantize;
#[cfg(test)]
mod sample;
mod stack;
mod steps;
mod stopped;
mod svg;
mod table;
mod text;
mod units;
mod weight;

use std::io::{self, Write};

use self::page::Page;
use self::report::{Layout, Report};
use crate::program::field::Unit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table or dtrace's blocks, with the loss under it.
    Text,
    /// One object a line.
    Json,
    Csv,
    /// A line a stack, for flame graphs.
    Folded,
    /// A flame graph.
    Svg,
    /// A gzipped profile.
    Pprof,
}

impl Format {
    /// Draws stacks by how much of something they took: without a stack among the keys, and a column that adds up (count
    /// and sum, and whatever counts its firings: not min, max and percentiles), there is nothing to draw.
    pub fn needs_stacks(self) -> bool {
        matches!(self, Format::Folded | Format::Svg | Format::Pprof)
    }

    /// A file holds one report: none at intervals.
    pub fn is_one_document(self) -> bool {
        matches!(self, Format::Svg | Format::Pprof)
    }

    /// Nothing for a terminal.
    pub fn is_binary(self) -> bool {
        self == Format::Pprof
    }

    /// Has no place that people see for what [`afterword`] says: it belongs on stderr.
    pub fn is_data_only(self) -> bool {
        matches!(self, Format::Csv | Format::Folded | Format::Svg | Format::Pprof)
    }
}

/// What one report has to know of those before it in the same output.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Reports come at intervals and say when: a line above each table, the time since the start; two columns in CSV,
    /// `started_unix_ns` and `elapsed_ns` of the interval alone, as in JSON.
    pub intervals: bool,
    has_output: bool,
    /// Time that the reports so far cover together: since the start.
    elapsed_ns: u64,
}

impl State {
    pub fn new(intervals: bool) -> State {
        State { intervals, ..State::default() }
    }
}

/// Writes a report; does not flush.
pub fn render(report: &Report, format: Format, out: &mut dyn Write, state: &mut State) -> io::Result<()> {
    if format.is_one_document() && state.has_output {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "one file of this format holds one report"));
    }
    state.elapsed_ns = state.elapsed_ns.saturating_add(report.elapsed_ns);
    let mut page = Page::new(out);
    match format {
        Format::Json => json::write(report, page.out)?,
        Format::Svg => svg::write(report, page.out)?,
        Format::Pprof => pprof::write(report, page.out)?,
        Format::Folded => folded::push(&mut page, report)?,
        Format::Csv => {
            if !state.has_output {
                csv::push_header(&mut page.text, report, state.intervals);
            }
            csv::push_rows(&mut page, report, state.intervals)?;
        }
        Format::Text => push_text(&mut page, report, state)?,
    }
    state.has_output = true;
    page.write()
}

/// The lines under the data, for which some formats have no place: rows left out, losses, notes. Empty where there are none.
pub fn afterword(report: &Report) -> String {
    let mut text = String::new();
    footer::push(&mut text, report);
    text
}

/// Of these lines the ones that nobody may miss: what was lost.
pub fn losses(report: &Report) -> String {
    let mut text = String::new();
    footer::push_lost(&mut text, report);
    text
}

fn push_text(page: &mut Page<'_>, report: &Report, state: &State) -> io::Result<()> {
    let has_histogram = report.values.iter().any(|value| value.histogram);
    let is_table = report.layout == Layout::Table && !has_histogram;
    if state.intervals && is_table {
        page.text.push_str(if state.has_output { "\nelapsed " } else { "elapsed " });
        units::push_scaled(&mut page.text, state.elapsed_ns.into(), Unit::Ns);
        page.text.push('\n');
    }
    if report.is_empty() {
        page.text.push_str("no events matched\n");
    } else if is_table && report.has_stacks() {
        blocks::push(page, report)?;
    } else if is_table {
        table::push(page, report)?;
    } else {
        dtrace::push(page, report)?;
    }
    let afterword = afterword(report);
    // A histogram's block already ends in a blank line.
    if !afterword.is_empty() && !report.is_empty() && !report.values.last().is_some_and(|value| value.histogram) {
        page.text.push('\n');
    }
    page.text.push_str(&afterword);
    Ok(())
}

#[cfg(test)]
mod readers_tests;
