//! What a tool says at its end that it heard of. Reports in, numbers out.
use serde_json::Value;
use spoor_tests::{Context, Result, ensure};

use crate::cases::{What, Work};
use crate::tool::Ended;
use crate::worker::COMM;

/// Calls of the worker, nanoseconds that it was off the CPU, or datagrams for which a receive buffer had no room.
pub fn of(what: What, work: Work, end: &Ended) -> Result<u64> {
    match (what, work) {
        (What::Spoor(_), Work::Calls | Work::Crowd | Work::FewCalls) => spoor_calls(&end.stdout),
        (What::Bpftrace(_), Work::Calls | Work::Crowd | Work::FewCalls) => bpftrace_calls(&end.stdout),
        (What::Peer(..), Work::FewCalls) => listed_calls(&end.stdout).or_else(|_| listed_calls(&end.stderr)),
        (What::Spoor(_), Work::Flood | Work::Datagrams) => spoor_lost(&end.stdout),
        (What::Bpftrace(_), Work::Flood | Work::Datagrams) => bpftrace_lost(&end.stdout),
        (What::Spoor(_), Work::Switches) => spoor_offcpu_ns(&end.stdout),
        (What::Bpftrace(_), Work::Switches) => Ok(bpftrace_sum(&end.stdout)),
        (What::Peer(..), Work::Switches) => Ok(listed_sum(&end.stdout) * 1_000),
        _ => unreachable!("such a contender does not count this"),
    }
}

/// Calls are exact. Time is at least what is due: the worker waits before and after its work, too; and a peer cuts every
/// wait to whole microseconds.
pub fn is_all(heard: u64, due: u64, work: Work) -> bool {
    match work {
        Work::Switches => heard * 4 >= due * 3,
        _ => heard == due,
    }
}

/// The last line of what `spoor --format json` says.
pub fn spoor_report(stdout: &str) -> Result<Value> {
    Ok(serde_json::from_str(stdout.lines().last().context("a report")?)?)
}

/// Calls of getppid in a report of `spoor syscalls --format json`.
///
/// Errors: something was lost, so that its cost is another.
fn spoor_calls(report: &str) -> Result<u64> {
    let report = spoor_report(report)?;
    let lost = report["loss"]["total"].as_u64().context("loss.total")?;
    ensure!(lost == 0, "spoor lost {}", report["loss"]);
    let mut counted = 0;
    for row in report["rows"].as_array().context("rows")? {
        let keys = &row["keys"];
        let comm = keys.get("comm").is_none_or(|comm| comm == COMM);
        if keys["syscall"] == "getppid" && comm {
            let values = row["values"].as_object().context("values")?;
            let value = values.get("count").or_else(|| values.values().next());
            counted += value.and_then(count_of).context("a count, or buckets")?;
        }
    }
    Ok(counted)
}

/// A number, or the sum of buckets.
pub fn count_of(value: &Value) -> Option<u64> {
    match value.as_array() {
        Some(buckets) => Some(buckets.iter().filter_map(|bucket| bucket["count"].as_u64()).sum()),
        None => value.as_u64(),
    }
}

/// The value, or the sum of the buckets, of the keys that end in getppid's number and begin as the worker is named.
fn bpftrace_calls(output: &str) -> Result<u64> {
    const GETPPID: &str = "110";
    let mut counted = 0;
    for line in output.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(map) = line["data"]["@"].as_object() else { continue };
        for (key, value) in map {
            let (comm, number) = key.rsplit_once(',').unwrap_or((COMM, key));
            if number == GETPPID && comm == COMM {
                counted += count_of(value).context("a count, or buckets")?;
            }
        }
    }
    Ok(counted)
}

/// Of getppid in a table of system calls: second in its line if the name is the first, as `perf trace` and syscount have it,
/// else fourth, as `strace -c` has it.
fn listed_calls(output: &str) -> Result<u64> {
    let line = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = line.into_iter().find(|words| words.contains(&"getppid")).context("a line with getppid")?;
    let at = if line[0] == "getppid" { 1 } else { 3 };
    Ok(line.get(at).context("calls")?.parse()?)
}

