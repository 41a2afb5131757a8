//! The meaning of an expression: tree and facts in, value out. The generated code must agree with this, value for
//! value; it is written to be obviously right, not fast.
use super::field::Field;
use super::tree::{BinaryOp, Expr, Node, Type, UnaryOp};

/// Where an expression's fields come from.
pub trait Facts {
    /// The value widened to 64 bits, with its sign where the field is signed.
    fn number(&self, field: &Field) -> u64;
    /// NUL padded.
    fn text(&self, field: &Field) -> [u8; 16];
}

/// Why a firing has no value for an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    DivideByZero,
}

pub fn eval(expr: &Expr, facts: &dyn Facts) -> Result<u64, Fault> {
    match &expr.node {
        Node::Const(bits) => Ok(*bits),
        Node::Field(field) => Ok(facts.number(field)),
        Node::Unary(op, operand) => Ok(unary(*op, eval(operand, facts)?)),
        Node::Cast(to, operand) => Ok(to.of(eval(operand, facts)?)),
        Node::Binary(BinaryOp::LogicalAnd, left, right) => {
            Ok(u64::from(eval(left, facts)? != 0 && eval(right, facts)? != 0))
        }
        Node::Binary(BinaryOp::LogicalOr, left, right) => {
            Ok(u64::from(eval(left, facts)? != 0 || eval(right, facts)? != 0))
        }
        Node::Binary(op, left, right) => {
            let (l, r) = (eval(left, facts)?, eval(right, facts)?);
            binary(*op, (l, left.ty), (r, right.ty))
        }
        Node::Matches(field, glob) => {
            let text = facts.text(field);
            let end = text.iter().position(|&c| c == 0).unwrap_or(text.len());
            Ok(u64::from(glob.matches(&text[..end])))
        }
        Node::OneOf(operand, values) => Ok(u64::from(values.contains(&eval(operand, facts)?))),
    }
}

pub fn unary(op: UnaryOp, value: u64) -> u64 {
    match op {
        UnaryOp::Neg => value.wrapping_neg(),
        UnaryOp::Not => u64::from(value == 0),
        UnaryOp::BitNot => !value,
    }
}

/// One operator on two values, each with how it is to be read.
pub fn binary(op: BinaryOp, left: (u64, Type), right: (u64, Type)) -> Result<u64, Fault> {
    let ((l, left_type), (r, right_type)) = (left, right);
    let signed = left_type == Type::Signed || right_type == Type::Signed;
    let (left, right) = (value(l, left_type), value(r, right_type));
    Ok(match op {
        BinaryOp::Add => l.wrapping_add(r),
        BinaryOp::Sub => l.wrapping_sub(r),
        BinaryOp::Mul => l.wrapping_mul(r),
        BinaryOp::Div | BinaryOp::Rem if r == 0 => return Err(Fault::DivideByZero),
        BinaryOp::Div if signed => (l as i64).wrapping_div(r as i64) as u64,
        BinaryOp::Div => l / r,
        BinaryOp::Rem if signed => (l as i64).wrapping_rem(r as i64) as u64,
        BinaryOp::Rem => l % r,
        BinaryOp::And => l & r,
        BinaryOp::Or => l | r,
        BinaryOp::Xor => l ^ r,
        BinaryOp::Shl => l << (r % 64),
        BinaryOp::Shr if left_type == Type::Signed => ((l as i64) >> (r % 64)) as u64,
        BinaryOp::Shr => l >> (r % 64),
        BinaryOp::Eq => u64::from(left == right),
        BinaryOp::Ne => u64::from(left != right),
        BinaryOp::Lt => u64::from(left < right),
        BinaryOp::Le => u64::from(left <= right),
        BinaryOp::Gt => u64::from(left > right),
        BinaryOp::Ge => u64::from(left >= right),
        BinaryOp::LogicalAnd => u64::from(l != 0 && r != 0),
        BinaryOp::LogicalOr => u64::from(l != 0 || r != 0),
    })
}

/// The mathematical value of 64 bits.
pub fn value(bits: u64, ty: Type) -> i128 {
    match ty {
        Type::Unsigned => i128::from(bits),
        Type::Signed => i128::from(bits as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::check::predicate;
    use crate::program::testing::{Row, scope};

    fn eval_text(text: &str) -> Result<i64, Fault> {
        let row = Row::default()
            .number("ret", -7i64 as u64)
            .number("arg0", u64::MAX)
            .number("small", 5)
            .text("comm", b"nginx");
        eval(&predicate(text, &scope()).unwrap(), &row).map(|bits| bits as i64)
    }

    #[test]
    fn comparisons_are_by_mathematical_value() {
        assert_eq!(eval_text("ret < arg0"), Ok(1));
        assert_eq!(eval_text("ret == arg0 - 6"), Ok(0));
        assert_eq!(eval_text("arg0 > 5"), Ok(1));
    }

    #[test]
    fn division_truncates_towards_zero_with_the_dividends_sign() {
        assert_eq!(eval_text("ret / 2"), Ok(-3));
        assert_eq!(eval_text("ret % 2"), Ok(-1));
        assert_eq!(eval_text("7 % (ret + 5)"), Ok(1));
        assert_eq!(eval_text("(ret + -9223372036854775801) / (ret + 6)"), Ok(i64::MIN));
        assert_eq!(eval_text("(ret + -9223372036854775801) % (ret + 6)"), Ok(0));
    }

    #[test]
    fn division_by_zero_is_a_fault_unless_the_left_decides() {
        assert_eq!(eval_text("1 / (ret + 7)"), Err(Fault::DivideByZero));
        assert_eq!(eval_text("1 % (ret + 7)"), Err(Fault::DivideByZero));
        assert_eq!(eval_text("ret != -7 && 1 / (ret + 7)"), Ok(0));
        assert_eq!(eval_text("ret == -7 || 1 / (ret + 7)"), Ok(1));
    }

    #[test]
    fn shifts_count_modulo_64_and_keep_the_sign_of_the_left() {
        assert_eq!(eval_text("ret >> 1"), Ok(-4));
        assert_eq!(eval_text("arg0 >> 63"), Ok(1));
        assert_eq!(eval_text("small << 65"), Ok(10));
        assert_eq!(eval_text("small >> -64"), Ok(5));
    }

    #[test]
    fn casts_cut_and_widen_with_their_own_sign() {
        assert_eq!(eval_text("(i32)arg0"), Ok(-1));
        assert_eq!(eval_text("(u32)ret"), Ok(0xffff_fff9));
        assert_eq!(eval_text("(u8)ret == 249"), Ok(1));
        assert_eq!(eval_text("(i8)(small + 123)"), Ok(-128));
        assert_eq!(eval_text("(u16)(ret << 12) >> 12"), Ok(9));
        assert_eq!(eval_text("(i16)(ret << 12) >> 12"), Ok(-7));
    }

    #[test]
    fn cast_of_all_bits_changes_only_how_they_are_read() {
        assert_eq!(eval_text("arg0 < 0"), Ok(0));
        assert_eq!(eval_text("(i64)arg0 < 0"), Ok(1));
        assert_eq!(eval_text("(u64)ret > arg0 - 7"), Ok(1));
        assert_eq!(eval_text("(u64)ret"), Ok(-7));
        assert_eq!(eval_text("(u64)ret / 2"), Ok(0x7fff_ffff_ffff_fffc));
    }

    #[test]
    fn text_matches_up_to_its_first_nul() {
        assert_eq!(eval_text("comm == 'ngin?'"), Ok(1));
        assert_eq!(eval_text("comm != 'ngin'"), Ok(1));
    }
}
