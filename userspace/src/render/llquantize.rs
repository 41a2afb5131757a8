//! dtrace's llquantize() block: log-linear buckets in, lines out.
use super::bar;
use super::text::{push_int, push_right};
use crate::merge::bounds::first_bucket;
use crate::program::buckets::{Llquantize, label};

/// An unsigned histogram has no buckets below zero; dtrace's has, so they count as empty ones.
///
/// Source: libdtrace/dt_consume.c, dt_print_llquantize, but for labels of more than 15 characters, which it cuts.
pub fn push(out: &mut String, shape: &Llquantize, signed: bool, buckets: &[u64]) {
    bar::push_header(out);
    let unused = first_bucket(shape, signed);
    let count = |bucket: usize| bucket.checked_sub(unused).and_then(|index| buckets.get(index)).copied().unwrap_or(0);
    let end = shape.buckets() - 1;
    let (first, last) = bar::range((0..=end).map(count)).unwrap_or((shape.middle(), (shape.middle() + 2).min(end)));
    // An end that no value can fall in gives way to the next one outwards that has values.
    let has_values = |bucket: &usize| shape.range(*bucket).is_some();
    let first = (0..=first).rev().find(has_values).unwrap_or(first);
    let last = (last..=end).find(has_values).unwrap_or(last);
    let total = bar::total((first..=last).map(count));
    let mut text = String::new();
    for bucket in (first..=last).filter(has_values) {
        text.clear();
        push_label(&mut text, shape, bucket, first);
        push_right(out, 16, &text);
        bar::push_line(out, count(bucket), total);
    }
}

fn push_label(text: &mut String, shape: &Llquantize, bucket: usize, first: usize) {
    let Some(range) = shape.range(bucket) else { return };
    if bucket == shape.middle() {
        match (range.end(), first < bucket) {
            (0, _) => return text.push('0'),
            (_, true) => text.push_str("abs() < "),
            (_, false) => text.push_str("< "),
        }
        return push_int(text, i128::from(*range.end()) + 1);
    }
    if bucket == 0 {
        text.push_str("<= ");
    } else if bucket + 1 == shape.buckets() {
        text.push_str(">= ");
    }
    push_int(text, label(&range).into());
}
