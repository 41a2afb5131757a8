//! Random well-typed expressions and the facts to evaluate them on, for the tests of this crate and for the
//! differential test of the generated code. Trees that no text gives, such as unfolded constants, are among them.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::check::expand;
use super::field::{Field, Kind, Names, Source, Unit};
use super::glob::Glob;
use super::integer::{INTEGERS, Integer};
use super::interp::Facts;
use super::scope::Scope;
use super::tree::{BinaryOp, Expr, Node, Type, UnaryOp};

/// Where things break: ends of the ranges, powers of two, small numbers.
pub const EXTREMES: [u64; 22] = [
    0,
    1,
    2,
    3,
    7,
    8,
    63,
    64,
    65,
    127,
    255,
    4095,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
    u64::MAX - 1,
    -4095i64 as u64,
    -2_147_483_648i64 as u64,
];

const BINARY: [BinaryOp; 18] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Rem,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Xor,
    BinaryOp::Shl,
    BinaryOp::Shr,
    BinaryOp::Eq,
    BinaryOp::Ne,
    BinaryOp::Lt,
    BinaryOp::Le,
    BinaryOp::Gt,
    BinaryOp::Ge,
    BinaryOp::LogicalAnd,
    BinaryOp::LogicalOr,
];

pub fn arb_bits() -> BoxedStrategy<u64> {
    prop_oneof![3 => select(&EXTREMES[..]), 1 => any::<u64>(), 1 => 0u64..300, 1 => (1u64..5000).prop_map(u64::wrapping_neg)].boxed()
}

/// Trees up to six operators deep over every field of the scope that has a number, a text or names.
pub fn arb_expr(scope: &Scope) -> BoxedStrategy<Expr> {
    arb_leaf(scope)
        .prop_recursive(6, 48, 2, |inner| {
            let unary = (select(vec![UnaryOp::Neg, UnaryOp::Not, UnaryOp::BitNot]), inner.clone());
            let cast = (select(&INTEGERS[..]), inner.clone());
            let binary = (select(&BINARY[..]), inner.clone(), inner);
            prop_oneof![
                1 => unary.prop_map(|(op, operand)| Expr::unary(op, operand)),
                1 => cast.prop_map(|(to, operand)| Expr::cast(to, operand)),
                4 => binary.prop_map(|(op, left, right)| Expr::binary(op, left, right)),
            ]
        })
        .boxed()
}

fn arb_leaf(scope: &Scope) -> BoxedStrategy<Expr> {
    let fields = |wanted: fn(&Kind) -> bool| scope.fields().filter(|field| wanted(&field.kind)).collect::<Vec<_>>();
    let numbers: Vec<Expr> = fields(|kind| matches!(kind, Kind::Number(_)))
        .into_iter()
        .map(|field| expand(field, scope).expect("a provider's computed fields are right"))
        .collect();
    let constant = (arb_bits(), any::<bool>());
    let constant =
        constant.prop_map(|(bits, signed)| Expr::constant(bits, if signed { Type::Signed } else { Type::Unsigned }));
    let mut leaves = vec![(3, constant.boxed()), (5, select(numbers).boxed())];
    let texts = fields(|kind| matches!(kind, Kind::Text));
    if !texts.is_empty() {
        let test = (select(texts), arb_glob());
        leaves.push((
            1,
            test.prop_map(|(field, glob)| Expr { node: Node::Matches(field, glob), ty: Type::Unsigned }).boxed(),
        ));
    }
    for (field, names) in scope.enumerations() {
        let operand = expand(field, scope).expect("a provider's computed fields are right");
        let one_of = move |values| Expr { node: Node::OneOf(Box::new(operand.clone()), values), ty: Type::Unsigned };
        leaves.push((1, arb_values(names).prop_map(one_of).boxed()));
    }
    proptest::strategy::Union::new_weighted(leaves).boxed()
}

/// Values of an enumeration, some of them without a name; sorted, no duplicates, not empty.
fn arb_values(names: &dyn Names) -> BoxedStrategy<Vec<u64>> {
    let mut known: Vec<u64> = names.all().into_iter().map(|(_, value)| value).collect();
    known.sort_unstable();
    known.dedup();
    let most = known.len().min(20);
    (subsequence(known, 0..=most), prop::collection::vec(0u64..600, 0..3), any::<u16>())
        .prop_map(|(mut values, others, more)| {
            values.extend(others);
            if values.is_empty() {
                values.push(more.into());
            }
            values.sort_unstable();
            values.dedup();
            values
        })
        .boxed()
}

/// Patterns over few letters, so that texts of [`arb_text`] often match; at most 15 bytes have to.
pub fn arb_glob() -> BoxedStrategy<Glob> {
    let item = prop_oneof![
        6 => "[ab\"]", 3 => Just("*".to_owned()), 2 => Just("?".to_owned()), 1 => Just("[!b]".to_owned()), 1 => Just("[a-c]".to_owned()), 1 => Just("\\*".to_owned()),
    ];
    prop::collection::vec(item, 0..=15)
        .prop_map(|items| Glob::parse(items.concat().as_bytes()).expect("whole items"))
        .boxed()
}

