//! A report as dtrace prints its aggregations: byte for byte, but for `<other>` and numbers beyond its types.
//!
//! Source: libdtrace/dt_consume.c, dt_print_aggs and dt_print_datum.
use std::io;

use super::page::Page;
use super::report::{KeyColumn, Report};
use super::text::{OTHER, is_number, push_int, push_key, push_left, push_right, push_spaces};
use super::{llquantize, lquantize, quantize, stack};
use crate::merge::value::{KeyValue, Value};
use crate::program::buckets::Llquantize;

const STRING_COLUMNS: usize = 50;
const NUMBER_COLUMNS: usize = 16;

/// Each column is an aggregation of its own: all its rows, then those of the next one.
pub fn push(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    page.text.push('\n');
    let mut cell = String::new();
    for column in 0..report.values.len() {
        for row in &report.aggregation.rows {
            for (key, description) in row.keys.iter().zip(&report.keys) {
                if let KeyValue::Stack(stack) = key {
                    page.text.push('\n');
                    stack::push(&mut page.text, stack);
                    continue;
                }
                cell.clear();
                push_key(&mut cell, key);
                push_key_column(&mut page.text, &cell, is_number(key), description);
            }
            push_value(&mut page.text, row.values.get(column), &mut cell);
            page.turn()?;
        }
        if let Some(values) = &report.aggregation.other {
            push_other_keys(&mut page.text, report);
            push_value(&mut page.text, values.get(column), &mut cell);
        }
    }
    Ok(())
}

fn push_key_column(out: &mut String, text: &str, is_number: bool, column: &KeyColumn) {
    if is_number {
        out.push(' ');
        push_right(out, number_columns(column.bytes), text);
    } else {
        out.push_str("  ");
        push_left(out, STRING_COLUMNS, text);
    }
}

fn number_columns(bytes: u8) -> usize {
    match bytes {
        1 => 3,
        2 => 5,
        4 => 8,
        _ => NUMBER_COLUMNS,
    }
}

fn push_other_keys(out: &mut String, report: &Report) {
    let sample: Option<&[KeyValue]> = report.aggregation.rows.first().map(|row| row.keys.as_slice());
    for (index, column) in report.keys.iter().enumerate() {
        let label = if index == 0 { OTHER } else { "" };
        if matches!(sample.and_then(|keys| keys.get(index)), Some(KeyValue::Stack(_))) {
            out.push('\n');
            if !label.is_empty() {
                push_spaces(out, stack::INDENT);
                out.push_str(label);
                out.push('\n');
            }
            continue;
        }
        let is_number = match sample.and_then(|keys| keys.get(index)) {
            Some(key) => is_number(key),
            None => column.bytes != 0,
        };
        push_key_column(out, label, is_number, column);
    }
}

fn push_value(out: &mut String, value: Option<&Value>, cell: &mut String) {
    match value {
        Some(Value::Quantize(buckets)) => {
            out.push('\n');
            quantize::push(out, buckets);
        }
        Some(Value::Lquantize { lower, step, buckets }) => {
            out.push('\n');
            lquantize::push(out, *lower, *step, buckets);
        }
        Some(&Value::Llquantize { factor, lmag, hmag, steps, signed, ref buckets }) => {
            out.push('\n');
            llquantize::push(out, &Llquantize { factor, lmag, hmag, steps }, signed, buckets);
        }
        number => {
            cell.clear();
            match number.and_then(Value::number) {
                Some(n) => push_int(cell, n),
                None => cell.push('-'),
            }
            out.push(' ');
            push_right(out, NUMBER_COLUMNS, cell);
        }
    }
    out.push('\n');
}
