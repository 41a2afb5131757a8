//! Numbers: ids, and with a suffix counts by thousands (`40k`) and bytes by 1,024 (`16M`).
use super::UsageError;

/// A process id, from 1 on.
pub fn pid(text: &str) -> Result<u32, UsageError> {
    id(text).ok_or_else(|| UsageError::new("not a process id", "a number, as `ps -e` lists them"))
}

/// A thread id, from 1 on.
pub fn tid(text: &str) -> Result<u32, UsageError> {
    id(text).ok_or_else(|| UsageError::new("not a thread id", "a number, as `ps -eL` lists them"))
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id > 0)
}

/// A port of UDP, from 1 on.
pub fn port(text: &str) -> Result<u16, UsageError> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| UsageError::new("not a port", "a number from 1 to 65535"))
}

/// How many rows, such as `20`; 0 means all.
pub fn rows(text: &str) -> Result<usize, UsageError> {
    let rows = scaled(text, 1000).and_then(|rows| usize::try_from(rows).ok());
    rows.ok_or_else(|| UsageError::new("not a number of rows", "20, or 0 for all"))
}

/// A count from 1 on, such as `10240` or `40k`.
pub fn count(text: &str) -> Result<u32, UsageError> {
    let wrong = || UsageError::new("not a count", "10240 or 40k");
    let number = scaled(text, 1000).ok_or_else(wrong)?;
    u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(wrong)
}

/// Bytes, such as `65536`, `64K` or `16M`.
pub fn bytes(text: &str) -> Result<u64, UsageError> {
    let bytes = scaled(text, 1024).filter(|bytes| *bytes >= 4096);
    bytes.ok_or_else(|| UsageError::new("not a size of at least 4K", "16M"))
}

/// A ring buffer is a power of two, of whole pages.
pub fn ring_bytes(text: &str) -> Result<u32, UsageError> {
    let bytes = bytes(text)?;
    let whole = bytes.checked_next_power_of_two().and_then(|bytes| u32::try_from(bytes).ok());
    whole.filter(|bytes| *bytes <= 1 << 30).ok_or_else(|| UsageError::new("more than 1G", "16M"))
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
            (count("40k").ok(), count("7").ok(), bytes("16M").ok(), bytes("64K").ok()),
            (Some(40_000), Some(7), Some(16 << 20), Some(64 << 10))
        );
        assert!(count("0").is_err() && count("5x").is_err() && count("-1").is_err() && bytes("1").is_err());
        assert!(count("99999999999").is_err() && bytes("99999999999G").is_err());
    }

    #[test]
    fn ids_are_whole_numbers_from_1_on() {
        assert_eq!((pid("42").ok(), tid("7").ok(), rows("0").ok()), (Some(42), Some(7), Some(0)));
        assert!(["0", "-5", "abc", "12x", "1k", "", "99999999999999999999"].iter().all(|text| id(text).is_none()));
    }

    #[test]
    fn ports_are_numbers_of_16_bits() {
        assert_eq!((port("1").ok(), port("65535").ok()), (Some(1), Some(65535)));
        assert!(["0", "65536", "-1", "domain", ""].iter().all(|text| port(text).is_err()));
    }

    #[test]
    fn ring_is_rounded_up_to_a_power_of_two() {
        assert_eq!(ring_bytes("5000").ok(), Some(8192));
        assert!(ring_bytes("2G").is_err() && ring_bytes("17179869183G").is_err());
    }
}
