//! Numbers and times of day in, digits out. Appends to a buffer, allocates nothing of its own.

/// As `%u`.
pub fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// As `%d`.
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    decimal(out, value.unsigned_abs());
}

/// As `%#x`: 0 has no prefix.
pub fn hex(out: &mut Vec<u8>, value: u64) {
    if value == 0 {
        return out.push(b'0');
    }
    out.extend_from_slice(b"0x");
    let nibbles = (64 - value.leading_zeros()).div_ceil(4);
    for nibble in (0..nibbles).rev() {
        out.push(hex_digit((value >> (nibble * 4)) as u8));
    }
}

/// As `%02x`.
pub fn hex_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte)]);
}

/// As `%#03o`, the way strace prints file modes: `000`, `022`, `0644`.
pub fn mode(out: &mut Vec<u8>, value: u32) {
    out.push(b'0');
    let digits = (32 - value.leading_zeros()).div_ceil(3).max(2);
    for digit in (0..digits).rev() {
        out.push(b'0' + (value >> (digit * 3) & 7) as u8);
    }
}

/// `width` digits with leading zeros; higher digits are cut off.
pub fn padded(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let first = out.len();
    out.resize(first + width, b'0');
    for digit in out[first..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// `HH:MM:SS.uuuuuu` of the day in UTC; nanoseconds are cut, not rounded.
pub fn time_of_day(out: &mut Vec<u8>, unix_ns: u64) {
    let seconds = unix_ns / 1_000_000_000;
    for part in [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60] {
        padded(out, part, 2);
        out.push(b':');
    }
    out.pop();
    out.push(b'.');
    padded(out, unix_ns / 1000 % 1_000_000, 6);
}

/// `S.nnnnnnnnn`, as `strace --syscall-times=ns`.
pub fn seconds(out: &mut Vec<u8>, ns: u64) {
    decimal(out, ns / 1_000_000_000);
    out.push(b'.');
    padded(out, ns % 1_000_000_000, 9);
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_print_as_printf_prints_them() {
        for value in [0, 1, 9, 10, 0xff, 0x1000, u64::MAX] {
            assert_eq!(text(|out| decimal(out, value)), value.to_string());
            assert_eq!(text(|out| signed(out, value as i64)), (value as i64).to_string());
            let expected = if value == 0 { "0".into() } else { format!("{value:#x}") };
            assert_eq!(text(|out| hex(out, value)), expected);
        }
        assert_eq!(text(|out| signed(out, i64::MIN)), i64::MIN.to_string());
    }

    #[test]
    fn modes_have_at_least_three_digits() {
        for (value, expected) in [(0, "000"), (0o7, "007"), (0o22, "022"), (0o644, "0644"), (0o1777, "01777")] {
            assert_eq!(text(|out| mode(out, value)), expected);
        }
    }

    #[test]
    fn time_of_day_is_cut_to_microseconds_and_durations_are_exact() {
        assert_eq!(text(|out| time_of_day(out, 1_700_000_000_123_456_789)), "22:13:20.123456");
        assert_eq!(text(|out| time_of_day(out, 0)), "00:00:00.000000");
        assert_eq!(text(|out| seconds(out, 12_345_678_999)), "12.345678999");
    }
}
