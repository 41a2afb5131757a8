//! What is printed: rows that are merged, named and in order, with the loss that belongs to them.
use crate::merge::value::{Aggregation, KeyValue, Value};
use crate::program::field::Unit;

/// Everything that one report says; the renderers take it and nothing else.
#[derive(Debug, Clone)]
pub struct Report {
    /// The command's name, such as `syscalls`.
    pub command: String,
    /// Who was traced, for JSON: `{"pids":[42]}`, `{"all":true}`...
    pub target: serde_json::Value,
    pub started_unix_ns: u64,
    pub elapsed_ns: u64,
    /// CPU time between two samples, where rows are made of samples.
    pub sample_period_ns: Option<u64>,
    pub keys: Vec<KeyColumn>,
    pub values: Vec<ValueColumn>,
    /// Rows in the order in which they are printed, `--top` applied.
    pub aggregation: Aggregation,
    /// Records that were streamed instead of aggregated.
    pub events: Option<u64>,
    /// Rows that `--top` left out.
    pub rows_left_out: u64,
    /// What the value columns add up to over all rows, as `merge::order::arrange` returns it; empty: no total line.
    pub totals: Vec<Option<Value>>,
    pub layout: Layout,
    /// What the kernel itself counted in the same time.
    pub accounts: Accounts,
    /// It came to an end before anybody had asked for one.
    pub stopped: Option<TooOften>,
    pub loss: Loss,
    /// Sentences for people under the table: what to do next, what could not be seen.
    pub notes: Vec<String>,
}

/// The kernel's own counters beside the rows. Both count packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    pub namespaces: Vec<Account>,
    /// Losses in rows that no counter records, and those that only counters of other things may: what, and how many.
    pub nowhere: Vec<(String, u64)>,
    pub elsewhere: Vec<(String, u64)>,
    /// Namespaces of rows whose counters could not be read, by inode.
    pub unseen: Vec<u64>,
}

/// One network namespace's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub namespace: String,
    /// Those that moved.
    pub counters: Vec<(&'static str, u64)>,
    /// What the rows say of losses that have a counter.
    pub explained: u64,
    /// What the counters say beyond that; below 0: less than that.
    pub unexplained: i64,
    /// Counters and rows are not read at one moment: how far apart they may be.
    pub bracket: u64,
    /// None where nothing was lost at sockets.
    pub sockets: Option<AtSockets>,
    /// Counters that know no protocol, of devices and CPUs, where they moved: they explain nothing.
    pub all_protocols: Vec<(String, u64)>,
}

/// The same of the counters that sockets have each, of all that are still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtSockets {
    pub dropped: u64,
    pub explained: u64,
    pub unexplained: i64,
    pub bracket: u64,
    /// Sockets that were closed in this time, whose counters went with them.
    pub closed: u64,
    /// What the rows say of losses at sockets that were closed or not found.
    pub missing: u64,
}

#[derive(Debug, Clone)]
pub struct KeyColumn {
    pub name: String,
    pub unit: Unit,
    /// Size in bytes that dtrace would print it with: 4 for pid, tid, cpu, uid, gid; 8 for others; strings have none.
    pub bytes: u8,
}

#[derive(Debug, Clone)]
pub struct ValueColumn {
    /// The name in a table's header: `calls`, `p99`, `sum(ret)`.
    pub title: String,
    /// The name in JSON and CSV, unit included: `count`, `p99_ns`.
    pub name: String,
    pub unit: Unit,
    /// quantize, lquantize and llquantize: it decides CSV's columns, also where there is no row.
    pub histogram: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A table for people, with a header and scaled units.
    Table,
    /// dtrace's blocks, byte for byte.
    Dtrace,
}

/// Programs ran more often than --max-rate allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// Since the first of them was attached.
    pub after_ns: u64,
    /// Of the last second, or of what there was of it.
    pub firings_per_second: u64,
    pub max_rate: u64,
}

/// The loss ledger of the time that the report covers.
#[derive(Debug, Clone, Default)]
pub struct Loss {
    pub kinds: Vec<LossLine>,
}

#[derive(Debug, Clone)]
pub struct LossLine {
    /// The name in JSON: `ring_full`.
    pub name: &'static str,
    /// None where this kernel cannot tell.
    pub count: Option<u64>,
    /// True where events or their detail were lost; false where it is only worth knowing (calls still in flight).
    pub lost: bool,
    /// What happened, without the number: "calls counted under `<other>`: the table is full at 10240 keys".
    pub what: String,
    /// What to do about it, where there is something.
    pub advice: Option<String>,
}

impl Report {
    pub fn is_empty(&self) -> bool {
        self.aggregation.rows.is_empty() && self.aggregation.other.is_none()
    }

    /// A line of totals says something where there is more than one row, and something that adds up.
    pub fn has_total(&self) -> bool {
        let rows =
            self.aggregation.rows.len() as u64 + u64::from(self.aggregation.other.is_some()) + self.rows_left_out;
        rows > 1 && self.totals.iter().any(|total| matches!(total, Some(Value::Int(_))))
    }

    /// A key is a stack: it takes lines, not a cell.
    pub fn has_stacks(&self) -> bool {
        // All rows have keys of the same kinds.
        let sample = self.aggregation.rows.first();
        sample.is_some_and(|row| row.keys.iter().any(|key| matches!(key, KeyValue::Stack(_))))
    }
}

impl Loss {
    /// Everything that was lost and could be counted.
    pub fn total(&self) -> u64 {
        self.kinds.iter().filter(|line| line.lost).filter_map(|line| line.count).sum()
    }
}
