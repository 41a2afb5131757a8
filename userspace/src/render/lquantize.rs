//! dtrace's lquantize() block: buckets of one step in, lines out.
use super::bar;
use super::text::{push_int, push_right};

/// `buckets` begins with the one below `lower` and ends with the open one.
pub fn push(out: &mut String, lower: i32, step: u16, buckets: &[u64]) {
    bar::push_header(out);
    let (first, last) = bar::range(buckets.iter().copied()).unwrap_or((0, 2));
    let shown = buckets.iter().take(last + 1).skip(first);
    let total = bar::total(shown.clone().copied());
    let mut label = String::new();
    for (index, count) in (first..).zip(shown) {
        label.clear();
        match index {
            0 => label.push_str("< "),
            i if i + 1 == buckets.len() => label.push_str(">= "),
            _ => {}
        }
        push_int(&mut label, i128::from(lower) + index.saturating_sub(1) as i128 * i128::from(step));
        push_right(out, 16, &label);
        bar::push_line(out, *count, total);
    }
}
