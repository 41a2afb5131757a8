//! Buckets of the distributions: which one a value falls in, and what values a bucket holds.
//! dtrace's for quantize, lquantize and llquantize; a log-linear one for percentiles. The kernel side must agree.
use std::ops::RangeInclusive;

use super::tree::Type;

/// quantize's buckets: 63 for powers of two below zero, one for zero, 63 above.
pub const QUANTIZE_BUCKETS: usize = 127;
/// quantize's bucket of 0.
pub const QUANTIZE_ZERO: usize = 63;
/// 16 exact values and 8 buckets for each power of two from 16 to 2^63: 16 + 60 * 8.
pub const LOG_LINEAR_BUCKETS: usize = 496;
/// The bucket of 0 where the argument is signed: as many magnitudes have a bucket below it, -2^63 the first one.
pub const LOG_LINEAR_ZERO: usize = 488;
/// From -2^63 to the last bucket below 2^63.
pub const LOG_LINEAR_SIGNED_BUCKETS: usize = 2 * LOG_LINEAR_ZERO;

/// The argument of a distribution: an unsigned one too large for `i64` counts as the largest.
pub fn bucket_value(bits: u64, ty: Type) -> i64 {
    match ty {
        Type::Signed => bits as i64,
        Type::Unsigned => i64::try_from(bits).unwrap_or(i64::MAX),
    }
}

pub fn quantize_bucket(value: i64) -> usize {
    match value {
        0 => QUANTIZE_ZERO,
        1.. => QUANTIZE_ZERO + 1 + value.ilog2() as usize,
        // i64::MIN has no bucket of its own: 2^63 is one power of two more than above zero.
        _ => QUANTIZE_ZERO - 1 - (value.unsigned_abs().ilog2() as usize).min(62),
    }
}

/// The values of a bucket. Its label is the end that is nearer to zero: see [`label`].
pub fn quantize_range(bucket: usize) -> RangeInclusive<i64> {
    match bucket {
        QUANTIZE_ZERO => 0..=0,
        0 => i64::MIN..=-(1 << 62),
        1..QUANTIZE_ZERO => {
            let low = 1i64 << (QUANTIZE_ZERO - 1 - bucket);
            -(low * 2 - 1)..=-low
        }
        126.. => 1 << 62..=i64::MAX,
        _ => {
            let low = 1i64 << (bucket - QUANTIZE_ZERO - 1);
            low..=low * 2 - 1
        }
    }
}

/// The number that stands for a bucket in dtrace's blocks.
pub fn label(range: &RangeInclusive<i64>) -> i64 {
    if *range.end() < 0 { *range.end() } else { *range.start() }
}

/// lquantize: equal steps from `lower` on. `lower < upper`, `step >= 1`, at least one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lquantize {
    pub lower: i32,
    pub upper: i32,
    pub step: u16,
}

impl Lquantize {
    /// Whole steps between the bounds; what is left over belongs to the top bucket, as in dtrace.
    pub fn levels(&self) -> usize {
        ((i64::from(self.upper) - i64::from(self.lower)) / i64::from(self.step)) as usize
    }

    /// One for each level, one below and one above.
    pub fn buckets(&self) -> usize {
        self.levels() + 2
    }

    pub fn bucket(&self, value: i64) -> usize {
        if value < i64::from(self.lower) {
            return 0;
        }
        let level = (i128::from(value) - i128::from(self.lower)) / i128::from(self.step);
        1 + usize::try_from(level).unwrap_or(usize::MAX).min(self.levels())
    }

    pub fn range(&self, bucket: usize) -> RangeInclusive<i64> {
        let low = |bucket: usize| i64::from(self.lower) + (bucket as i64 - 1) * i64::from(self.step);
        match bucket {
            0 => i64::MIN..=i64::from(self.lower) - 1,
            bucket if bucket > self.levels() => low(bucket)..=i64::MAX,
            bucket => low(bucket)..=low(bucket + 1) - 1,
        }
    }
}

/// llquantize: each power `factor^lmag ..= factor^hmag` in `steps` steps, mirrored below zero. The bucket in the middle
/// holds what is nearer to zero than `factor^lmag`. The limits are those that [`super::functions`] checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Llquantize {
    pub factor: u16,
    pub lmag: u16,
    pub hmag: u16,
    pub steps: u16,
}

