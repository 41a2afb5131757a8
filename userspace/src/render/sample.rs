//! Reports for the tests of renderers whose output is no text to compare.
use std::sync::Arc;

use super::report::{Accounts, KeyColumn, Layout, Loss, LossLine, Report, ValueColumn};
use crate::merge::value::{Aggregation, KeyValue, Row, Value};
use crate::program::field::Unit;
use crate::symbolize::frame::{Frame, Inlined, Place, Source, Stack, Unknown};

pub const HOSTILE: &str = "<script>alert(\"&\")</script>\u{1b}[31m\u{ffff} 42";

pub fn symbol(module: &str, name: &str, offset: u64) -> Frame {
    let place = Place::Symbol { module: module.into(), name: name.into(), offset };
    Frame { address: 0x40_0000 + offset, place, source: None, inlined: Vec::new() }
}

/// Three stacks of one root, one with an inlined function, one without names, with two columns: samples and time.
pub fn report() -> Report {
    let column = |name: &str, bytes| KeyColumn { name: name.into(), unit: Unit::None, bytes };
    let value = |title: &str, unit| ValueColumn { title: title.into(), name: title.into(), unit, histogram: false };
    let main = || symbol("app", "main", 0x1c);
    let mut parse = symbol("app", "parse", 8);
    parse.source = Some(Source { file: "parse.rs".into(), line: Some(12) });
    parse.inlined =
        vec![Inlined { name: "digit".into(), source: Some(Source { file: "num.rs".into(), line: Some(3) }) }];
    let offset = Place::Offset { module: "libx.so".into(), offset: 0x1234, why: Unknown::Stripped };
    let unnamed = Frame { address: 0x7f00_1234, place: offset, source: None, inlined: Vec::new() };
    let user = |user: Vec<Frame>| Stack { user, ..Stack::default() };
    let stacks = [
        (0, 300, Stack { kernel: vec![symbol("vmlinux", "tcp_sendmsg", 0x1a)], ..user(vec![main()]) }),
        (0, 100, user(vec![parse, main()])),
        (1, 20, user(vec![symbol("app", HOSTILE, 1), main()])),
        (1, 4, Stack { user_broken: true, ..user(vec![unnamed]) }),
    ];
    let row = |(cpu, samples, stack)| Row {
        keys: vec![KeyValue::Text("nginx".into()), KeyValue::Unsigned(cpu), KeyValue::Stack(Arc::new(stack))],
        values: vec![Value::Int(samples), Value::Int(samples * 10_000_000), Value::Maybe(Some(1))],
    };
    Report {
        command: "profile".into(),
        target: serde_json::Value::Null,
        started_unix_ns: 1_700_000_000_000_000_000,
        elapsed_ns: 5_000_000_000,
        sample_period_ns: None,
        keys: vec![column("comm", 0), column("cpu", 4), column("stack", 0)],
        values: vec![value("samples", Unit::None), value("cpu", Unit::Ns), value("max", Unit::None)],
        aggregation: Aggregation {
            rows: stacks.into_iter().map(row).collect(),
            other: Some(vec![Value::Int(3), Value::Int(30_000_000), Value::Maybe(None)]),
        },
        events: None,
        rows_left_out: 0,
        totals: Vec::new(),
        layout: Layout::Table,
        stopped: None,
        loss: Loss {
            kinds: vec![LossLine {
                name: "map_full",
                count: Some(3),
                lost: true,
                what: "samples counted under `<other>`: the table is full at 4 keys".into(),
                advice: Some("--max-keys 40k".into()),
            }],
        },
        accounts: Accounts::default(),
        notes: Vec::new(),
    }
}

/// As [`report`], with rows enough for a picture: a tree of functions, the same at every call.
pub fn large(rows: u64) -> Report {
    let mut report = report();
    let mut state = 42_u64;
    let mut random = |below: u64| {
        // The generator of Knuth's MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    report.aggregation.rows.truncate(4);
    for _ in 0..rows {
        let mut depth_first = vec![symbol("app", "main", 0x1c)];
        for depth in 0..random(12) {
            let name = format!("app::module{}::function_{}", depth, random(3));
            let mut frame = symbol("app", &name, random(64));
            if random(6) == 0 {
                frame.inlined = vec![Inlined { name: format!("core::iter::next_{}", random(2)), source: None }];
            }
            depth_first.push(frame);
        }
        depth_first.reverse();
        let kernel = ["tcp_sendmsg", "ksys_write", "do_syscall_64"].map(|name| symbol("vmlinux", name, 4));
        let kernel = if random(3) == 0 { kernel.to_vec() } else { Vec::new() };
        let samples = i128::from(random(100)) + 1;
        let stack = Stack { kernel, user: depth_first, user_cut: random(20) == 0, ..Stack::default() };
        report.aggregation.rows.push(Row {
            keys: vec![
                KeyValue::Text("postgres".into()),
                KeyValue::Unsigned(random(2)),
                KeyValue::Stack(Arc::new(stack)),
            ],
            values: vec![Value::Int(samples), Value::Int(samples * 10_000_000), Value::Maybe(None)],
        });
    }
    report
}
