//! The report of `threads`: the tables of its three providers, read and put together.
use std::collections::HashMap;
use std::os::fd::AsFd;

use anyhow::Result;

use super::stacks::Namer;
use super::tables;
use crate::attach::{self, Enabled};
use crate::cli::plan::Beside;
use crate::merge::functions;
use crate::merge::rows::Rows;
use crate::merge::threads::{Id, Samples, Times, lines, values};
use crate::merge::value::{Aggregation, Value};
use crate::program::layout::Layout;
use crate::program::tree::{Action, Clause, Column, Key};

/// What the clauses of `cli::plan::threads` count, in its order: times by thread and name; samples; calls.
pub fn aggregation(
    times: (&mut Enabled, &Clause),
    beside: &mut [Enabled],
    plans: &[Beside],
    namer: &mut Namer,
    possible_cpus: u32,
    intervals: bool,
) -> Result<Aggregation> {
    let read = |enabled: &mut Enabled, clause: &Clause| -> Result<(Rows, Rows)> {
        let (keys, columns) = parts(clause);
        let tables = enabled.tables.as_mut().expect("a clause that aggregates has tables");
        tables::read(tables, keys, columns, possible_cpus, intervals)
    };
    let (times, clause) = times;
    let (rows, other) = read(times, clause)?;
    let columns = parts(clause).1;
    let times: Vec<(Id, Times)> = rows.iter().map(|(key, row)| (id(key), of_thread(&key[2..], columns, row))).collect();

    let (sampled, _) = read(&mut beside[0], &plans[0].clause)?;
    let stacks = beside[0].maps[attach::STACKS].as_fd();
    let sampled = namer.regroup(stacks, &Layout::of(parts(&plans[0].clause).1), sampled)?;
    let mut samples: HashMap<Id, Vec<Samples>> = HashMap::new();
    for (key, row) in sampled.iter() {
        let function = namer.leaf(key[3]).unwrap_or_default().to_owned();
        samples.entry(id(key)).or_default().push(Samples { in_kernel: key[2] != 0, function, count: row[0] });
    }
    let (called, _) = read(&mut beside[1], &plans[1].clause)?;
    let calls = called.iter().map(|(key, row)| (id(key), row[0])).collect();
    Ok(Aggregation {
        rows: lines(times, &samples, &calls),
        other: other.iter().next().map(|(_, row)| values(&of_thread(&[0, 0], columns, row), &[], None)),
    })
}

fn parts(clause: &Clause) -> (&[Key], &[Column]) {
    match &clause.action {
        Action::Aggregate { keys, columns } => (keys, columns),
        Action::Stream => (&[], &[]),
    }
}

fn id(key: &[u64]) -> Id {
    (key[0], key[1])
}

fn of_thread(comm: &[u64], columns: &[Column], row: &[u64]) -> Times {
    let layout = Layout::of(columns);
    let number = |column: usize| match functions::value(&columns[column].function, &layout, row) {
        Value::Int(n) => n,
        _ => 0,
    };
    let comm: Vec<u8> = comm.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    Times {
        comm,
        oncpu_ns: number(0),
        runnable_ns: number(1),
        blocked_ns: number(2),
        voluntary: number(3),
        involuntary: number(4),
    }
}
