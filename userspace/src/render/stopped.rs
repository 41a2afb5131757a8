//! Why tracing was stopped, as a sentence and as an object of JSON.
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::report::TooOften;

/// `stopped after 1.2 s: 410,000 firings a second, above --max-rate 100,000`
pub fn push(out: &mut String, stopped: &TooOften) {
    let tenths = stopped.after_ns / 100_000_000;
    out.push_str(&format!("stopped after {}.{} s: ", tenths / 10, tenths % 10));
    push_grouped(out, stopped.firings_per_second);
    out.push_str(" firings a second, above --max-rate ");
    push_grouped(out, stopped.max_rate);
    out.push('\n');
}

fn push_grouped(out: &mut String, n: u64) {
    let digits = n.to_string();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
}

impl Serialize for TooOften {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("after_ns", &self.after_ns)?;
        map.serialize_entry("firings_per_second", &self.firings_per_second)?;
        map.serialize_entry("max_rate", &self.max_rate)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{afterword, losses, sample};

    #[test]
    fn the_reason_stands_under_the_data_however_little_is_said() {
        let stopped = TooOften { after_ns: 1_290_000_000, firings_per_second: 410_000, max_rate: 100_000 };
        let mut report = sample::report();
        report.stopped = Some(stopped);
        let line = "stopped after 1.2 s: 410,000 firings a second, above --max-rate 100,000\n";
        assert!(afterword(&report).contains(line), "{}", afterword(&report));
        assert!(losses(&report).starts_with(line), "{}", losses(&report));
        let mut json = Vec::new();
        crate::render::json::write(&report, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let wanted = serde_json::json!({"after_ns": 1_290_000_000, "firings_per_second": 410_000, "max_rate": 100_000});
        assert_eq!(json["stopped"], wanted);
    }

    #[test]
    fn digits_are_in_groups_of_three() {
        let grouped = |n| {
            let mut out = String::new();
            push_grouped(&mut out, n);
            out
        };
        let all = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}