impl Llquantize {
    fn power(&self, magnitude: u16) -> u64 {
        u64::from(self.factor).pow(u32::from(magnitude))
    }

    /// Steps of a power that lie below it: its range begins at `factor^m`, not at 0.
    fn skipped(&self) -> usize {
        usize::from(self.steps / self.factor)
    }

    fn per_magnitude(&self) -> usize {
        usize::from(self.steps) - self.skipped()
    }

    /// The bucket around zero, halfway.
    pub fn middle(&self) -> usize {
        1 + usize::from(self.hmag - self.lmag + 1) * self.per_magnitude()
    }

    pub fn buckets(&self) -> usize {
        2 * self.middle() + 1
    }

    pub fn bucket(&self, value: i64) -> usize {
        let distance = self.distance(value.unsigned_abs());
        if value < 0 { self.middle() - distance } else { self.middle() + distance }
    }

    /// Buckets from the middle to the one of a magnitude.
    fn distance(&self, magnitude: u64) -> usize {
        if magnitude < self.power(self.lmag) {
            return 0;
        }
        for m in self.lmag..=self.hmag {
            let end = self.power(m + 1);
            if magnitude < end {
                let step = u128::from(magnitude) * u128::from(self.steps) / u128::from(end);
                return usize::from(m - self.lmag) * self.per_magnitude() + step as usize - self.skipped() + 1;
            }
        }
        self.middle()
    }

    /// The values of a bucket, or `None` where no value can fall in it: in the lowest powers a step may be smaller
    /// than 1. dtrace does not print these.
    pub fn range(&self, bucket: usize) -> Option<RangeInclusive<i64>> {
        let middle = self.middle();
        if bucket < middle {
            let above = self.range(2 * middle - bucket)?;
            // The outermost bucket also holds i64::MIN, which has no counterpart above zero.
            let low = if bucket == 0 { i64::MIN } else { -above.end() };
            return Some(low..=-above.start());
        }
        if bucket == middle {
            let low = self.power(self.lmag) as i64;
            return Some(1 - low..=low - 1);
        }
        if bucket >= 2 * middle {
            return Some(self.power(self.hmag + 1) as i64..=i64::MAX);
        }
        let index = bucket - middle - 1;
        let magnitude = self.lmag + (index / self.per_magnitude()) as u16;
        let step = (index % self.per_magnitude() + self.skipped()) as u128;
        let end = u128::from(self.power(magnitude + 1));
        let first = |step: u128| (step * end).div_ceil(u128::from(self.steps)) as i64;
        let low = first(step).max(self.power(magnitude) as i64);
        let high = first(step + 1) - 1;
        (low <= high).then_some(low..=high)
    }
}

/// Values up to 15 exactly, then 8 buckets for each power of two.
pub fn log_linear_bucket(value: u64) -> usize {
    if value < 8 {
        return value as usize;
    }
    let exponent = value.ilog2() as usize;
    let top = (value >> (exponent - 3)) as usize & 7;
    (exponent - 3) * 8 + top + 8
}

/// Worst relative error of the lower bound as the value: a bucket is an eighth of its power of two wide.
pub fn log_linear_range(bucket: usize) -> RangeInclusive<u64> {
    if bucket < 16 {
        return bucket as u64..=bucket as u64;
    }
    let shift = bucket / 8 - 1;
    let low = (bucket as u64 % 8 + 8) << shift;
    low..=low + ((1 << shift) - 1)
}

/// Buckets of a percentile's histogram; those of a signed argument are mirrored at zero.
pub fn log_linear_buckets(ty: Type) -> usize {
    match ty {
        Type::Unsigned => LOG_LINEAR_BUCKETS,
        Type::Signed => LOG_LINEAR_SIGNED_BUCKETS,
    }
}

pub fn typed_log_linear_bucket(bits: u64, ty: Type) -> usize {
    match (ty, bits as i64) {
        (Type::Unsigned, _) => log_linear_bucket(bits),
        (Type::Signed, value @ ..0) => LOG_LINEAR_ZERO - log_linear_bucket(value.unsigned_abs()),
        (Type::Signed, _) => LOG_LINEAR_ZERO + log_linear_bucket(bits),
    }
}

