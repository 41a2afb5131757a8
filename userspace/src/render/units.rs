//! Numbers with their unit as people read them: `12.3us`, `1.50KiB`, three significant digits.
use super::text::push_int;
use crate::program::field::Unit;

/// A unit, and how many of the smallest unit it is.
type Step = (&'static str, u64);

const TIMES: [Step; 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
const SIZES: [Step; 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("EiB", 1 << 60),
];

/// Appends a value, scaled.
pub fn push_scaled(out: &mut String, n: i128, unit: Unit) {
    match unit {
        Unit::None => push_int(out, n),
        Unit::Ns => scale(out, n, &TIMES),
        Unit::Bytes => scale(out, n, &SIZES),
    }
}

/// The unit of a key, which is not scaled: rows that differ must not look the same.
pub fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Ns => "ns",
        Unit::Bytes => "B",
    }
}

fn scale(out: &mut String, n: i128, steps: &[Step]) {
    if n < 0 {
        out.push('-');
    }
    let n = n.unsigned_abs();
    let mut index = steps.iter().rposition(|(_, size)| n >= u128::from(*size)).unwrap_or(0);
    let (mut number, mut decimals) = round(n, steps[index].1);
    // 999.6us rounds to 1000us, which is 1.00ms.
    if let Some((_, next)) = steps.get(index + 1)
        && decimals == 0
        && number.saturating_mul(steps[index].1.into()) >= u128::from(*next)
    {
        index += 1;
        (number, decimals) = (100, 2);
    }
    // With decimals there are three digits.
    let point = out.len() + 3 - decimals as usize;
    push_int(out, number as i128);
    if decimals > 0 {
        out.insert(point, '.');
    }
    out.push_str(steps[index].0);
}

/// `n / size` to three significant digits, halves up: the number without its point, and its decimals.
fn round(n: u128, size: u64) -> (u128, u32) {
    if size == 1 {
        return (n, 0);
    }
    for (decimals, power) in [(2, 100), (1, 10)] {
        let number = divide(n.saturating_mul(power), size);
        if number < 1_000 {
            return (number, decimals);
        }
    }
    (divide(n, size), 0)
}

/// To the nearest integer, halves up.
fn divide(n: u128, size: u64) -> u128 {
    let n = n.saturating_add(u128::from(size / 2));
    // 64-bit division where it does: the wide one is a call.
    match u64::try_from(n) {
        Ok(n) => (n / size).into(),
        Err(_) => n / u128::from(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(n: i128, unit: Unit) -> String {
        let mut out = String::new();
        push_scaled(&mut out, n, unit);
        out
    }

    #[test]
    fn times_have_three_significant_digits() {
        for (n, text) in [
            (0, "0ns"),
            (1, "1ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (1_005, "1.01us"),
            (12_345, "12.3us"),
            (123_456, "123us"),
            (1_500_000, "1.50ms"),
            (60_000_000_000, "60.0s"),
            (5_000_000_000_000, "5000s"),
            (-12_345, "-12.3us"),
        ] {
            assert_eq!(scaled(n, Unit::Ns), text);
        }
    }

    #[test]
    fn rounding_up_changes_the_unit_and_not_the_digits() {
        for (n, text) in [
            (9_994, "9.99us"),
            (9_995, "10.0us"),
            (99_950, "100us"),
            (999_499, "999us"),
            (999_500, "1.00ms"),
            (999_999_999, "1.00s"),
        ] {
            assert_eq!(scaled(n, Unit::Ns), text);
        }
        assert_eq!(scaled(1024 * 1024 - 1, Unit::Bytes), "1.00MiB");
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (n, text) in [(0, "0B"), (1_023, "1023B"), (1_024, "1.00KiB"), (1_536, "1.50KiB"), (1_047_000, "1022KiB")] {
            assert_eq!(scaled(n, Unit::Bytes), text);
        }
        assert_eq!(scaled(i128::from(u64::MAX), Unit::Bytes), "16.0EiB");
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        assert!(scaled(i128::MAX, Unit::Ns).ends_with('s'));
        assert!(scaled(i128::MIN, Unit::Bytes).ends_with("EiB"));
    }

    #[test]
    fn counts_are_not_scaled() {
        assert_eq!(scaled(5_001_203, Unit::None), "5001203");
    }
}
