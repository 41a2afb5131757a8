//! What each function comes to, from the cells of a merged row.
use super::value::Value;
use crate::program::buckets::{QUANTIZE_BUCKETS, QUANTIZE_ZERO, typed_log_linear_range};
use crate::program::interp;
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
            let middle = percentile(words(&Cell::LogLinear(arg.clone())), arg.ty, *per_mille);
            Value::Maybe(middle.map(|middle| within_extremes(middle, arg, layout, row)))
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

/// The middle of the bucket that holds the value of that rank: a bucket is at most an eighth of its bound nearer to zero
/// wide, so the value is off by at most a sixteenth.
fn percentile(buckets: &[u64], ty: Type, per_mille: u16) -> Option<i128> {
    let total: u64 = buckets.iter().sum();
    let rank = (u128::from(total) * u128::from(per_mille)).div_ceil(1000).max(1) as u64;
    let mut seen = 0;
    for (bucket, hits) in buckets.iter().enumerate() {
        seen += hits;
        if *hits > 0 && seen >= rank {
            let range = typed_log_linear_range(bucket, ty);
            return Some((range.start() + range.end()) / 2);
        }
    }
    None
}

/// The middle of a bucket may lie beyond all that fell in it. Where a row has them, the extremes are exact.
fn within_extremes(middle: i128, arg: &Expr, layout: &Layout, row: &[u64]) -> i128 {
    let exact = |cell: Cell, bits: fn(u64) -> u64| {
        let mapped = bits(row[layout.word_of(&cell)?]);
        Some(interp::value(order_preserving(mapped, arg.ty), arg.ty))
    };
    let least = exact(Cell::Min(arg.clone()), |word| !word).unwrap_or(i128::MIN);
    let most = exact(Cell::Max(arg.clone()), |word| word).unwrap_or(i128::MAX);
    // Not `clamp`: a minimum or maximum that was contended may have crossed the other.
    middle.max(least).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::buckets::{log_linear_bucket, log_linear_buckets, typed_log_linear_bucket};
    use crate::program::field::Unit;
    use crate::program::tree::{Column, Node};
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
        assert_eq!(percentile(&[0; 496], Type::Unsigned, 500), None);
    }

    // 1000 is in the bucket of 960 to 1023, whose middle is 991.
    #[test]
    fn a_percentile_lies_between_the_extremes_that_are_there() {
        let arg = Expr { node: Node::Const(0), ty: Type::Unsigned };
        let p50 = Function::Percentile { arg: arg.clone(), per_mille: 500 };
        let of = |value: u64, extremes: Vec<Function>| {
            let functions = extremes.into_iter().chain([p50.clone()]);
            let column = |function| Column { name: String::new(), unit: Unit::None, function };
            let layout = Layout::of(&functions.map(column).collect::<Vec<_>>());
            let mut row = vec![0; layout.words];
            row[0] = 1;
            let mut set = |cell: Cell, at: usize, to: u64| {
                if let Some(word) = layout.word_of(&cell) {
                    row[word + at] = to;
                }
            };
            set(Cell::Min(arg.clone()), 0, !value);
            set(Cell::Max(arg.clone()), 0, value);
            set(Cell::LogLinear(arg.clone()), log_linear_bucket(value), 1);
            super::value(&p50, &layout, &row)
        };
        assert_eq!(of(961, vec![]), Value::Maybe(Some(991)));
        assert_eq!(of(961, vec![Function::Max(arg.clone())]), Value::Maybe(Some(961)));
        assert_eq!(of(1020, vec![Function::Min(arg.clone())]), Value::Maybe(Some(1020)));
        assert_eq!(of(961, vec![Function::Min(arg.clone())]), Value::Maybe(Some(991)));
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
            values in proptest::collection::vec(1u64..1 << 60, 1..200),
            ty in proptest::sample::select(vec![Type::Unsigned, Type::Signed]),
            per_mille in proptest::sample::select(vec![500u16, 900, 990, 999]),
        ) {
            // Odd ones below zero.
            let negated = |value: u64| if ty == Type::Signed && value % 2 == 1 { value.wrapping_neg() } else { value };
            let mut values: Vec<u64> = values.into_iter().map(negated).collect();
            let mut buckets = vec![0; log_linear_buckets(ty)];
            for value in &values {
                buckets[typed_log_linear_bucket(*value, ty)] += 1;
            }
            values.sort_unstable_by_key(|bits| interp::value(*bits, ty));
            let rank = (values.len() as u128 * u128::from(per_mille)).div_ceil(1000) as usize;
            let exact = interp::value(values[rank - 1], ty);
            let found = percentile(&buckets, ty, per_mille).unwrap();
            prop_assert!((found - exact).abs() * 16 <= exact.abs(), "{} for {}", found, exact);
        }
    }
}
