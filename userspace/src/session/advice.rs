//! What would help against a receive buffer that was full, with its arithmetic: only from sizes that were seen there.
use std::fs;

use probes_common::account::BUFFER_FULL;

use crate::merge::value::{Aggregation, KeyValue, Row, Value};
use crate::render::report::{KeyColumn, ValueColumn};

/// Rows that are advised on, the largest first.
const ADVISED: usize = 3;

/// Sentences for the report; none where its keys and columns do not say enough.
pub fn advise(aggregation: &Aggregation, keys: &[KeyColumn], values: &[ValueColumn], elapsed_ns: u64) -> Vec<String> {
    let most = fs::read_to_string("/proc/sys/net/core/rmem_max").ok().and_then(|text| text.trim().parse().ok());
    let place = |name: &str| values.iter().position(|column| column.name == name);
    let (Some(reason), Some(lost), Some(length), Some(truesize), Some(buffer)) = (
        keys.iter().position(|key| key.name == "reason"),
        place("datagrams"),
        place("avg_bytes"),
        place("avg_truesize"),
        place("rcvbuf"),
    ) else {
        return Vec::new();
    };
    let is_full = |row: &&Row| matches!(row.keys[reason], KeyValue::Named { value, .. } if value == BUFFER_FULL);
    let sentence = |row: &Row| {
        let number = |at: usize| number(&row.values[at]);
        let seen =
            Seen { lost: number(lost)?, length: number(length)?, truesize: number(truesize)?, buffer: number(buffer)? };
        let whose: Vec<String> =
            row.keys.iter().enumerate().filter(|(at, _)| *at != reason).map(|(_, key)| word(key)).collect();
        Some(format!("{}: {}", whose.join(" "), seen.sentence(elapsed_ns, most)?))
    };
    aggregation.rows.iter().filter(is_full).take(ADVISED).filter_map(sentence).collect()
}

struct Seen {
    lost: u64,
    length: u64,
    truesize: u64,
    buffer: u64,
}

impl Seen {
    fn sentence(&self, elapsed_ns: u64, most: Option<u64>) -> Option<String> {
        let Seen { lost, length, truesize, buffer } = self;
        let holds = buffer.checked_div(*truesize)?;
        // The kernel doubles what is asked for.
        let ask = (holds + lost) * truesize / 2;
        let limit = match most {
            Some(most) if ask > most => format!("; net.core.rmem_max is {most}, so that has to be raised, too"),
            Some(most) => format!("; net.core.rmem_max is {most}"),
            None => String::new(),
        };
        let ms = elapsed_ns / 1_000_000;
        Some(format!(
            "a buffer of {buffer} B holds {holds} datagrams of {length} B ({truesize} B each in it), and {lost} found it full in {ms} ms; \
             if they came at once, SO_RCVBUF {ask} would have held them (the kernel doubles it){limit}"
        ))
    }
}

fn number(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Int(number) => *number,
        Value::Maybe(number) => (*number)?,
        Value::Avg { sum, count } => sum.checked_div(i128::from(*count))?,
        _ => return None,
    };
    u64::try_from(number).ok()
}

fn word(key: &KeyValue) -> String {
    match key {
        KeyValue::Unsigned(number) => number.to_string(),
        KeyValue::Signed(number) => number.to_string(),
        KeyValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
        KeyValue::Named { name, .. } => name.clone(),
        KeyValue::Stack(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_that_of_the_sizes_seen() {
        let seen = Seen { lost: 94, length: 512, truesize: 1280, buffer: 8192 };
        let sentence = seen.sentence(40_000_000, Some(212_992)).unwrap();
        assert_eq!(
            sentence,
            "a buffer of 8192 B holds 6 datagrams of 512 B (1280 B each in it), and 94 found it full in 40 ms; \
             if they came at once, SO_RCVBUF 64000 would have held them (the kernel doubles it); net.core.rmem_max is 212992"
        );
        let many = Seen { lost: 1870, ..seen };
        assert!(many.sentence(1, Some(212_992)).unwrap().contains("SO_RCVBUF 1200640 "));
        assert!(many.sentence(1, Some(212_992)).unwrap().ends_with("has to be raised, too"));
        assert_eq!(Seen { truesize: 0, ..seen }.sentence(1, None), None);
    }
}