/// Datagrams that found a full buffer, in a report of `spoor udp --format json`.
///
/// Errors: something was lost.
fn spoor_lost(report: &str) -> Result<u64> {
    let report = spoor_report(report)?;
    let lost = report["loss"]["total"].as_u64().context("loss.total")?;
    ensure!(lost == 0, "spoor lost {}", report["loss"]);
    let rows = report["rows"].as_array().context("rows")?.iter();
    let full = rows.filter(|row| row["keys"]["reason"] == "receive buffer full");
    Ok(full.filter_map(|row| row["values"]["datagrams"].as_u64()).sum())
}

/// The same of a map by reason, or of one number.
fn bpftrace_lost(output: &str) -> Result<u64> {
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let maps: Vec<Value> = lines.map(|line| line["data"]["@"].clone()).collect();
    let of_map = |map: &Value| match map.as_object() {
        Some(rows) => {
            let full = rows.iter().filter(|(key, _)| key.starts_with("SKB_DROP_REASON_SOCKET_RCVBUFF"));
            full.filter_map(|(_, count)| count.as_u64()).sum()
        }
        None => map.as_u64().unwrap_or(0),
    };
    Ok(maps.iter().map(of_map).sum())
}

/// Calls in all rows of a report of `spoor func --format json`, whatever it is aggregated by.
///
/// Errors: something was lost.
pub fn spoor_hits(report: &str) -> Result<u64> {
    let report = spoor_report(report)?;
    let lost = report["loss"]["total"].as_u64().context("loss.total")?;
    ensure!(lost == 0, "spoor lost {}", report["loss"]);
    let rows = report["rows"].as_array().context("rows")?;
    let of_row = |row: &Value| {
        let values = row["values"].as_object()?;
        let count = values.get("count").or_else(|| values.get("count()"));
        count.or_else(|| values.values().next()).and_then(count_of)
    };
    Ok(rows.iter().filter_map(of_row).sum())
}

/// The same of the map without a name, whether its values are numbers, buckets or statistics.
pub fn bpftrace_hits(output: &str) -> Result<u64> {
    let mut counted = 0;
    for line in output.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(map) = line["data"]["@"].as_object() else { continue };
        for value in map.values() {
            counted += value["count"].as_u64().or_else(|| count_of(value)).context("a count, buckets or statistics")?;
        }
    }
    Ok(counted)
}

/// Errors: stacks were lost, so that its cost is another.
fn spoor_offcpu_ns(report: &str) -> Result<u64> {
    let report = spoor_report(report)?;
    let kinds = report["loss"]["kinds"].as_object().context("loss.kinds")?;
    ensure!(!kinds.keys().any(|kind| kind.starts_with("stack_")), "spoor lost {}", report["loss"]);
    let rows = report["rows"].as_array().context("rows")?;
    let times = rows.iter().filter_map(|row| row["values"].as_object()).flatten();
    Ok(times.filter(|(name, _)| *name != "count").filter_map(|(_, value)| value.as_u64()).sum())
}

/// Of all values of the map without a name. Not as JSON: keys that are printed alike come several times.
pub fn bpftrace_sum(output: &str) -> u64 {
    let maps = output.lines().filter(|line| line.starts_with(r#"{"type": "map", "data": {"@": "#));
    let digits =
        |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<u64>().ok());
    maps.flat_map(|line| line.split("\": ").filter_map(digits)).sum::<u64>()
}

/// Of all lines that are nothing but a number, as those below the stacks of libbpf-tools.
pub fn listed_sum(output: &str) -> u64 {
    output.lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_in_the_tables_of_all_peers() {
        let strace = " 99.83    0.158184          25      6297           getppid\n  0.17    0.000277          92         3 munmap\n";
        assert_eq!(listed_calls(strace).unwrap(), 6297);
        let perf =
            "   syscall            calls  errors  total\n   getppid           163356      0  2050.716     0.010\n";
        assert_eq!(listed_calls(perf).unwrap(), 163_356);
        assert!(listed_calls("Tracing syscalls\n").is_err());
    }

    #[test]
    fn only_datagrams_without_room_count_among_those_that_bpftrace_lists() {
        let keyed = r#"{"type": "map", "data": {"@": {"SKB_DROP_REASON_SOCKET_RCVBUFF,0xffff88853837af40": 991, "SKB_DROP_REASON_NO_SOCKET,0x0": 3}}}"#;
        assert_eq!(bpftrace_lost(keyed).unwrap(), 991);
        assert_eq!(bpftrace_lost(r#"{"type": "map", "data": {"@": 7}}"#).unwrap(), 7);
        assert_eq!(bpftrace_lost("").unwrap(), 0);
    }
}
