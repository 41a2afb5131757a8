//! dtrace's quantize() block: 127 buckets in, lines out.
use super::bar;
use super::text::{push_int, push_right};
use crate::program::buckets::{QUANTIZE_ZERO, label, quantize_range};

pub fn push(out: &mut String, buckets: &[u64]) {
    bar::push_header(out);
    let (first, last) = bar::range(buckets.iter().copied()).unwrap_or((QUANTIZE_ZERO - 1, QUANTIZE_ZERO + 1));
    let shown = buckets.iter().take(last + 1).skip(first);
    let total = bar::total(shown.clone().copied());
    let mut text = String::new();
    for (index, count) in (first..).zip(shown) {
        text.clear();
        push_int(&mut text, label(&quantize_range(index)).into());
        push_right(out, 16, &text);
        bar::push_line(out, *count, total);
    }
}
