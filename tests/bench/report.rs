//! What was measured, as a table for people and as JSON.
use serde_json::{Value, json};

use crate::stats::Middle;

pub struct Line {
    name: String,
    unit: &'static str,
    middle: Middle,
    at_most: Option<f64>,
}

impl Line {
    pub fn new(name: &str, unit: &'static str, middle: Middle, at_most: Option<f64>) -> Line {
        Line { name: name.to_owned(), unit, middle, at_most }
    }

    fn verdict(&self) -> String {
        match self.at_most {
            None => String::new(),
            Some(most) if self.middle.median <= most => format!("at most {most}: reached"),
            Some(most) => format!("at most {most}: MISSED"),
        }
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
            json!({
                "name": line.name, "unit": line.unit, "median": line.middle.median, "low": line.middle.low,
                "high": line.middle.high, "samples": line.middle.samples, "at_most": line.at_most,
            })
        };
        json!({ "case": self.name, "lines": self.lines.iter().map(line).collect::<Vec<_>>(), "notes": self.notes })
    }
}
