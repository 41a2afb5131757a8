//! What was measured, as a table for people and as JSON.
use serde_json::{Value, json};

use crate::stats::Middle;

/// What has to come out.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

pub struct Line {
    name: String,
    unit: &'static str,
    middle: Middle,
    limit: Option<Limit>,
}

impl Line {
    pub fn new(name: &str, unit: &'static str, middle: Middle, limit: Option<Limit>) -> Line {
        Line { name: name.to_owned(), unit, middle, limit }
    }

    fn verdict(&self) -> String {
        let (words, number, reached) = match self.limit {
            None => return String::new(),
            Some(Limit::AtMost(most)) => ("at most", most, self.middle.median <= most),
            Some(Limit::AtLeast(least)) => ("at least", least, self.middle.median >= least),
        };
        format!("{words} {number}: {}", if reached { "reached" } else { "MISSED" })
    }
}

pub struct Table {
    pub name: String,
    pub lines: Vec<Line>,
    pub notes: Vec<String>,
}

impl Table {
    pub fn new(name: &str) -> Table {
        Table { name: name.to_owned(), lines: Vec::new(), notes: Vec::new() }
    }

    pub fn markdown(&self) -> String {
        let mut text =
            format!("### {}\n\n| | median | 95 % interval | n | goal |\n|---|---:|---:|---:|---|\n", self.name);
        for line in &self.lines {
            let Middle { median, low, high, samples } = line.middle;
            let (unit, verdict) = (line.unit, line.verdict());
            text +=
                &format!("| {} | {median:.2} {unit} | {low:.2} .. {high:.2} | {samples} | {verdict} |\n", line.name);
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }

    pub fn json(&self) -> Value {
        let line = |line: &Line| {
            let (at_most, at_least) = match line.limit {
                None => (None, None),
                Some(Limit::AtMost(most)) => (Some(most), None),
                Some(Limit::AtLeast(least)) => (None, Some(least)),
            };
            json!({
                "name": line.name, "unit": line.unit, "median": line.middle.median, "low": line.middle.low,
                "high": line.middle.high, "samples": line.middle.samples, "at_most": at_most, "at_least": at_least,
            })
        };
        json!({ "case": self.name, "lines": self.lines.iter().map(line).collect::<Vec<_>>(), "notes": self.notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_reached_at_the_number_itself_and_from_its_side_alone() {
        let verdict = |median: f64, limit| {
            let middle = Middle { median, low: median, high: median, samples: 1 };
            Line::new("", "", middle, Some(limit)).verdict()
        };
        assert_eq!(verdict(0.93, Limit::AtLeast(0.93)), "at least 0.93: reached");
        assert_eq!(verdict(0.92, Limit::AtLeast(0.93)), "at least 0.93: MISSED");
        assert_eq!(verdict(0.93, Limit::AtMost(0.93)), "at most 0.93: reached");
        assert_eq!(verdict(0.94, Limit::AtMost(0.93)), "at most 0.93: MISSED");
    }
}
