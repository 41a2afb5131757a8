//! A table whose keys include stacks, for people: a line with the numbers and the other keys, the stack under it.
use std::io;

use super::page::Page;
use super::report::Report;
use super::stack;
use super::text::{OTHER, is_number, push_int, push_key};
use super::units::{push_scaled, suffix};
use super::{escape, text};
use crate::merge::value::{KeyValue, Value};

const GAP: &str = "  ";
/// Where a row has several stacks, each one's name stands above it.
const STACK_NAME_INDENT: usize = 4;

pub fn push(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    for (index, row) in report.aggregation.rows.iter().enumerate() {
        if index > 0 {
            page.text.push('\n');
        }
        push_values(&mut page.text, report, &row.values);
        push_keys(&mut page.text, report, &row.keys);
        push_stacks(&mut page.text, report, &row.keys);
        page.turn()?;
    }
    if let Some(values) = &report.aggregation.other {
        page.text.push('\n');
        push_values(&mut page.text, report, values);
        page.text.push_str(GAP);
        page.text.push_str(OTHER);
        page.text.push('\n');
    }
    if report.has_total() {
        page.text.push_str("\nall");
        push_totals(&mut page.text, report);
        page.text.push('\n');
    }
    Ok(())
}

fn push_values(out: &mut String, report: &Report, values: &[Value]) {
    for (index, column) in report.values.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { GAP });
        escape::push_sentence(out, &column.title);
        out.push(' ');
        match values.get(index).and_then(Value::known) {
            Some(n) => push_scaled(out, n, column.unit),
            None => out.push('-'),
        }
        if index == 0
            && let Some(tenths) = share(report, values.first())
        {
            out.push_str(" (");
            push_int(out, tenths / 10);
            out.push('.');
            push_int(out, tenths % 10);
            out.push_str("%)");
        }
    }
}

/// Tenths of a percent of the total that the first column is: it decides the order.
fn share(report: &Report, value: Option<&Value>) -> Option<i128> {
    let (Some(Value::Int(n)), Some(Some(Value::Int(total)))) = (value, report.totals.first()) else { return None };
    let says_something = report.has_total() && *total > 0 && *n >= 0;
    // To the nearest, halves up.
    says_something.then(|| Some(n.checked_mul(2_000)?.checked_add(*total)? / total.checked_mul(2)?)).flatten()
}

fn push_keys(out: &mut String, report: &Report, keys: &[KeyValue]) {
    for (column, key) in report.keys.iter().zip(keys) {
        if matches!(key, KeyValue::Stack(_)) {
            continue;
        }
        out.push_str(GAP);
        escape::push_sentence(out, &column.name);
        out.push(' ');
        match key {
            KeyValue::Text(name) if name.is_empty() => out.push_str("\"\""),
            key => push_key(out, key),
        }
        if is_number(key) {
            out.push_str(suffix(column.unit));
        }
    }
    out.push('\n');
}

fn push_stacks(out: &mut String, report: &Report, keys: &[KeyValue]) {
    let is_stack = |key: &&KeyValue| matches!(key, KeyValue::Stack(_));
    let has_several = keys.iter().filter(is_stack).count() > 1;
    for (column, key) in report.keys.iter().zip(keys) {
        let KeyValue::Stack(stack) = key else { continue };
        if has_several {
            text::push_spaces(out, STACK_NAME_INDENT);
            escape::push_sentence(out, &column.name);
            out.push_str(":\n");
        }
        stack::push(out, stack);
    }
}

fn push_totals(out: &mut String, report: &Report) {
    for (column, total) in report.values.iter().zip(&report.totals) {
        let Some(total) = total.as_ref().and_then(Value::known) else { continue };
        out.push_str(GAP);
        escape::push_sentence(out, &column.title);
        out.push(' ');
        push_scaled(out, total, column.unit);
    }
}
