//! What each function comes to, from the cells of a merged row.
use super::value::Value;
use crate::program::buckets::{QUANTIZE_BUCKETS, QUANTIZE_ZERO, log_linear_range};
use crate::program::layout::{Cell, Layout, cells_of, order_preserving, sum_cell};
use crate::program::tree::{Expr, Function, Type};

/// One column's value of one row.
pub fn value(function: &Function, layout: &Layout, row: &[u64]) -> Value {
    let words = |cell: &Cell| {
        let at = layout.word_of(cell).expect("a layout has the cells of all its functions");
        &row[at..at + cell.words()]
    };
    let count = row[0];
    match function {
        Function::Count => Value::Int(count.into()),
        Function::Sum(arg) => Value::Int(sum(arg, &words)),
        Function::Avg(arg) => Value::Avg { sum: sum(arg, &words), count },
        Function::Min(arg) => extreme(!words(&Cell::Min(arg.clone()))[0], arg.ty, count),
        Function::Max(arg) => extreme(words(&Cell::Max(arg.clone()))[0], arg.ty, count),
        Function::Stddev(arg) => {
            Value::Stddev { sum: sum(arg, &words), squares: squares(words(&Cell::Squares(arg.clone()))), count }
        }
        Function::Quantize(arg) => Value::Quantize(quantize(words(&Cell::Quantize(arg.clone())), arg.ty)),
        Function::Lquantize { lower, step, .. } => {
            let buckets = words(&cells_of(function)[0]).to_vec();
            Value::Lquantize { lower: *lower, step: *step, buckets }
        }
        Function::Llquantize { arg, factor, lmag, hmag, steps } => Value::Llquantize {
            factor: *factor,
            lmag: *lmag,
            hmag: *hmag,
            steps: *steps,
            signed: arg.ty == Type::Signed,
            buckets: words(&cells_of(function)[0]).to_vec(),
        },
        Function::Percentile { arg, per_mille } => {
            Value::Maybe(percentile(words(&Cell::LogLinear(arg.clone())), *per_mille))
        }
    }
}

fn sum<'a>(arg: &Expr, words: &impl Fn(&Cell) -> &'a [u64]) -> i128 {
    let cell = sum_cell(arg.clone());
    let parts = words(&cell);
    match (&cell, arg.ty) {
        (Cell::Sum(_), _) => parts[0].into(),
        (_, Type::Unsigned) => (i128::from(parts[1]) << 32) + i128::from(parts[0]),
        (_, Type::Signed) => (i128::from(parts[1] as i64) << 32) + i128::from(parts[0]),
    }
}

fn extreme(mapped: u64, ty: Type, count: u64) -> Value {
    // The mapping is its own inverse.
    let bits = order_preserving(mapped, ty);
    Value::Maybe((count > 0).then(|| match ty {
        Type::Unsigned => bits.into(),
        Type::Signed => (bits as i64).into(),
    }))
}

/// Low and high half of low*low, low*high (twice in a square) and high*high. Saturates.
fn squares(limbs: &[u64]) -> u128 {
    let term = |limb: usize, shift: u32| u128::from(limbs[limb]).saturating_mul(1 << shift);
    [term(0, 0), term(1, 32), term(2, 33), term(3, 65), term(4, 64), term(5, 96)]
        .into_iter()
        .fold(0, u128::saturating_add)
}

fn quantize(words: &[u64], ty: Type) -> Vec<u64> {
    match ty {
        Type::Signed => words.to_vec(),
        Type::Unsigned => {
            let mut buckets = vec![0; QUANTIZE_ZERO];
            buckets.extend_from_slice(words);
            debug_assert_eq!(buckets.len(), QUANTIZE_BUCKETS);
            buckets
        }
    }
}

/// The middle of the bucket that holds the value of that rank: a bucket is at most an eighth of its lower bound wide, so
/// the value is off by at most a sixteenth.
fn percentile(buckets: &[u64], per_mille: u16) -> Option<i128> {
    let total: u64 = buckets.iter().sum();
    let rank = (u128::from(total) * u128::from(per_mille)).div_ceil(1000).max(1) as u64;
    let mut seen = 0;
    for (bucket, hits) in buckets.iter().enumerate() {
        seen += hits;
        if *hits > 0 && seen >= rank {
            let range = log_linear_range(bucket);
            return Some((i128::from(*range.start()) + i128::from(*range.end())) / 2);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::buckets::log_linear_bucket;
    use proptest::prelude::*;

    fn limbs_of(values: &[i64]) -> Vec<u64> {
        let mut limbs = vec![0u64; 6];
        for value in values {
            let magnitude = value.unsigned_abs();
            let (low, high) = (magnitude & 0xffff_ffff, magnitude >> 32);
            for (limb, product) in [low * low, low * high, high * high].into_iter().enumerate() {
                limbs[limb * 2] += product & 0xffff_ffff;
                limbs[limb * 2 + 1] += product >> 32;
            }
        }
        limbs
    }

    #[test]
    fn percentile_of_nothing_is_unknown() {
        assert_eq!(percentile(&[0; 496], 500), None);
    }

    #[test]
    fn sums_of_squares_beyond_128_bits_saturate() {
        assert_eq!(squares(&[0, 0, 0, 0, 0, u64::MAX]), u128::MAX);
    }

    proptest! {
        #[test]
        fn squares_in_limbs_are_exact(values in proptest::collection::vec(any::<i64>(), 0..4)) {
            let wanted: u128 = values.iter().map(|v| u128::from(v.unsigned_abs()).pow(2)).sum();
            prop_assert_eq!(squares(&limbs_of(&values)), wanted);
        }

        /// The stated worst relative error of percentiles: 1/16.
        #[test]
        fn percentile_is_within_a_sixteenth_of_the_value_of_that_rank(
            mut values in proptest::collection::vec(1u64..1 << 60, 1..200),
            per_mille in proptest::sample::select(vec![500u16, 900, 990, 999]),
        ) {
            let mut buckets = vec![0; 496];
            for value in &values {
                buckets[log_linear_bucket(*value)] += 1;
            }
            values.sort_unstable();
            let rank = (values.len() as u128 * u128::from(per_mille)).div_ceil(1000) as usize;
            let exact = i128::from(values[rank - 1]);
            let found = percentile(&buckets, per_mille).unwrap();
            prop_assert!((found - exact).abs() * 16 <= exact, "{} for {}", found, exact);
        }
    }
}
