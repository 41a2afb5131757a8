//! Rows in no order in, rows in the order in which they are printed out, and what `--top` left away.
use std::cmp::Ordering;
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
    let rows = &aggregation.rows;
    let table = Weights::of(rows);
    let by_value = |direction: Direction| {
        let table = &table;
        move |a: &u32, b: &u32| {
            let values = match direction {
                Direction::Asc => table.compare(*a, *b),
                Direction::Desc => table.compare(*b, *a),
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
    // Without a second list of them, and as if with one: what is equal stays as it was.
    match (order.by, order.direction) {
        (SortBy::Value, direction) => {
            let by_value = by_value(direction);
            indexes.sort_unstable_by(|a, b| by_value(a, b).then(a.cmp(b)));
        }
        (SortBy::Key, Direction::Asc) => indexes.sort_unstable_by(|a, b| by_key(a, b).then(a.cmp(b))),
        (SortBy::Key, Direction::Desc) => indexes.sort_unstable_by(|a, b| by_key(b, a).then(a.cmp(b))),
    }
    let left_out = (rows.len() - indexes.len()) as u64;
    put_in_order(&mut aggregation.rows, indexes);
    Arranged { left_out, totals }
}

/// Keeps the rows that `order` names, in its order. In their place: a second list of a million rows would be the most memory
/// that a report takes.
fn put_in_order(rows: &mut Vec<Row>, mut order: Vec<u32>) {
    for at in 0..order.len() {
        // Whatever was here has been moved on to where the row that belongs here came from.
        let mut from = order[at] as usize;
        while from < at {
            from = order[from] as usize;
        }
        rows.swap(at, from);
        order[at] = from as u32;
    }
    rows.truncate(order.len());
    rows.shrink_to_fit();
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

/// The weights of all values, computed once: a comparison of two histograms would add them up each time. In a million rows
/// they are what takes the memory, so they are no wider than they have to be.
struct Weights {
    columns: usize,
    cells: Cells,
}

enum Cells {
    /// Numbers alone, none of which is this small but for those that are unknown.
    Narrow(Vec<i64>),
    Wide(Vec<(i128, u64)>),
}

impl Weights {
    fn of(rows: &[Row]) -> Weights {
        let columns = rows.iter().map(|row| row.values.len()).max().unwrap_or(0);
        let cells = narrow(rows, columns).map_or_else(|| Cells::Wide(wide(rows, columns)), Cells::Narrow);
        Weights { columns, cells }
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let of = |row: u32| row as usize * self.columns..(row as usize + 1) * self.columns;
        match &self.cells {
            Cells::Narrow(cells) => cells[of(a)].cmp(&cells[of(b)]),
            Cells::Wide(cells) => cells[of(a)].cmp(&cells[of(b)]),
        }
    }
}

fn wide(rows: &[Row], columns: usize) -> Vec<(i128, u64)> {
    let mut cells = Vec::with_capacity(rows.len() * columns);
    for row in rows {
        cells.extend(row.values.iter().map(Value::weight));
        cells.extend(std::iter::repeat_n((i128::MIN, 0), columns - row.values.len()));
    }
    cells
}

/// None where a value needs more.
fn narrow(rows: &[Row], columns: usize) -> Option<Vec<i64>> {
    let narrow = |value: &Value| match value {
        Value::Quantize(_) | Value::Lquantize { .. } | Value::Llquantize { .. } => None,
        number => number.number().map_or(Some(i64::MIN), |n| i64::try_from(n).ok().filter(|n| *n > i64::MIN)),
    };
    let mut cells = Vec::with_capacity(rows.len() * columns);
    for row in rows {
        for value in &row.values {
            cells.push(narrow(value)?);
        }
        cells.extend(std::iter::repeat_n(i64::MIN, columns - row.values.len()));
    }
    Some(cells)
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
