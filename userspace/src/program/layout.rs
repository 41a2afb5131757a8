//! What an aggregation keeps in the kernel for each key: cells of 64-bit words, shared between functions that need the
//! same one. The code generator writes them, `merge` reads them. All cells begin as zero.
use super::buckets::{Llquantize, QUANTIZE_BUCKETS, QUANTIZE_ZERO, log_linear_buckets};
use super::field::Unit;
use super::tree::{BinaryOp, Column, Expr, Function, Node, Type, UnaryOp};

/// A piece of a row's value that is updated as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Firings. Word 0 of every row, so that a row that is there can be told from one that is not.
    Count,
    /// The sum, modulo 2^64: for arguments whose sum cannot get there.
    Sum(Expr),
    /// Sums of the low and of the (signed or unsigned) high 32 bits: exact up to 2^32 firings.
    WideSum(Expr),
    /// The greatest argument, mapped so that order is unsigned and everything is above 0 ([`order_preserving`]).
    Max(Expr),
    /// The greatest complement of the mapped argument.
    Min(Expr),
    /// Sum of squares in six limbs: low and high halves of low*low, low*high and high*high of the absolute value.
    Squares(Expr),
    /// Power-of-two buckets; those below zero only where the argument is signed.
    Quantize(Expr),
    Lquantize {
        arg: Expr,
        lower: i32,
        step: u16,
        levels: u16,
    },
    /// From the middle bucket up where the argument is unsigned.
    Llquantize {
        arg: Expr,
        factor: u16,
        lmag: u16,
        hmag: u16,
        steps: u16,
    },
    /// Log-linear buckets, eight to a power of two; mirrored at zero where the argument is signed.
    LogLinear(Expr),
}

pub const SQUARE_LIMBS: usize = 6;

impl Cell {
    pub fn words(&self) -> usize {
        match self {
            Cell::Count | Cell::Sum(_) | Cell::Max(_) | Cell::Min(_) => 1,
            Cell::WideSum(_) => 2,
            Cell::Squares(_) => SQUARE_LIMBS,
            Cell::Quantize(arg) => quantize_words(arg.ty),
            Cell::Lquantize { levels, .. } => *levels as usize + 2,
            Cell::Llquantize { arg, factor, lmag, hmag, steps } => {
                let shape = Llquantize { factor: *factor, lmag: *lmag, hmag: *hmag, steps: *steps };
                shape.buckets() - if arg.ty == Type::Signed { 0 } else { shape.middle() }
            }
            Cell::LogLinear(arg) => log_linear_buckets(arg.ty),
        }
    }

    pub fn arg(&self) -> Option<&Expr> {
        match self {
            Cell::Count => None,
            Cell::Sum(arg)
            | Cell::WideSum(arg)
            | Cell::Max(arg)
            | Cell::Min(arg)
            | Cell::Squares(arg)
            | Cell::Quantize(arg)
            | Cell::LogLinear(arg)
            | Cell::Lquantize { arg, .. }
            | Cell::Llquantize { arg, .. } => Some(arg),
        }
    }
}

/// Signed: all 127 of dtrace's; unsigned: zero and up.
pub fn quantize_words(ty: Type) -> usize {
    match ty {
        Type::Signed => QUANTIZE_BUCKETS,
        Type::Unsigned => QUANTIZE_BUCKETS - QUANTIZE_ZERO,
    }
}

/// The cells of a row, each with the word that it begins at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub cells: Vec<(Cell, usize)>,
    pub words: usize,
}

impl Layout {
    pub fn of(columns: &[Column]) -> Layout {
        let mut layout = Layout { cells: Vec::new(), words: 0 };
        layout.add(Cell::Count);
        for column in columns {
            for cell in cells_of(&column.function) {
                layout.add(cell);
            }
        }
        layout
    }

    fn add(&mut self, cell: Cell) {
        if self.word_of(&cell).is_none() {
            let words = cell.words();
            self.cells.push((cell, self.words));
            self.words += words;
        }
    }

    pub fn word_of(&self, cell: &Cell) -> Option<usize> {
        self.cells.iter().find(|(c, _)| c == cell).map(|(_, word)| *word)
    }

    pub fn bytes(&self) -> usize {
        self.words * 8
    }
}

/// The cells that a function is computed from.
pub fn cells_of(function: &Function) -> Vec<Cell> {
    match function.clone() {
        Function::Count => vec![Cell::Count],
        Function::Sum(arg) => vec![sum_cell(arg)],
        Function::Avg(arg) => vec![Cell::Count, sum_cell(arg)],
        Function::Min(arg) => vec![Cell::Min(arg)],
        Function::Max(arg) => vec![Cell::Max(arg)],
        Function::Stddev(arg) => vec![Cell::Count, sum_cell(arg.clone()), Cell::Squares(arg)],
        Function::Quantize(arg) => vec![Cell::Quantize(arg)],
        Function::Lquantize { arg, lower, upper, step } => {
            let levels = ((i64::from(upper) - i64::from(lower)) / i64::from(step)) as u16;
            vec![Cell::Lquantize { arg, lower, step, levels }]
        }
        Function::Llquantize { arg, factor, lmag, hmag, steps } => {
            vec![Cell::Llquantize { arg, factor, lmag, hmag, steps }]
        }
        Function::Percentile { arg, .. } => vec![Cell::LogLinear(arg)],
    }
}

/// One word is enough for times, truth values and what is cut to 32 bits without a sign; anything else may be as large as it likes.
pub fn sum_cell(arg: Expr) -> Cell {
    if is_small(&arg) { Cell::Sum(arg) } else { Cell::WideSum(arg) }
}

fn is_small(arg: &Expr) -> bool {
    match &arg.node {
        Node::Field(field) => field.unit == Unit::Ns,
        Node::Const(bits) => *bits < 1 << 32,
        Node::Matches(..) | Node::OneOf(..) | Node::Unary(UnaryOp::Not, _) => true,
        Node::Binary(op, ..) => is_truth(*op),
        // 2^32 firings are as many as a sum of two words stays exact for.
        Node::Cast(to, _) => to.ty == Type::Unsigned && to.bytes <= 4,
        Node::Unary(..) => false,
    }
}

pub fn is_truth(op: BinaryOp) -> bool {
    use BinaryOp::*;
    matches!(op, Eq | Ne | Lt | Le | Gt | Ge | LogicalAnd | LogicalOr)
}

/// Maps a value's bits so that unsigned order is the value's order.
pub fn order_preserving(bits: u64, ty: Type) -> u64 {
    match ty {
        Type::Unsigned => bits,
        Type::Signed => bits ^ (1 << 63),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::check::predicate;
    use crate::program::testing::scope;

    #[test]
    fn sum_has_one_word_only_where_no_sum_can_pass_it() {
        for (arg, words) in [
            ("arg0", 2),
            ("elapsed", 1),
            ("ret < 0", 1),
            ("(u32)arg0", 1),
            ("(u8)ret", 1),
            ("(u64)arg0", 2),
            ("(i64)elapsed", 2),
            // The one word is read without a sign.
            ("(i32)ret", 2),
            ("(i8)ret", 2),
        ] {
            assert_eq!(sum_cell(predicate(arg, &scope()).unwrap()).words(), words, "{arg}");
        }
    }
}
