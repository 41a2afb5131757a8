//! A report as a table for people: a header, names to the left, numbers with their units to the right, a total.
use std::io;

use super::escape;
use super::page::Page;
use super::report::Report;
use super::text::{OTHER, is_number, push_key, push_left, push_right, width};
use super::units::{push_scaled, suffix};
use crate::merge::value::{KeyValue, Value};

/// Names wider than this are cut, and marked.
const WIDEST: usize = 60;
const CUT: &str = "..";
const GAP: &str = "  ";

pub fn push(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let mut cells = Cells::new(report);
    cells.push_header(report);
    for row in &report.aggregation.rows {
        cells.push_row(report, &row.keys, &row.values);
    }
    if let Some(values) = &report.aggregation.other {
        cells.push_label(report, OTHER);
        cells.push_values(report, values);
    }
    let rows = cells.ends.len() / cells.columns.len().max(1);
    let has_total = report.has_total();
    if has_total {
        cells.push_label(report, "total");
        cells.push_totals(report);
    }
    for row in 0..rows {
        cells.push_line(&mut page.text, row);
        page.turn()?;
    }
    if has_total {
        cells.push_rule(&mut page.text);
        cells.push_line(&mut page.text, rows);
    }
    Ok(())
}

struct Column {
    width: usize,
    is_number: bool,
}

/// The text of all cells, row by row, one after the other: no allocation a cell.
struct Cells {
    columns: Vec<Column>,
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
}

impl Cells {
    fn new(report: &Report) -> Cells {
        let sample = report.aggregation.rows.first();
        let key = |index: usize| match sample.and_then(|row| row.keys.get(index)) {
            Some(key) => is_number(key),
            None => report.keys[index].bytes != 0,
        };
        let keys = (0..report.keys.len()).map(|index| Column { width: 0, is_number: key(index) });
        let value = |index: usize| sample.and_then(|row| row.values.get(index));
        let is_number = |index: usize| !matches!(value(index), Some(Value::Name(_)));
        let values = (0..report.values.len()).map(|index| Column { width: 0, is_number: is_number(index) });
        let columns: Vec<Column> = keys.chain(values).collect();
        let cells = columns.len() * (report.aggregation.rows.len() + 3);
        Cells { columns, text: String::with_capacity(cells * 8), ends: Vec::with_capacity(cells) }
    }

    fn push_header(&mut self, report: &Report) {
        for key in &report.keys {
            self.push(|text| escape::push_sentence(text, &key.name));
        }
        for value in &report.values {
            self.push(|text| escape::push_sentence(text, &value.title));
        }
    }

    fn push_row(&mut self, report: &Report, keys: &[KeyValue], values: &[Value]) {
        for (index, column) in report.keys.iter().enumerate() {
            self.push(|text| match keys.get(index) {
                Some(KeyValue::Text(name)) if name.is_empty() => text.push_str("\"\""),
                Some(key) => {
                    push_key(text, key);
                    if is_number(key) {
                        text.push_str(suffix(column.unit));
                    }
                }
                None => {}
            });
        }
        self.push_values(report, values);
    }

    /// The keys of a row that has none: a label in the first column.
    fn push_label(&mut self, report: &Report, label: &str) {
        for index in 0..report.keys.len() {
            self.push(|text| text.push_str(if index == 0 { label } else { "" }));
        }
    }

    fn push_values(&mut self, report: &Report, values: &[Value]) {
        for (index, column) in report.values.iter().enumerate() {
            self.push(|text| match values.get(index) {
                Some(Value::Name(Some(name))) => escape::push_name(text, name.as_bytes()),
                value => match value.and_then(Value::known) {
                    Some(n) => push_scaled(text, n, column.unit),
                    None => text.push('-'),
                },
            });
        }
    }

    fn push_totals(&mut self, report: &Report) {
        for (index, column) in report.values.iter().enumerate() {
            let total = report.totals.get(index).and_then(Option::as_ref).and_then(Value::known);
            self.push(|text| total.into_iter().for_each(|n| push_scaled(text, n, column.unit)));
        }
    }

    fn push(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let mut columns = width(&self.text[start..]);
        if columns > WIDEST {
            let kept = self.text[start..].char_indices().nth(WIDEST - CUT.len());
            self.text.truncate(start + kept.map_or(0, |(at, _)| at));
            self.text.push_str(CUT);
            columns = WIDEST;
        }
        let index = self.ends.len() % self.columns.len();
        self.columns[index].width = self.columns[index].width.max(columns);
        self.ends.push(self.text.len());
    }

    fn push_line(&self, out: &mut String, row: usize) {
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push_str(GAP);
            }
            let cell = row * self.columns.len() + index;
            let start = if cell == 0 { 0 } else { self.ends[cell - 1] };
            let text = &self.text[start..self.ends[cell]];
            let is_last = index + 1 == self.columns.len();
            if column.is_number {
                push_right(out, column.width, text);
            } else {
                // Nothing stands behind the last one.
                push_left(out, if is_last { 0 } else { column.width }, text);
            }
            // Nor where it is empty, as of a total that only numbers have.
            if is_last && text.is_empty() {
                out.truncate(out.trim_end_matches(' ').len());
            }
        }
        out.push('\n');
    }

    fn push_rule(&self, out: &mut String) {
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push_str(GAP);
            }
            out.extend(std::iter::repeat_n('-', column.width));
        }
        out.push('\n');
    }
}
