//! Rows in no order in, rows in the order in which they are printed out, and what `--top` left away.
use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

use super::value::{Aggregation, KeyValue, Row, Value};
use crate::symbolize::frame::{Frame, Stack};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    Value,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Asc,
    Desc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub by: SortBy,
    pub direction: Direction,
    /// Keep only this many rows, the largest by value in both directions. None or 0: all.
    pub top: Option<usize>,
}

/// What the rows that remain do not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arranged {
    /// Rows that `top` left out.
    pub left_out: u64,
    /// One a column: its total over all rows, left out or not, and `<other>`. None where values do not add up.
    pub totals: Vec<Option<Value>>,
}

/// Sorts the rows and keeps the largest of them.
///
/// By value, the first column decides, then the ones after it, then the keys; where keys decide they ascend in both
/// directions. By key, from left to right.
pub fn arrange(aggregation: &mut Aggregation, order: Order) -> Arranged {
    let totals = totals(aggregation);
    let table = Weights::of(&aggregation.rows);
    let rows = &aggregation.rows;
    let by_value = |direction: Direction| {
        let table = &table;
        move |a: &u32, b: &u32| {
            let values = match direction {
                Direction::Asc => table.row(*a).cmp(table.row(*b)),
                Direction::Desc => table.row(*b).cmp(table.row(*a)),
            };
            values.then_with(|| compare_keys(&rows[*a as usize].keys, &rows[*b as usize].keys))
        }
    };
    let by_key = |a: &u32, b: &u32| compare_keys(&rows[*a as usize].keys, &rows[*b as usize].keys);
    let mut indexes: Vec<u32> = (0..rows.len() as u32).collect();
    if let Some(top) = order.top.filter(|top| *top > 0 && *top < indexes.len()) {
        indexes.select_nth_unstable_by(top, by_value(Direction::Desc));
        indexes.truncate(top);
    }
    match (order.by, order.direction) {
        (SortBy::Value, direction) => indexes.sort_by(by_value(direction)),
        (SortBy::Key, Direction::Asc) => indexes.sort_by(by_key),
        (SortBy::Key, Direction::Desc) => indexes.sort_by(|a, b| by_key(b, a)),
    }
    let left_out = (rows.len() - indexes.len()) as u64;
    let mut rows = mem::take(&mut aggregation.rows);
    let take = |index: u32| {
        let row = &mut rows[index as usize];
        Row { keys: mem::take(&mut row.keys), values: mem::take(&mut row.values) }
    };
    aggregation.rows = indexes.into_iter().map(take).collect();
    Arranged { left_out, totals }
}

/// From left to right: numbers by value, signed ones with their sign, names and text by their bytes, stacks from their
/// root, by names.
pub fn compare_keys(a: &[KeyValue], b: &[KeyValue]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| compare_key(a, b))
        .find(|ordering| ordering.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_key(a: &KeyValue, b: &KeyValue) -> Ordering {
    use KeyValue::{Named, Signed, Text, Unsigned};
    match (a, b) {
        (Unsigned(a), Unsigned(b)) => a.cmp(b),
        (Signed(a), Signed(b)) => a.cmp(b),
        (Unsigned(a), Signed(b)) => i128::from(*a).cmp(&i128::from(*b)).then(Ordering::Less),
        (Signed(a), Unsigned(b)) => i128::from(*a).cmp(&i128::from(*b)).then(Ordering::Greater),
        (Text(a), Text(b)) => a.cmp(b),
        (Named { value: a, name: x }, Named { value: b, name: y }) => x.cmp(y).then(a.cmp(b)),
        (KeyValue::Stack(a), KeyValue::Stack(b)) => compare_stacks(a, b),
        _ => kind(a).cmp(&kind(b)),
    }
}

// Only for a column of several kinds, which no provider has: so that the order is total all the same.
fn kind(key: &KeyValue) -> u8 {
    match key {
        KeyValue::Unsigned(_) | KeyValue::Signed(_) => 0,
        KeyValue::Named { .. } => 1,
        KeyValue::Text(_) => 2,
        KeyValue::Stack(_) => 3,
    }
}

// By names and not by addresses, which are others in the next run.
fn compare_stacks(a: &Arc<Stack>, b: &Arc<Stack>) -> Ordering {
    fn from_root(stack: &Stack) -> impl Iterator<Item = &Frame> {
        stack.user.iter().rev().chain(stack.kernel.iter().rev())
    }
    fn marks(stack: &Stack) -> [bool; 5] {
        [stack.user_broken, stack.user_cut, stack.kernel_cut, stack.user_lost, stack.kernel_lost]
    }
    fn name(frame: &Frame) -> impl Ord {
        (&frame.place, &frame.inlined, &frame.source)
    }
    if Arc::ptr_eq(a, b) {
        return Ordering::Equal;
    }
    from_root(a)
        .map(name)
        .cmp(from_root(b).map(name))
        .then_with(|| a.user.len().cmp(&b.user.len()))
        .then_with(|| marks(a).cmp(&marks(b)))
        .then_with(|| from_root(a).map(|frame| frame.address).cmp(from_root(b).map(|frame| frame.address)))
}

/// The weights of all values, computed once: a comparison of two histograms would add them up each time.
struct Weights {
    columns: usize,
    cells: Vec<(i128, u64)>,
}

impl Weights {
    fn of(rows: &[Row]) -> Weights {
        let columns = rows.iter().map(|row| row.values.len()).max().unwrap_or(0);
        let mut cells = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            cells.extend(row.values.iter().map(Value::weight));
            cells.extend(std::iter::repeat_n((i128::MIN, 0), columns - row.values.len()));
        }
        Weights { columns, cells }
    }

    fn row(&self, index: u32) -> &[(i128, u64)] {
        let start = index as usize * self.columns;
        &self.cells[start..start + self.columns]
    }
}

fn totals(aggregation: &Aggregation) -> Vec<Option<Value>> {
    let mut rows = aggregation.rows.iter().map(|row| &row.values).chain(&aggregation.other);
    let Some(first) = rows.next() else { return Vec::new() };
    let mut totals: Vec<Option<Value>> =
        first.iter().map(|value| matches!(value, Value::Int(_) | Value::Avg { .. }).then(|| value.clone())).collect();
    for row in rows {
        for (total, value) in totals.iter_mut().zip(row) {
            match (total, value) {
                (Some(Value::Int(total)), Value::Int(n)) => *total = total.saturating_add(*n),
                (Some(Value::Avg { sum, count }), Value::Avg { sum: s, count: c }) => {
                    *sum = sum.saturating_add(*s);
                    *count = count.saturating_add(*c);
                }
                (total, _) => *total = None,
            }
        }
    }
    totals
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