/// Up to 15 bytes of few letters, NUL padded; rarely what is no UTF-8.
pub fn arb_text() -> BoxedStrategy<[u8; 16]> {
    let byte = prop_oneof![20 => select(&b"ab*\""[..]), 1 => 1u8..];
    prop::collection::vec(byte, 0..=15)
        .prop_map(|bytes| {
            let mut text = [0; 16];
            text[..bytes.len()].copy_from_slice(&bytes);
            text
        })
        .boxed()
}

/// The facts of one firing, by field name; what is not in it is 0.
#[derive(Clone, Default)]
pub struct Row {
    numbers: HashMap<&'static str, u64>,
    texts: HashMap<&'static str, [u8; 16]>,
}

impl Row {
    pub fn number(mut self, name: &'static str, value: u64) -> Row {
        self.numbers.insert(name, value);
        self
    }

    pub fn text(mut self, name: &'static str, value: &[u8]) -> Row {
        let mut text = [0; 16];
        text[..value.len()].copy_from_slice(value);
        self.texts.insert(name, text);
        self
    }
}

// Only what is not 0, in order: a failing test prints it.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.texts.iter().map(|(name, text)| (name, text.escape_ascii().to_string().replace("\\x00", "")));
        let shown: BTreeMap<_, _> = texts
            .filter(|(_, text)| !text.is_empty())
            .chain(self.numbers.iter().filter(|(_, bits)| **bits != 0).map(|(name, bits)| (name, format!("{bits:#x}"))))
            .collect();
        f.debug_map().entries(shown).finish()
    }
}

impl Facts for Row {
    fn number(&self, field: &Field) -> u64 {
        self.numbers.get(field.name).copied().unwrap_or(0)
    }

    fn text(&self, field: &Field) -> [u8; 16] {
        self.texts.get(field.name).copied().unwrap_or_default()
    }
}

/// A value for every field of the scope, in the range that its size and sign allow.
pub fn arb_row(scope: &Scope) -> BoxedStrategy<Row> {
    let fields: Vec<&'static Field> = scope.fields().collect();
    let numbers = prop::collection::vec((arb_bits(), any::<Index>()), fields.len());
    let texts = prop::collection::vec(arb_text(), fields.len());
    (numbers, texts)
        .prop_map(move |(numbers, texts)| {
            let mut row = Row::default();
            for ((field, (bits, index)), text) in fields.iter().zip(numbers).zip(texts) {
                let bits = match field.kind {
                    // Names are few among the numbers: half the time one of them.
                    Kind::Enumeration(names) if bits & 1 == 0 => index.get(&names.all()).1,
                    _ => bits,
                };
                match field.kind {
                    Kind::Text => row.texts.insert(field.name, text).map(|_| ()),
                    _ => row.numbers.insert(field.name, widen(bits, field)).map(|_| ()),
                };
            }
            row
        })
        .boxed()
}

/// `bits` cut to the field's size and widened again as its type says.
pub fn widen(bits: u64, field: &Field) -> u64 {
    match field.source {
        Source::Firing { size: bytes @ 1..=8, .. } => Integer { bytes, ty: field.ty() }.of(bits),
        _ => bits,
    }
}

struct Table(&'static [(&'static str, u64)]);

impl Names for Table {
    fn name(&self, value: u64) -> Cow<'static, str> {
        let known = self.0.iter().find(|(_, known)| *known == value);
        known.map_or_else(|| value.to_string().into(), |(name, _)| (*name).into())
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        self.0.iter().map(|(name, value)| ((*name).into(), *value)).collect()
    }
}

static SYSCALLS: Table = Table(&[
    ("read", 0),
    ("write", 1),
    ("open", 2),
    ("getpid", 39),
    ("getuid", 102),
    ("openat", 257),
    ("openat2", 437),
]);
static ERRNOS: Table = Table(&[("EPERM", 1), ("ENOENT", 2), ("EAGAIN", 11)]);

static FIELDS: [Field; 11] = [
    firing("ret", Kind::Number(Type::Signed), Unit::None, 0, 8),
    firing("arg0", Kind::Number(Type::Unsigned), Unit::None, 8, 8),
    firing("small", Kind::Number(Type::Unsigned), Unit::None, 16, 1),
    firing("half", Kind::Number(Type::Signed), Unit::None, 18, 2),
    firing("word", Kind::Number(Type::Signed), Unit::None, 20, 4),
    firing("elapsed", Kind::Number(Type::Unsigned), Unit::Ns, 24, 8),
    firing("syscall", Kind::Enumeration(&SYSCALLS), Unit::None, 32, 4),
    firing("path", Kind::Text, Unit::None, 40, 16),
    firing("str(arg0)", Kind::Text, Unit::None, 56, 16),
    Field {
        source: Source::Computed("(ret < 0) * -ret"),
        ..firing("errno", Kind::Enumeration(&ERRNOS), Unit::None, 0, 0)
    },
    Field { source: Source::Computed("ret < 0"), ..firing("failed", Kind::Number(Type::Unsigned), Unit::None, 0, 0) },
];

const fn firing(name: &'static str, kind: Kind, unit: Unit, offset: u16, size: u8) -> Field {
    Field { name, kind, unit, source: Source::Firing { offset, size }, domain: 0, facts: 0, doc: "" }
}

/// A made-up provider with a field of every kind and size.
pub fn scope() -> Scope {
    Scope::new(&FIELDS)
}
