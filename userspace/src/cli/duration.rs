//! Durations as people type them: `5s`, `500ms`, `1m 30s`; a plain number is seconds, as with sleep(1).
use std::time::Duration;

pub fn parse(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().map(Duration::try_from_secs_f64);
    let duration = match seconds {
        Some(Ok(duration)) => duration,
        Some(Err(_)) => return Err("not a duration; try 5s, 500ms or 2m".to_owned()),
        None => humantime::parse_duration(text).map_err(|_| "not a duration; try 5s, 500ms or 2m".to_owned())?,
    };
    if duration < Duration::from_millis(1) {
        return Err("shorter than 1ms; try 5s, 500ms or 2m".to_owned());
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
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn malformed_durations_say_what_to_type() {
        for text in ["", "5x", "s", "-1", "-1s", "0", "0s", "nan", "inf", "1e300"] {
            assert!(parse(text).is_err_and(|error| error.contains("5s")), "{text}");
        }
    }
}
