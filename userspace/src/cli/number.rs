//! Numbers with a suffix: counts by thousands (`40k`), bytes by 1,024 (`16M`).

/// A count from 1 on, such as `10240` or `40k`.
pub fn count(text: &str) -> Result<u32, String> {
    let wrong = || "not a count; try 10240 or 40k".to_owned();
    let number = scaled(text, 1000).ok_or_else(wrong)?;
    u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(wrong)
}

/// Bytes, such as `65536`, `64K` or `16M`.
pub fn bytes(text: &str) -> Result<u64, String> {
    scaled(text, 1024).filter(|bytes| *bytes >= 4096).ok_or_else(|| "not a size of at least 4K; try 16M".to_owned())
}

/// A ring buffer is a power of two, of whole pages.
pub fn ring_bytes(text: &str) -> Result<u32, String> {
    let bytes = bytes(text)?;
    u32::try_from(bytes.next_power_of_two())
        .ok()
        .filter(|bytes| *bytes <= 1 << 30)
        .ok_or_else(|| "more than 1G; try 16M".to_owned())
}

fn scaled(text: &str, thousand: u64) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kb" | "kib" => thousand,
        "m" | "mb" | "mib" => thousand.pow(2),
        "g" | "gb" | "gib" => thousand.pow(3),
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_scale_counts_by_1000_and_bytes_by_1024() {
        assert_eq!(
            (count("40k"), count("7"), bytes("16M"), bytes("64K")),
            (Ok(40_000), Ok(7), Ok(16 << 20), Ok(64 << 10))
        );
        assert!(count("0").is_err() && count("5x").is_err() && count("-1").is_err() && bytes("1").is_err());
        assert!(count("99999999999").is_err() && bytes("99999999999G").is_err());
    }

    #[test]
    fn ring_is_rounded_up_to_a_power_of_two() {
        assert_eq!(ring_bytes("5000"), Ok(8192));
        assert!(ring_bytes("2G").is_err());
    }
}
