//! What a value comes to as one number, as dtrace computes it: what is printed, summed and compared.
use super::bounds;
use super::value::Value;
use crate::program::buckets::{Llquantize, QUANTIZE_ZERO, label, quantize_range};

impl Value {
    /// The number that the value prints as: None where it is unknown, for names and for histograms.
    pub fn number(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Maybe(n) => *n,
            Value::Avg { sum, count } => Some(average(*sum, *count)),
            Value::Stddev { sum, squares, count } => Some(stddev(*sum, *squares, *count)),
            Value::Name(_) | Value::Quantize(_) | Value::Lquantize { .. } | Value::Llquantize { .. } => None,
        }
    }

    /// As [`Value::number`], and None where nothing came that could be averaged, for which dtrace prints 0.
    pub fn known(&self) -> Option<i128> {
        match self {
            Value::Avg { count: 0, .. } | Value::Stddev { count: 0, .. } => None,
            value => value.number(),
        }
    }

    /// What the value is compared by: the number or, of a histogram, the weighted sum and then the count at zero.
    /// Unknown numbers are below all others.
    pub fn weight(&self) -> (i128, u64) {
        match self {
            Value::Quantize(buckets) => {
                let zero = buckets.get(QUANTIZE_ZERO).copied().unwrap_or(0);
                (weigh(buckets, |index| label(&quantize_range(index))), zero)
            }
            Value::Lquantize { lower, step, buckets } => {
                let shape = bounds::lquantize(*lower, *step, buckets.len());
                // dtrace's weights: one below the lower limit, one above the upper one.
                let weight = |index: usize| match index {
                    0 => i64::from(*lower) - 1,
                    index => shape.range(index).start() + i64::from(index > shape.levels()),
                };
                let zero = buckets.iter().enumerate().find(|(index, _)| weight(*index) == 0);
                (weigh(buckets, weight), zero.map_or(0, |(_, count)| *count))
            }
            &Value::Llquantize { factor, lmag, hmag, steps, signed, ref buckets } => {
                let shape = Llquantize { factor, lmag, hmag, steps };
                let first = bounds::first_bucket(&shape, signed);
                let weight = |index: usize| match first + index {
                    index if index == shape.middle() => 0,
                    index => shape.range(index).map_or(0, |range| label(&range)),
                };
                (weigh(buckets, weight), buckets.get(shape.middle() - first).copied().unwrap_or(0))
            }
            _ => (self.number().unwrap_or(i128::MIN), 0),
        }
    }
}

/// Truncated towards zero; 0 where nothing came.
pub fn average(sum: i128, count: u64) -> i128 {
    match (i64::try_from(sum), i64::try_from(count)) {
        (_, Ok(0)) => 0,
        // 64-bit division where it does: the wide one is a call.
        (Ok(sum), Ok(count)) => (sum / count).into(),
        _ => sum / i128::from(count),
    }
}

/// Integer square root of the average square less the squared integer average.
///
/// Source: libdtrace/dt_consume.c, dt_stddev.
pub fn stddev(sum: i128, squares: u128, count: u64) -> i128 {
    if count == 0 {
        return 0;
    }
    let mean = average(sum, count).unsigned_abs();
    let variance = (squares / u128::from(count)).saturating_sub(mean.saturating_mul(mean));
    variance.isqrt() as i128
}

fn weigh(buckets: &[u64], weight: impl Fn(usize) -> i64) -> i128 {
    bounds::counted(buckets)
        .fold(0_i128, |sum, (index, count)| sum.saturating_add(i128::from(weight(index)) * i128::from(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The values that Oracle DTrace 2.0.7 printed for 5, 9, 1 and for -100, 50.
    #[test]
    fn stddev_is_dtraces_integer_root() {
        assert_eq!(stddev(15, 25 + 81 + 1, 3), 3);
        assert_eq!(stddev(-50, 10_000 + 2_500, 2), 75);
        assert_eq!(stddev(0, 0, 0), 0);
    }

    #[test]
    fn stddev_of_the_largest_values_does_not_overflow() {
        let max = i128::from(i64::MAX);
        assert_eq!(stddev(2 * max, 2 * (max as u128).pow(2), 2), 0);
        assert_eq!(stddev(0, 2 * (max as u128).pow(2), 2), max);
    }

    #[test]
    fn avg_truncates_towards_zero() {
        assert_eq!(average(-15, 2), -7);
        assert_eq!(average(7, 2), 3);
        assert_eq!(average(0, 0), 0);
    }

    #[test]
    fn an_average_of_nothing_is_unknown_except_to_dtrace() {
        let nothing = Value::Avg { sum: 0, count: 0 };
        assert_eq!((nothing.number(), nothing.known()), (Some(0), None));
        let zero = Value::Avg { sum: 0, count: 1 };
        assert_eq!((zero.number(), zero.known()), (Some(0), Some(0)));
    }

    #[test]
    fn weight_of_full_end_buckets_does_not_overflow() {
        assert!(Value::Quantize(vec![u64::MAX; 127]).weight().0 == 0);
        let mut top = vec![0; 127];
        top[64..].fill(u64::MAX);
        assert!(Value::Quantize(top).weight().0 > 0);
    }
}