/// The values of a bucket of [`typed_log_linear_bucket`].
pub fn typed_log_linear_range(bucket: usize, ty: Type) -> RangeInclusive<i128> {
    let wide = |range: RangeInclusive<u64>| (i128::from(*range.start()), i128::from(*range.end()));
    match (ty, bucket) {
        (Type::Unsigned, _) => {
            let (low, high) = wide(log_linear_range(bucket));
            low..=high
        }
        // No other magnitude of that bucket has a negative value.
        (Type::Signed, 0) => i64::MIN.into()..=i64::MIN.into(),
        (Type::Signed, ..LOG_LINEAR_ZERO) => {
            let (low, high) = wide(log_linear_range(LOG_LINEAR_ZERO - bucket));
            -high..=-low
        }
        (Type::Signed, _) => {
            let (low, high) = wide(log_linear_range(bucket - LOG_LINEAR_ZERO));
            low..=high
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantize_has_dtraces_indexes() {
        let cases = [
            (0, 63),
            (1, 64),
            (2, 65),
            (3, 65),
            (4, 66),
            (-1, 62),
            (-2, 61),
            (-3, 61),
            (i64::MAX, 126),
            (i64::MIN, 0),
            (1 << 62, 126),
            (-(1 << 62), 0),
        ];
        for (value, bucket) in cases {
            assert_eq!(quantize_bucket(value), bucket, "{value}");
        }
        for bucket in 0..QUANTIZE_BUCKETS {
            let wanted = match bucket {
                63 => 0,
                64.. => 1 << (bucket - 64),
                _ => -(1i64 << (62 - bucket)),
            };
            assert_eq!(label(&quantize_range(bucket)), wanted);
        }
    }

    #[test]
    fn unsigned_values_beyond_i64_fall_in_the_top_bucket() {
        assert_eq!(quantize_bucket(bucket_value(u64::MAX, Type::Unsigned)), 126);
        assert_eq!(quantize_bucket(bucket_value(u64::MAX, Type::Signed)), 62);
    }

    #[test]
    fn lquantize_leftover_of_a_step_belongs_to_the_top() {
        let l = Lquantize { lower: 0, upper: 105, step: 10 };
        assert_eq!((l.levels(), l.buckets()), (10, 12));
        let cases = [(-1, 0), (0, 1), (9, 1), (10, 2), (99, 10), (100, 11), (104, 11), (i64::MAX, 11), (i64::MIN, 0)];
        for (value, bucket) in cases {
            assert_eq!(l.bucket(value), bucket, "{value}");
        }
    }

    /// Labels of dtrace's golden test tst.llquantize_basic.r: steps below, at and above the factor.
    #[test]
    fn llquantize_has_dtraces_labels() {
        let labels = |steps| {
            let l = Llquantize { factor: 4, lmag: 0, hmag: 1, steps };
            (0..l.buckets()).filter_map(|bucket| l.range(bucket)).map(|range| label(&range)).collect::<Vec<_>>()
        };
        assert_eq!(labels(2), [-16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16]);
        assert_eq!(labels(4), [-16, -12, -8, -4, -3, -2, -1, 0, 1, 2, 3, 4, 8, 12, 16]);
        assert_eq!(labels(8), [-16, -14, -12, -10, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16]);
    }

    /// `llquantize(320, 10, 0, 5, 5)` of dtrace's golden test printa/tst.basics.r falls in the bucket of 200.
    #[test]
    fn llquantize_puts_320_where_dtrace_does() {
        let l = Llquantize { factor: 10, lmag: 0, hmag: 5, steps: 5 };
        assert_eq!(l.range(l.bucket(320)), Some(200..=399));
    }

    #[test]
    fn log_linear_is_exact_up_to_15() {
        for value in 0..16 {
            assert_eq!(log_linear_bucket(value), value as usize);
        }
        assert_eq!((log_linear_bucket(16), log_linear_bucket(17), log_linear_bucket(18)), (16, 16, 17));
        assert_eq!(log_linear_bucket(u64::MAX), LOG_LINEAR_BUCKETS - 1);
        assert_eq!(*log_linear_range(LOG_LINEAR_BUCKETS - 1).end(), u64::MAX);
    }

    #[test]
    fn log_linear_of_signed_values_is_mirrored_at_zero() {
        let bucket = |value: i64| typed_log_linear_bucket(value as u64, Type::Signed) as i64 - LOG_LINEAR_ZERO as i64;
        for value in [0, 1, 7, 8, 15, 16, 17, 1000, i64::MAX] {
            assert_eq!(bucket(-value), -bucket(value), "{value}");
        }
        assert_eq!(typed_log_linear_bucket(i64::MIN as u64, Type::Signed), 0);
        assert_eq!(typed_log_linear_bucket(i64::MAX as u64, Type::Signed), LOG_LINEAR_SIGNED_BUCKETS - 1);
    }

    /// Every bucket's values follow those of the one before without a gap.
    #[test]
    fn ranges_cover_every_value_once() {
        for (ty, ends) in [(Type::Unsigned, (0, u64::MAX.into())), (Type::Signed, (i64::MIN.into(), i64::MAX.into()))] {
            let ranges: Vec<_> = (0..log_linear_buckets(ty)).map(|bucket| typed_log_linear_range(bucket, ty)).collect();
            assert!(ranges.windows(2).all(|w| w[0].end() + 1 == *w[1].start()));
            assert_eq!((*ranges[0].start(), *ranges[ranges.len() - 1].end()), ends);
        }
        let l = Lquantize { lower: -7, upper: 90, step: 9 };
        let ll = |factor, lmag, hmag, steps| {
            let l = Llquantize { factor, lmag, hmag, steps };
            (0..l.buckets()).filter_map(move |bucket| l.range(bucket)).collect::<Vec<_>>()
        };
        let signed = [
            (0..QUANTIZE_BUCKETS).map(quantize_range).collect(),
            (0..l.buckets()).map(|bucket| l.range(bucket)).collect(),
            ll(10, 0, 6, 20),
            ll(10, 3, 9, 10),
            ll(2, 0, 61, 1),
            ll(16, 1, 3, 128),
            ll(10, 0, 17, 100),
            ll(10, 2, 5, 5),
        ];
        for ranges in signed {
            assert!(ranges.windows(2).all(|w| w[0].end() + 1 == *w[1].start()), "{ranges:?}");
            assert_eq!((*ranges[0].start(), *ranges[ranges.len() - 1].end()), (i64::MIN, i64::MAX));
        }
    }

    fn signed() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -200i64..200, (any::<i64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)]
    }

    fn llquantize() -> impl Strategy<Value = Llquantize> {
        prop::sample::select(vec![
            (10, 0, 6, 20),
            (10, 3, 9, 10),
            (2, 0, 61, 1),
            (4, 0, 1, 8),
            (10, 0, 17, 100),
            (10, 2, 5, 5),
        ])
        .prop_map(|(factor, lmag, hmag, steps)| Llquantize { factor, lmag, hmag, steps })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn larger_values_never_fall_in_a_lower_bucket(a in signed(), b in signed(), lower in -100i32..100, width in 1i32..500, step in 1u16..20, ll in llquantize()) {
            let (a, b) = (a.min(b), a.max(b));
            let l = Lquantize { lower, upper: lower + width.max(i32::from(step)), step };
            prop_assert!(quantize_bucket(a) <= quantize_bucket(b));
            prop_assert!(l.bucket(a) <= l.bucket(b) && l.bucket(b) < l.buckets());
            prop_assert!(ll.bucket(a) <= ll.bucket(b) && ll.bucket(b) < ll.buckets());
            prop_assert!(log_linear_bucket(a.unsigned_abs()) <= log_linear_bucket(a.unsigned_abs().max(b.unsigned_abs())));
            let signed = |value| typed_log_linear_bucket(value as u64, Type::Signed);
            prop_assert!(signed(a) <= signed(b) && signed(b) < LOG_LINEAR_SIGNED_BUCKETS);
        }

        #[test]
        fn range_of_a_values_bucket_holds_the_value(v in signed(), lower in -100i32..100, width in 1i32..500, step in 1u16..20, ll in llquantize()) {
            let l = Lquantize { lower, upper: lower + width.max(i32::from(step)), step };
            prop_assert!(quantize_range(quantize_bucket(v)).contains(&v));
            prop_assert!(l.range(l.bucket(v)).contains(&v));
            prop_assert!(ll.range(ll.bucket(v)).unwrap().contains(&v));
            for (ty, exact) in [(Type::Unsigned, i128::from(v as u64)), (Type::Signed, v.into())] {
                prop_assert!(typed_log_linear_range(typed_log_linear_bucket(v as u64, ty), ty).contains(&exact));
            }
        }
    }
}
