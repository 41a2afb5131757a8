//! What dtrace's three histograms have in common: the header, the printed range, a line with its bar.
use super::text::{push_int, push_right, push_spaces};

const WIDTH: usize = 40;

pub fn push_header(out: &mut String) {
    push_right(out, 16, "value");
    out.push_str("  ------------- Distribution ------------- count    \n");
}

/// The buckets from one before the first that counted to one after the last, within `0..buckets`.
/// None where nothing was counted.
pub fn range(counts: impl Iterator<Item = u64>) -> Option<(usize, usize)> {
    let mut ends: Option<(usize, usize)> = None;
    let mut buckets = 0;
    for (index, count) in counts.enumerate() {
        buckets = index + 1;
        if count > 0 {
            ends = Some((ends.map_or(index, |(first, _)| first), index));
        }
    }
    ends.map(|(first, last)| (first.saturating_sub(1), (last + 1).min(buckets - 1)))
}

/// The label is already there and 16 columns wide. The bar is the share of all that was counted.
///
/// Source: libdtrace/dt_consume.c, dt_print_quantline. Our counts are never negative: one of its three layouts.
pub fn push_line(out: &mut String, count: u64, total: u128) {
    const ATS: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";
    let length = length(count, total);
    out.push_str(" |");
    out.push_str(&ATS[..length.min(WIDTH)]);
    push_spaces(out, WIDTH.saturating_sub(length) + 1);
    let start = out.len();
    push_int(out, count.into());
    push_spaces(out, 9_usize.saturating_sub(out.len() - start));
    out.push('\n');
}

/// count * 40 / total + 0.5, truncated.
fn length(count: u64, total: u128) -> usize {
    const HALVES: u64 = 2 * WIDTH as u64;
    match u64::try_from(total) {
        Ok(0) => 0,
        // 64-bit division where it does: the wide one is a call.
        Ok(total) if total <= u64::MAX / (2 * HALVES) => ((HALVES * count + total) / (2 * total)) as usize,
        _ => ((u128::from(HALVES) * u128::from(count) + total) / (2 * total)) as usize,
    }
}

pub fn total(counts: impl Iterator<Item = u64>) -> u128 {
    counts.map(u128::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(count: u64, total: u128) -> usize {
        let mut out = String::new();
        push_line(&mut out, count, total);
        out.matches('@').count()
    }

    #[test]
    fn bars_round_halves_up() {
        assert_eq!(bar(1, 3), 13);
        assert_eq!(bar(1, 80), 1);
        assert_eq!(bar(1, 81), 0);
        assert_eq!(bar(u64::MAX, u64::MAX.into()), 40);
        assert_eq!(bar(u64::MAX, 127 * u128::from(u64::MAX)), 0);
        assert_eq!(bar(0, 0), 0);
    }

    #[test]
    fn the_range_is_one_wider_at_each_end_within_the_buckets() {
        assert_eq!(range([0, 0, 5, 0, 0].into_iter()), Some((1, 3)));
        assert_eq!(range([5, 0, 0, 0, 1].into_iter()), Some((0, 4)));
        assert_eq!(range([0, 0].into_iter()), None);
    }
}
