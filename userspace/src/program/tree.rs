//! The typed clause: what the parser and the checker hand to the code generator. No kernel, no I/O.
use super::field::{Field, Unit};
use super::glob::Glob;
use super::integer::Integer;

/// How a 64-bit value is to be read. Every value is 64 bits wide; a string stands only under `==` and `!=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    Unsigned,
    Signed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// Two's complement, wraps; the result is signed.
    Neg,
    /// 1 where the operand is 0, else 0.
    Not,
    /// All bits flipped; keeps the operand's type.
    BitNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Truncates towards zero. Division by zero is a fault: the firing is dropped and counted.
    Div,
    /// Sign of the dividend. Division by zero is a fault.
    Rem,
    And,
    Or,
    Xor,
    /// The shift count is taken modulo 64.
    Shl,
    /// Arithmetic where the left operand is signed, else logical; count modulo 64.
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Short-circuits: a fault on the right does not happen where the left decides.
    LogicalAnd,
    LogicalOr,
}

/// An expression with its type. The rules, which the interpreter and the generated code share:
///
/// - `+ - * & | ^ <<` are modulo 2^64; the result is signed if either operand is.
/// - `/ %` are signed if either operand is signed; `i64::MIN / -1` is `i64::MIN`, `i64::MIN % -1` is 0.
/// - Comparisons are by mathematical value, also of a signed with an unsigned operand.
/// - `! && ||` and comparisons give 0 or 1, unsigned.
/// - A cast cuts to its width and widens with its own sign, whatever the operand's; a 64-bit one changes only the type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expr {
    pub node: Node,
    pub ty: Type,
}

impl Expr {
    /// `left op right` for an operator that gives 0 or 1.
    pub fn truth_of(op: BinaryOp, left: Expr, right: Expr) -> Expr {
        Expr { node: Node::Binary(op, Box::new(left), Box::new(right)), ty: Type::Unsigned }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// The bits of a constant.
    Const(u64),
    /// A number that the firing or the machine holds.
    Field(&'static Field),
    Unary(UnaryOp, Box<Expr>),
    /// The operand's low bits, widened again as the type says.
    Cast(Integer, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// A string field (16 bytes, NUL padded) against a pattern: 1 where it matches.
    Matches(&'static Field, Glob),
    /// 1 where the value is one of the set (names of an enumeration that matched a pattern); sorted, no duplicates.
    OneOf(Box<Expr>, Vec<u64>),
}

/// A key of an aggregation: a number or the id of a text (one word), or a string field (two words).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Number { name: String, expr: Expr },
    Text { field: &'static Field },
}

impl Key {
    pub fn name(&self) -> &str {
        match self {
            Key::Number { name, .. } => name,
            Key::Text { field } => field.name,
        }
    }

    /// Size in the map key, in 64-bit words.
    pub fn words(&self) -> usize {
        match self {
            Key::Number { .. } => 1,
            Key::Text { field } if field.is_copied() => 1,
            Key::Text { .. } => super::field::TEXT_WORDS,
        }
    }

    /// The field where the key is a bare field: it decides how values are named and whether they index an array.
    pub fn field(&self) -> Option<&'static Field> {
        match self {
            Key::Number { expr: Expr { node: Node::Field(field), .. }, .. } | Key::Text { field } => Some(field),
            Key::Number { .. } => None,
        }
    }
}

/// dtrace's aggregating functions, and percentiles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Function {
    Count,
    Sum(Expr),
    Avg(Expr),
    Min(Expr),
    Max(Expr),
    Stddev(Expr),
    Quantize(Expr),
    Lquantize {
        arg: Expr,
        lower: i32,
        upper: i32,
        step: u16,
    },
    Llquantize {
        arg: Expr,
        factor: u16,
        lmag: u16,
        hmag: u16,
        steps: u16,
    },
    /// The value below which `per_mille` of 1000 firings lie: p50 is 500, p99 990, p999 999.
    Percentile {
        arg: Expr,
        per_mille: u16,
    },
}

/// One column of an aggregation: a function under the name that the report shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    pub name: String,
    pub unit: Unit,
    pub function: Function,
}

/// What to do with a firing that passed the predicate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    Aggregate {
        keys: Vec<Key>,
        columns: Vec<Column>,
    },
    /// A record of the whole firing goes through the ring.
    Stream,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Clause {
    pub predicate: Option<Expr>,
    pub action: Action,
}
