//! Durations as people type them: `5s`, `500ms`, `1m 30s`; a plain number is seconds, as with sleep(1).
use std::time::Duration;

use super::UsageError;

/// 10 years, as long as humantime has them. The clock ends at some point beyond, and with it the program.
const LONGEST: Duration = Duration::from_secs(10 * 31_557_600);

/// How long something is to go on: 1 ms at least.
pub fn parse(text: &str) -> Result<Duration, UsageError> {
    at_least(Duration::from_millis(1), text, "5s, 500ms or 2m")
}

/// How long something has lasted: any time but none.
pub fn parse_short(text: &str) -> Result<Duration, UsageError> {
    at_least(Duration::from_nanos(1), text, "10ms, 50us or 1s")
}

fn at_least(least: Duration, text: &str, advice: &str) -> Result<Duration, UsageError> {
    let wrong = |why: &str| UsageError::new(why, advice);
    let seconds = text.parse::<f64>().ok().map(Duration::try_from_secs_f64);
    let duration = match seconds {
        Some(Ok(duration)) => duration,
        Some(Err(_)) => return Err(wrong("not a duration")),
        None => humantime::parse_duration(text).map_err(|_| wrong("not a duration"))?,
    };
    if duration < least {
        return Err(wrong(&format!("shorter than {}", humantime::format_duration(least))));
    }
    if duration > LONGEST {
        return Err(wrong("longer than 10 years"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_people_type() {
        for (text, ms) in
            [("5s", 5_000), ("500ms", 500), ("2", 2_000), ("0.5", 500), ("1m 30s", 90_000), ("2min", 120_000)]
        {
            assert_eq!(parse(text).ok(), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("10years").ok(), Some(LONGEST));
    }

    #[test]
    fn malformed_durations_say_what_to_type() {
        for text in ["", "5x", "s", "-1", "-1s", "0", "0s", "nan", "inf", "1e300"] {
            assert!(
                parse(text).is_err_and(|error| error.advice().is_some_and(|advice| advice.contains("5s"))),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_beyond_ten_years_are_refused() {
        for text in ["18446744073709551615s", "10years 1s", "315576001", "1e19"] {
            assert!(parse(text).is_err_and(|error| error.to_string() == "longer than 10 years"), "{text}");
        }
    }
}
