//! Generated code against the interpreter: random expressions and firings, the same answers.
//!
//! The host is a raw tracepoint program that copies the twelve arguments of BPF_PROG_TEST_RUN into a firing and hands it
//! to the clause, spliced in as into a provider. What the kernel computed comes back as keys and rows of the tables.
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, ensure};
use probes_common::clause::{CLAUSE_MARKER, FRAME_BYTES};
use probes_common::loss::{LOSS_KINDS, LossKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use spoor::attach::features;
use spoor::merge::functions;
use spoor::merge::rows::Merge;
use spoor::merge::value::Value;
use spoor::program::argument::Used;
use spoor::program::buckets;
use spoor::program::codegen::front::Front;
use spoor::program::codegen::{self, CodegenError, Machine, Shape};
use spoor::program::field::{Field, Kind, Source, Unit};
use spoor::program::insn::{Alu, Assembler, Insn, MapName, R0, R1, R2, R3, R10, Size};
use spoor::program::integer::INTEGERS;
use spoor::program::interp::{self, Facts};
use spoor::program::layout::Layout;
use spoor::program::scope::Scope;
use spoor::program::splice::{self, Part};
use spoor::program::testing;
use spoor::program::tree::{Action, Clause, Column, Expr, Function, Key, Type};
use spoor::symbolize::syscall::SYSCALLS;
use spoor::sys::bpf::{self, MapSpec, ProgramSpec};
use spoor::sys::process;
use spoor_tests::Result;

use crate::tests;

const EXPRESSIONS: usize = 600;
const FIRINGS: usize = 20;
const ARGS: usize = 12;
const HEAD_BYTES: usize = 16;
const FRONT_BYTES: u64 = 32 << 10;
const TABLE_ROWS: u32 = 256;

tests![
    values_of_random_expressions_are_the_interpreters,
    random_predicates_let_the_same_firings_through,
    functions_of_random_arguments_fill_the_same_buckets,
    rows_in_front_and_in_the_table_are_one,
    more_keys_than_there_is_room_for_add_up,
];

const fn number(name: &'static str, ty: Type, offset: u16, size: u8) -> Field {
    let source = Source::Firing { offset: HEAD_BYTES as u16 + offset, size };
    Field { name, kind: Kind::Number(ty), unit: Unit::None, source, domain: 0, facts: 0, doc: "" }
}

const U: Type = Type::Unsigned;
const I: Type = Type::Signed;

/// Every size with and without a sign. The names of the common fields are among them: a test run has no say in those.
static FIELDS: [Field; 18] = [
    Field {
        kind: Kind::Text,
        source: Source::Firing { offset: HEAD_BYTES as u16, size: 16 },
        ..number("comm", U, 0, 16)
    },
    number("u64", U, 16, 8),
    number("i64", I, 24, 8),
    number("u32", U, 32, 4),
    number("i32", I, 36, 4),
    number("u16", U, 40, 2),
    number("i16", I, 42, 2),
    number("u8", U, 44, 1),
    number("i8", I, 45, 1),
    Field { kind: Kind::Enumeration(&SYSCALLS), ..number("syscall", U, 48, 8) },
    number("pid", U, 56, 4),
    number("tid", U, 60, 4),
    number("cpu", U, 64, 4),
    number("uid", U, 68, 4),
    number("gid", U, 72, 4),
    number("ppid", U, 76, 4),
    number("cgroup", U, 80, 8),
    number("timestamp", U, 88, 8),
];

/// One firing: the bytes of the arguments.
#[derive(Debug, Clone)]
struct Firing([u64; ARGS]);

impl Firing {
    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

impl Facts for Firing {
    fn number(&self, field: &Field) -> u64 {
        let Source::Firing { offset, size } = field.source else { panic!("{} is not in the firing", field.name) };
        let at = offset as usize - HEAD_BYTES;
        let mut word = [0; 8];
        word[..size as usize].copy_from_slice(&self.bytes()[at..at + size as usize]);
        let bits = u64::from_ne_bytes(word);
        testing::widen(bits, field)
    }

    fn text(&self, _: &Field) -> [u8; 16] {
        self.bytes()[..16].try_into().expect("sixteen bytes")
    }
}

fn arb_firing() -> impl Strategy<Value = Firing> {
    let words = prop::collection::vec(testing::arb_bits(), ARGS);
    (words, testing::arb_text(), 0u64..1100).prop_map(|(words, text, id)| {
        let mut args: [u64; ARGS] = words.try_into().expect("as many as asked for");
        args[0] = u64::from_ne_bytes(text[..8].try_into().expect("eight bytes"));
        args[1] = u64::from_ne_bytes(text[8..].try_into().expect("eight bytes"));
        args[6] = id;
        Firing(args)
    })
}

/// The same cases in every run: a failure can be looked at again.
fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn samples<T>(strategy: &impl Strategy<Value = T>, runner: &mut TestRunner, count: usize) -> Vec<T> {
    (0..count).map(|_| strategy.new_tree(runner).expect("a sample").current()).collect()
}

/// A loaded host with a clause in it, and its tables.
struct Host {
    program: OwnedFd,
    table: OwnedFd,
    front: Option<(Front, OwnedFd)>,
    other: OwnedFd,
    loss: OwnedFd,
    cpus: u32,
    layout: Layout,
}

struct Maps<'a>(&'a [(MapName, BorrowedFd<'a>)]);

impl Maps<'_> {
    fn descriptor(&self, name: MapName) -> i32 {
        self.0.iter().find(|(n, _)| *n == name).map_or(-1, |(_, fd)| fd.as_raw_fd())
    }
}

impl Host {
    /// None: the clause does not fit the stack, which the compiler says and a user would read.
    fn load(clause: &Clause) -> Result<Option<Host>> {
        let machine = Machine {
            another: None,
            task_direct: false,
            task_comm: None,
            task_real_parent: None,
            task_tgid: None,
            compare_exchange: features::compare_exchange(),
            firing_bytes: (HEAD_BYTES + ARGS * 8) as u16,
            firing_texts: None,
            intervals: false,
            used: Used::default(),
            dense_bytes: u64::MAX,
            front_bytes: FRONT_BYTES,
        };
        let compiled = match codegen::compile(clause, &machine) {
            Ok(compiled) => compiled,
            Err(CodegenError::Frame) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Shape::Table { key_bytes, layout, front, .. } = compiled.shape else { anyhow::bail!("not an aggregation") };
        let map = |map_type, key_bytes, value_bytes, max_entries| {
            bpf::map_create(&MapSpec {
                name: "test",
                map_type,
                key_bytes,
                value_bytes,
                max_entries,
                flags: 0,
                inner: None,
            })
        };
        let row_bytes = layout.bytes() as u32;
        let table = map(bpf::MAP_TYPE_HASH, key_bytes as u32, row_bytes, TABLE_ROWS)?;
        let other = map(bpf::MAP_TYPE_ARRAY, 4, row_bytes, 1)?;
        let front = match front {
            Some(front) => Some((front, map(bpf::MAP_TYPE_PERCPU_ARRAY, 4, front.bytes() as u32, 1)?)),
            None => None,
        };
        let loss = map(bpf::MAP_TYPE_PERCPU_ARRAY, 4, 8, LOSS_KINDS as u32)?;
        let constants = map(bpf::MAP_TYPE_ARRAY, 4, compiled.constants.len().max(8) as u32, 1)?;
        let mut bytes = compiled.constants.clone();
        bytes.resize(bytes.len().max(8), 0);
        bpf::map_update(constants.as_fd(), &0u32.to_ne_bytes(), &bytes)?;
        bpf::map_freeze(constants.as_fd())?;
        let maps = [
            (MapName::Table, table.as_fd()),
            (MapName::Dense, other.as_fd()),
            (MapName::Front, front.as_ref().map_or(other.as_fd(), |(_, map)| map.as_fd())),
            (MapName::Other, other.as_fd()),
            (MapName::Loss, loss.as_fd()),
            (MapName::Constants, constants.as_fd()),
        ];
        let maps = Maps(&maps);
        let insns = splice::splice(&host(), &[Part { marker: CLAUSE_MARKER, code: &compiled.code }], |name| {
            maps.descriptor(name)
        })
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let spec = ProgramSpec {
            name: "differential",
            program_type: bpf::PROG_TYPE_RAW_TRACEPOINT,
            attach_type: 0,
            attach_btf_id: 0,
            insns: &insns,
            license: c"GPL",
        };
        let program = bpf::prog_load(&spec, true)
            .map_err(|refused| anyhow::anyhow!("{}: {}", refused.error, last_lines(&refused.log)))?;
        Ok(Some(Host { program, table, front, other, loss, cpus: process::possible_cpus(), layout }))
    }

    fn fire(&self, firing: &Firing) -> Result<()> {
        bpf::prog_test_run(self.program.as_fd(), &firing.0).context("test run")
    }

    /// Rows by key, a word each.
    fn rows(&self) -> Result<HashMap<u64, Vec<u64>>> {
        let mut merge = Merge::new(&self.layout, 1, Vec::new());
        for (key, row) in self.rows_in_front()? {
            merge.add_part(&[key], &row);
        }
        for (key, row) in spoor::snapshot::read_hash(self.table.as_fd(), self.layout.words)? {
            merge.add(&[key], &row);
        }
        Ok(merge.finish().iter().map(|(key, row)| (key[0], row.to_vec())).collect())
    }

    fn rows_in_front(&self) -> Result<Vec<(u64, Vec<u64>)>> {
        let Some((front, map)) = &self.front else { return Ok(Vec::new()) };
        let mut bytes = vec![0; front.bytes() * self.cpus as usize];
        bpf::map_lookup(map.as_fd(), &0u32.to_ne_bytes(), &mut bytes)?;
        let words: Vec<u64> = words_of(&bytes);
        Ok(front.rows(&words).map(|(key, row)| (key[0], row.to_vec())).collect())
    }

    /// The row of an aggregation without keys.
    fn only_row(&self) -> Result<Vec<u64>> {
        let mut bytes = vec![0; self.layout.bytes()];
        bpf::map_lookup(self.other.as_fd(), &0u32.to_ne_bytes(), &mut bytes)?;
        Ok(words_of(&bytes))
    }

    fn faults(&self) -> Result<u64> {
        self.lost(LossKind::DivideByZero)
    }

    fn lost(&self, kind: LossKind) -> Result<u64> {
        Ok(spoor::snapshot::loss::Counters::read(self.loss.as_fd(), self.cpus)?.of(kind))
    }
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes"))).collect()
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Copies the arguments behind a zeroed head and calls the clause, as probes-ebpf/src/clause.rs does.
fn host() -> Vec<Insn> {
    let firing = -((HEAD_BYTES + ARGS * 8) as i16);
    let frame = firing - FRAME_BYTES as i16;
    let mut asm = Assembler::default();
    for word in 0..(HEAD_BYTES / 8) as i16 {
        asm.store_imm(Size::B8, R10, firing + word * 8, 0);
    }
    for arg in 0..ARGS as i16 {
        asm.load(Size::B8, R0, R1, arg * 8);
        asm.store(Size::B8, R10, firing + HEAD_BYTES as i16 + arg * 8, R0);
    }
    asm.mov(R2, R10);
    asm.alu_imm(Alu::Add, R2, firing.into());
    asm.mov(R3, R10);
    asm.alu_imm(Alu::Add, R3, frame.into());
    let mut insns = asm.finish().expect("a few instructions").insns;
    insns.push(Insn { code: 0x85, dst: 0, src: 0, off: 0, imm: CLAUSE_MARKER });
    insns.push(Insn { code: 0xb7, dst: 0, src: 0, off: 0, imm: 0 });
    insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
    insns
}

fn counting(keys: Vec<Key>, predicate: Option<Expr>, functions: Vec<Function>) -> Clause {
    let columns =
        functions.into_iter().map(|function| Column { name: String::new(), unit: Unit::None, function }).collect();
    Clause { predicate, action: Action::Aggregate { keys, columns } }
}

/// The value of every expression, as a key: 600 expressions, 20 firings each.
fn values_of_random_expressions_are_the_interpreters() -> Result<()> {
    let (expressions, firings) = (testing::arb_expr(&Scope::new(&FIELDS)), arb_firing());
    let mut runner = runner();
    let (mut compared, mut faults) = (0, 0);
    for expr in samples(&expressions, &mut runner, EXPRESSIONS) {
        let key = Key::Number { name: "value".to_owned(), expr: expr.clone() };
        let clause = counting(vec![key], None, vec![Function::Count]);
        let Some(host) = Host::load(&clause).with_context(|| format!("load {expr:?}"))? else { continue };
        let mut wanted: HashMap<u64, u64> = HashMap::new();
        let mut wanted_faults = 0;
        for firing in samples(&firings, &mut runner, FIRINGS) {
            host.fire(&firing)?;
            match interp::eval(&expr, &firing) {
                Ok(value) => *wanted.entry(value).or_default() += 1,
                Err(interp::Fault::DivideByZero) => wanted_faults += 1,
            }
            compared += 1;
        }
        let found: HashMap<u64, u64> = host.rows()?.into_iter().map(|(key, row)| (key, row[0])).collect();
        ensure!(found == wanted, "values {found:x?}, wanted {wanted:x?} of {expr:?}");
        ensure!(host.faults()? == wanted_faults, "{} faults, wanted {wanted_faults} of {expr:?}", host.faults()?);
        faults += wanted_faults;
    }
    ensure!(compared >= 500 * FIRINGS, "only {compared} firings could be compared");
    ensure!(faults > 0, "no division by zero among {compared} firings");
    Ok(())
}

/// Conditions as jumps: what a predicate lets through.
fn random_predicates_let_the_same_firings_through() -> Result<()> {
    let (expressions, firings) = (testing::arb_expr(&Scope::new(&FIELDS)), arb_firing());
    let mut runner = runner();
    let (mut passed, mut compared) = (0, 0);
    for expr in samples(&expressions, &mut runner, EXPRESSIONS) {
        let clause = counting(Vec::new(), Some(expr.clone()), vec![Function::Count]);
        let Some(host) = Host::load(&clause).with_context(|| format!("load {expr:?}"))? else { continue };
        let mut wanted = 0;
        for firing in samples(&firings, &mut runner, FIRINGS) {
            host.fire(&firing)?;
            wanted += u64::from(interp::eval(&expr, &firing).is_ok_and(|value| value != 0));
            compared += 1;
        }
        let found = host.only_row()?[0];
        ensure!(found == wanted, "{found} firings passed, wanted {wanted}: {expr:?}");
        passed += wanted;
    }
    ensure!(compared >= 500 * FIRINGS && passed > 0 && passed < compared as u64, "{passed} of {compared} passed");
    Ok(())
}

/// Every function over signed and unsigned arguments, fields and casts, with the ends of the ranges among them.
fn functions_of_random_arguments_fill_the_same_buckets() -> Result<()> {
    let mut runner = runner();
    let firings = arb_firing();
    let fields = FIELDS.iter().filter(|field| matches!(field.kind, Kind::Number(_))).map(Expr::field);
    let word = FIELDS.iter().find(|field| field.name == "u64").map(Expr::field).context("a field of all bits")?;
    let casts = INTEGERS.map(|to| Expr::cast(to, word.clone()));
    for arg in fields.chain(casts) {
        for functions in functions_of(&arg) {
            let clause = counting(Vec::new(), None, functions.clone());
            let host = Host::load(&clause)?.context("one field fits the stack")?;
            let firings = samples(&firings, &mut runner, 100);
            for firing in &firings {
                host.fire(firing)?;
            }
            let values = firings.iter().map(|firing| interp::eval(&arg, firing));
            let values =
                values.collect::<std::result::Result<Vec<_>, _>>().map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
            let mut merge = Merge::new(&host.layout, 1, Vec::new());
            merge.add(&[0], &host.only_row()?);
            let rows = merge.finish();
            let (_, row) = rows.iter().next().context("a row")?;
            for function in &functions {
                let found = functions::value(function, &host.layout, row);
                let wanted = reference(function, &values, arg.ty);
                ensure!(found == wanted, "{arg:?}: {function:?} is {found:?}, wanted {wanted:?}");
            }
        }
    }
    Ok(())
}

/// A key's first firing is in the table, the others are in front of it: every function of both together.
fn rows_in_front_and_in_the_table_are_one() -> Result<()> {
    let mut runner = runner();
    let field = |name| FIELDS.iter().find(|field| field.name == name).map(Expr::field).context("a field");
    let arg = field("i64")?;
    let key = Key::Number { name: "key".to_owned(), expr: field("u8")? };
    for functions in functions_of(&arg) {
        let host = Host::load(&counting(vec![key.clone()], None, functions.clone()))?.context("it fits the stack")?;
        let mut values: HashMap<u64, Vec<u64>> = HashMap::new();
        for (number, mut firing) in samples(&arb_firing(), &mut runner, 200).into_iter().enumerate() {
            let key = number as u64 % 5;
            firing.0[5] = firing.0[5] & !(0xff << 32) | key << 32;
            host.fire(&firing)?;
            let value = interp::eval(&arg, &firing).map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
            values.entry(key).or_default().push(value);
        }
        let in_front: u64 = host.rows_in_front()?.iter().map(|(_, row)| row[0]).sum();
        // Wide rows have no slots. Keys may share one, and each CPU has its own first.
        ensure!(host.front.is_none() || in_front > 0, "none of 200 in front");
        let rows = host.rows()?;
        ensure!(rows.len() == 5, "{} rows", rows.len());
        for (key, row) in rows {
            for function in &functions {
                let found = functions::value(function, &host.layout, &row);
                let wanted = reference(function, &values[&key], arg.ty);
                ensure!(found == wanted, "{key}: {function:?} is {found:?}, wanted {wanted:?}");
            }
        }
    }
    Ok(())
}

/// Three times as many keys as slots, and more than rows: each that has a row is exact, all others are in one.
fn more_keys_than_there_is_room_for_add_up() -> Result<()> {
    const KEYS: u64 = 700;
    let field = FIELDS.iter().find(|field| field.name == "u64").map(Expr::field).context("a field")?;
    let key = Key::Number { name: "key".to_owned(), expr: field };
    let host = Host::load(&counting(vec![key], None, vec![Function::Count]))?.context("it fits the stack")?;
    for round in 0..3 {
        for number in 0..KEYS {
            let mut args = [0; ARGS];
            args[2] = number.wrapping_mul(0x1_0000_0001);
            // A second firing of every other one.
            for _ in 0..1 + (number + round) % 2 {
                host.fire(&Firing(args))?;
            }
        }
    }
    let rows = host.rows()?;
    ensure!(rows.len() == TABLE_ROWS as usize, "{} rows", rows.len());
    for (key, row) in rows {
        let number = key & 0xffff_ffff;
        let wanted = 3 + if number % 2 == 0 { 1 } else { 2 };
        ensure!(row[0] == wanted, "key {number}: {} firings, wanted {wanted}", row[0]);
        ensure!(number < TABLE_ROWS.into(), "key {number} came when there was no room");
    }
    let all_others: u64 = (TABLE_ROWS.into()..KEYS).map(|number| 3 + if number % 2 == 0 { 1 } else { 2 }).sum();
    let (other, full) = (host.only_row()?[0], host.lost(LossKind::TableFull)?);
    ensure!((other, full) == (all_others, all_others), "{other} without a row, {full} counted, wanted {all_others}");
    Ok(())
}

fn functions_of(arg: &Expr) -> Vec<Vec<Function>> {
    let arg = || arg.clone();
    let llquantize = |factor, lmag, hmag, steps| Function::Llquantize { arg: arg(), factor, lmag, hmag, steps };
    let mut sets = vec![
        vec![Function::Count, Function::Sum(arg()), Function::Avg(arg()), Function::Min(arg()), Function::Max(arg())],
        vec![Function::Stddev(arg()), Function::Quantize(arg())],
        vec![
            Function::Lquantize { arg: arg(), lower: -100, upper: 300, step: 7 },
            Function::Lquantize { arg: arg(), lower: i32::MIN, upper: i32::MAX, step: 65_535 },
        ],
        vec![llquantize(10, 0, 6, 20), llquantize(2, 0, 61, 1)],
        vec![llquantize(10, 3, 9, 10), llquantize(16, 1, 3, 16), llquantize(10, 0, 17, 10)],
    ];
    // A row of 65,536 levels is more than the checker lets through.
    sets[2].truncate(1);
    sets.push([1, 500, 900, 990, 999].map(|per_mille| Function::Percentile { arg: arg(), per_mille }).to_vec());
    sets
}

/// What the function is by its definition, over all values at once.
fn reference(function: &Function, values: &[u64], ty: Type) -> Value {
    let exact = |bits: u64| if ty == Type::Signed { i128::from(bits as i64) } else { i128::from(bits) };
    let sum: i128 = values.iter().map(|bits| exact(*bits)).sum();
    let count = values.len() as u64;
    let buckets = |size: usize, bucket: &dyn Fn(u64) -> usize| {
        let mut buckets = vec![0; size];
        for value in values {
            buckets[bucket(*value)] += 1;
        }
        buckets
    };
    match function {
        Function::Count => Value::Int(count.into()),
        Function::Sum(_) => Value::Int(sum),
        Function::Avg(_) => Value::Avg { sum, count },
        Function::Min(_) => Value::Maybe(values.iter().map(|bits| exact(*bits)).min()),
        Function::Max(_) => Value::Maybe(values.iter().map(|bits| exact(*bits)).max()),
        Function::Stddev(_) => {
            let square = |bits: &u64| exact(*bits).unsigned_abs().checked_pow(2).unwrap_or(u128::MAX);
            Value::Stddev { sum, squares: values.iter().map(square).fold(0, u128::saturating_add), count }
        }
        Function::Quantize(_) => Value::Quantize(buckets(buckets::QUANTIZE_BUCKETS, &|bits| {
            buckets::quantize_bucket(buckets::bucket_value(bits, ty))
        })),
        Function::Lquantize { lower, upper, step, .. } => {
            let shape = buckets::Lquantize { lower: *lower, upper: *upper, step: *step };
            let buckets = buckets(shape.buckets(), &|bits| shape.bucket(buckets::bucket_value(bits, ty)));
            Value::Lquantize { lower: *lower, step: *step, buckets }
        }
        Function::Llquantize { factor, lmag, hmag, steps, .. } => {
            let shape = buckets::Llquantize { factor: *factor, lmag: *lmag, hmag: *hmag, steps: *steps };
            let all = buckets(shape.buckets(), &|bits| shape.bucket(buckets::bucket_value(bits, ty)));
            let first = if ty == Type::Signed { 0 } else { shape.middle() };
            Value::Llquantize {
                factor: *factor,
                lmag: *lmag,
                hmag: *hmag,
                steps: *steps,
                signed: ty == Type::Signed,
                buckets: all[first..].to_vec(),
            }
        }
        Function::Percentile { per_mille, .. } => {
            let mut bucketed: Vec<usize> =
                values.iter().map(|bits| buckets::typed_log_linear_bucket(*bits, ty)).collect();
            bucketed.sort_unstable();
            let rank = (bucketed.len() * usize::from(*per_mille)).div_ceil(1000).max(1);
            let range = buckets::typed_log_linear_range(bucketed[rank - 1], ty);
            Value::Maybe(Some((range.start() + range.end()) / 2))
        }
    }
}
