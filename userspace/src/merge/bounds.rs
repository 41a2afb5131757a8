//! A histogram in, the buckets that counted something out, each with the values that it takes.
//! Must not format them: labels are `render`'s.
use std::ops::RangeInclusive;

use super::value::Value;
use crate::program::buckets::{Llquantize, Lquantize, quantize_range};

/// The least and the greatest value of a bucket; None at the open end of an end bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

impl From<RangeInclusive<i64>> for Bounds {
    // The end buckets also take what `i64` cannot hold.
    fn from(range: RangeInclusive<i64>) -> Bounds {
        Bounds {
            min: Some(*range.start()).filter(|min| *min != i64::MIN),
            max: Some(*range.end()).filter(|max| *max != i64::MAX),
        }
    }
}

/// The parameters of `Value::Lquantize` with this many buckets, end buckets included.
pub fn lquantize(lower: i32, step: u16, buckets: usize) -> Lquantize {
    let levels = buckets.saturating_sub(2) as i64;
    let upper = i64::from(lower) + levels * i64::from(step);
    Lquantize { lower, upper: i32::try_from(upper).unwrap_or(i32::MAX), step }
}

/// The bucket that the first one of `Value::Llquantize` is among dtrace's: an unsigned histogram has none below zero.
pub fn first_bucket(shape: &Llquantize, signed: bool) -> usize {
    if signed { 0 } else { shape.middle() }
}

/// Calls `each` with every bucket that counted something, from the least values up.
pub fn each_bucket(value: &Value, mut each: impl FnMut(Bounds, u64)) {
    match value {
        Value::Quantize(buckets) => {
            counted(buckets).for_each(|(index, count)| each(quantize_range(index).into(), count));
        }
        Value::Lquantize { lower, step, buckets } => {
            let shape = lquantize(*lower, *step, buckets.len());
            counted(buckets).for_each(|(index, count)| each(shape.range(index).into(), count));
        }
        &Value::Llquantize { factor, lmag, hmag, steps, signed, ref buckets } => {
            let shape = Llquantize { factor, lmag, hmag, steps };
            let first = first_bucket(&shape, signed);
            for (index, count) in counted(buckets) {
                if let Some(range) = shape.range(first + index) {
                    let mut bounds = Bounds::from(range);
                    if !signed && index == 0 {
                        bounds.min = Some(0);
                    }
                    each(bounds, count);
                }
            }
        }
        Value::Int(_) | Value::Maybe(_) | Value::Avg { .. } | Value::Stddev { .. } | Value::Name(_) => {}
    }
}

/// Buckets with a count, by index.
pub fn counted(buckets: &[u64]) -> impl Iterator<Item = (usize, u64)> {
    buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(value: &Value) -> Vec<(Option<i64>, Option<i64>, u64)> {
        let mut all = Vec::new();
        each_bucket(value, |bounds, count| all.push((bounds.min, bounds.max, count)));
        all
    }

    #[test]
    fn end_buckets_are_open() {
        let mut counts = vec![0; 127];
        (counts[0], counts[63], counts[65], counts[126]) = (1, 2, 3, 4);
        let top = Some(4611686018427387904);
        let expected = [(None, top.map(|n| -n), 1), (Some(0), Some(0), 2), (Some(2), Some(3), 3), (top, None, 4)];
        assert_eq!(buckets(&Value::Quantize(counts)), expected);
        let value = Value::Lquantize { lower: -10, step: 5, buckets: vec![1, 2, 3, 4] };
        let expected = [(None, Some(-11), 1), (Some(-10), Some(-6), 2), (Some(-5), Some(-1), 3), (Some(0), None, 4)];
        assert_eq!(buckets(&value), expected);
    }

    // 10^2 in 10 steps: the middle bucket is below 100, the last one from 1000 on.
    #[test]
    fn an_unsigned_llquantize_begins_at_zero() {
        let value = |signed, buckets| Value::Llquantize { factor: 10, lmag: 2, hmag: 2, steps: 10, signed, buckets };
        let mut unsigned = vec![0; 11];
        (unsigned[0], unsigned[1], unsigned[10]) = (5, 6, 7);
        let expected = [(Some(0), Some(99), 5), (Some(100), Some(199), 6), (Some(1000), None, 7)];
        assert_eq!(buckets(&value(false, unsigned)), expected);
        let mut signed = vec![0; 21];
        (signed[0], signed[10], signed[11]) = (4, 5, 6);
        let expected = [(None, Some(-1000), 4), (Some(-99), Some(99), 5), (Some(100), Some(199), 6)];
        assert_eq!(buckets(&value(true, signed)), expected);
    }
}
