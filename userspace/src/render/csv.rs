//! A report as CSV (RFC 4180, lines end in `\n`): a header once, raw integers, nothing where a number is unknown.
//!
//! A histogram takes a row a bucket: its keys, `bucket_min`, `bucket_max`, `count`. With several columns of which one
//! is a histogram, a column `aggregation` says which one the row belongs to, and plain numbers stand under `count`.
use std::io;

use super::escape;
use super::page::Page;
use super::report::Report;
use super::text::{OTHER, push_int, push_key};
use crate::merge::bounds::each_bucket;
use crate::merge::value::{KeyValue, Value};

pub fn push_header(out: &mut String, report: &Report, intervals: bool) {
    let mut line = Line::new(out);
    if intervals {
        ["started_unix_ns", "elapsed_ns"].iter().for_each(|name| line.name(name));
    }
    report.keys.iter().for_each(|key| line.name(&key.name));
    if has_histogram(report) {
        if report.values.len() > 1 {
            line.name("aggregation");
        }
        ["bucket_min", "bucket_max", "count"].iter().for_each(|name| line.name(name));
    } else {
        report.values.iter().for_each(|value| line.name(&value.name));
    }
    line.end();
}

/// At intervals, each row begins with when its interval began and how long it was.
pub fn push_rows(page: &mut Page<'_>, report: &Report, intervals: bool) -> io::Result<()> {
    let rows = report.aggregation.rows.iter().map(|row| (Some(row.keys.as_slice()), &row.values));
    let other = report.aggregation.other.iter().map(|values| (None, values));
    let has_prefix = intervals || !report.keys.is_empty();
    let mut prefix = String::new();
    for (keys, values) in rows.chain(other) {
        prefix.clear();
        push_prefix(&mut prefix, report, keys, intervals);
        let prefix = has_prefix.then_some(prefix.as_str());
        if has_histogram(report) {
            push_buckets(&mut page.text, report, prefix, values);
        } else {
            let mut line = Line::after(&mut page.text, prefix);
            (0..report.values.len()).for_each(|index| line.value(values.get(index)));
            line.end();
        }
        page.turn()?;
    }
    Ok(())
}

fn has_histogram(report: &Report) -> bool {
    report.values.iter().any(|value| value.histogram)
}

fn push_prefix(prefix: &mut String, report: &Report, keys: Option<&[KeyValue]>, intervals: bool) {
    let mut line = Line::new(prefix);
    if intervals {
        line.number(Some(report.started_unix_ns.into()));
        line.number(Some(report.elapsed_ns.into()));
    }
    for index in 0..report.keys.len() {
        match keys {
            Some(keys) => line.field(|text| keys.get(index).into_iter().for_each(|key| push_data_key(text, key))),
            None => line.field(|text| text.push_str(if index == 0 { OTHER } else { "" })),
        }
    }
}

/// Names as in JSON, and what JSON has escapes for as bytes.
fn push_data_key(out: &mut String, key: &KeyValue) {
    match key {
        KeyValue::Text(text) if text != OTHER.as_bytes() => escape::push_data(out, text, true),
        key => push_key(out, key),
    }
}

fn push_buckets(out: &mut String, report: &Report, prefix: Option<&str>, values: &[Value]) {
    for (column, value) in report.values.iter().zip(values) {
        let mut push = |min: Option<i64>, max: Option<i64>, count: Option<i128>| {
            let mut line = Line::after(out, prefix);
            if report.values.len() > 1 {
                line.name(&column.name);
            }
            line.number(min.map(i128::from));
            line.number(max.map(i128::from));
            line.number(count);
            line.end();
        };
        if column.histogram {
            each_bucket(value, |bounds, count| push(bounds.min, bounds.max, Some(count.into())));
        } else {
            push(None, None, value.known());
        }
    }
}

/// Fields of one line, with the commas between them.
struct Line<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> Line<'a> {
    fn new(out: &'a mut String) -> Line<'a> {
        Line { out, is_first: true }
    }

    /// Goes on behind fields that are already text.
    fn after(out: &'a mut String, prefix: Option<&str>) -> Line<'a> {
        out.push_str(prefix.unwrap_or_default());
        Line { out, is_first: prefix.is_none() }
    }

    fn separate(&mut self) {
        if !self.is_first {
            self.out.push(',');
        }
        self.is_first = false;
    }

    /// Text of any kind that is escaped: it holds no line breaks.
    fn field(&mut self, write: impl FnOnce(&mut String)) {
        self.separate();
        let start = self.out.len();
        write(self.out);
        if self.out.as_bytes()[start..].iter().any(|byte| matches!(byte, b',' | b'"')) {
            let quoted = self.out[start..].replace('"', "\"\"");
            self.out.truncate(start);
            self.out.push('"');
            self.out.push_str(&quoted);
            self.out.push('"');
        }
    }

    fn name(&mut self, name: &str) {
        self.field(|text| escape::push_sentence(text, name));
    }

    fn value(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::Name(Some(name))) => self.field(|text| escape::push_data(text, name.as_bytes(), true)),
            value => self.number(value.and_then(Value::known)),
        }
    }

    fn number(&mut self, n: Option<i128>) {
        self.separate();
        n.into_iter().for_each(|n| push_int(self.out, n));
    }

    fn end(self) {
        self.out.push('\n');
    }
}
