//! Stacks folded into lines: `comm;key=5;root;...;leaf 42`, sorted, equal ones added up.
//!
//! Kernel functions end in `_[k]`, inlined ones in `_[i]`, as those of FlameGraph's stackcollapse-perf.pl do.
use std::collections::BTreeMap;
use std::io;

use super::page::Page;
use super::report::Report;
use super::stack::push_unnamed;
use super::steps::{self, Half, Step};
use super::text::{OTHER, is_number, push_int, push_key};
use super::units::suffix;
use super::weight::{addend, weights};
use super::{escape, report};
use crate::merge::value::KeyValue;
use crate::symbolize::frame::Place;

pub fn push(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    for (line, weight) in lines(report)? {
        page.text.push_str(&line);
        page.text.push(' ');
        push_int(&mut page.text, weight);
        page.text.push('\n');
        page.turn()?;
    }
    Ok(())
}

/// Lines without their number, and the number: the first column that adds up.
pub fn lines(report: &Report) -> io::Result<BTreeMap<String, i128>> {
    let mut lines = BTreeMap::new();
    let weights = weights(report)?;
    let Some(weight) = weights.first() else { return Ok(lines) };
    let mut add = |line: String, values: &[_]| {
        let n = values.get(weight.column).and_then(addend).unwrap_or(0);
        let sum: &mut i128 = lines.entry(line).or_default();
        *sum = sum.saturating_add(n);
    };
    for row in &report.aggregation.rows {
        add(line(report, &row.keys), &row.values);
    }
    if let Some(values) = &report.aggregation.other {
        add(OTHER.to_owned(), values);
    }
    Ok(lines)
}

fn line(report: &Report, keys: &[KeyValue]) -> String {
    let mut text = String::new();
    let mut line = Line::new(&mut text);
    let others = || report.keys.iter().zip(keys).filter(|(_, key)| !matches!(key, KeyValue::Stack(_)));
    let is_comm = |column: &report::KeyColumn| column.name == "comm";
    // As perf's and bcc's tools begin their lines.
    others().filter(|(column, _)| is_comm(column)).for_each(|(column, key)| line.key(column, key));
    others().filter(|(column, _)| !is_comm(column)).for_each(|(column, key)| line.key(column, key));
    steps::of_row(keys).into_iter().for_each(|step| line.step(step));
    line.finish();
    text
}

struct Line<'a> {
    out: &'a mut String,
    start: usize,
}

impl<'a> Line<'a> {
    fn new(out: &'a mut String) -> Line<'a> {
        Line { start: out.len(), out }
    }

    fn key(&mut self, column: &report::KeyColumn, key: &KeyValue) {
        self.frame(|out| {
            if is_number(key) {
                escape::push_sentence(out, &column.name);
                out.push('=');
            }
            push_key(out, key);
            if is_number(key) {
                out.push_str(suffix(column.unit));
            }
        });
    }

    fn step(&mut self, step: Step) {
        self.frame(|out| push_step(out, step));
    }

    fn frame(&mut self, write: impl FnOnce(&mut String)) {
        if self.out.len() > self.start {
            self.out.push(steps::SEPARATOR);
        }
        let start = self.out.len();
        write(self.out);
        steps::replace_separators(self.out, start);
        if self.out.len() == start {
            self.out.push_str("\"\"");
        }
    }

    /// Readers take a line that begins with `# ` for a comment, and one more number at the end for that of another
    /// profile, with which this one is to be compared.
    fn finish(&mut self) {
        if self.out.len() == self.start {
            self.out.push_str("[all]");
        }
        if self.out[self.start..].starts_with("# ") {
            self.out.replace_range(self.start + 1..self.start + 2, "_");
        }
        if let Some(blank) = self.out[self.start..].rfind(' ').map(|at| self.start + at)
            && self.out.as_bytes()[blank + 1..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        {
            self.out.replace_range(blank..=blank, "_");
        }
    }
}

/// Appends a step's name.
pub fn push_step(out: &mut String, step: Step) {
    match step {
        Step::Mark(mark) => out.push_str(mark),
        Step::Inlined(_, inlined) => {
            escape::push_name(out, inlined.name.as_bytes());
            out.push_str("_[i]");
        }
        Step::Frame(frame, half) => {
            if let Place::Symbol { name, .. } = &frame.place {
                escape::push_name(out, name.as_bytes());
            } else {
                out.push('[');
                push_unnamed(out, frame, '+');
                out.push(']');
            }
            out.push_str(if half == Half::Kernel { "_[k]" } else { "" });
        }
    }
}
