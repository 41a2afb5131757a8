//! The typing rules of [`super::tree`]: operands in, typed node out.
use super::field::{Field, Source, Unit};
use super::integer::Integer;
use super::tree::{BinaryOp, Expr, Node, Type, UnaryOp};

impl Expr {
    pub fn constant(bits: u64, ty: Type) -> Expr {
        Expr { node: Node::Const(bits), ty }
    }

    /// A number that the firing or the machine holds, as it stands: a computed field is not expanded.
    pub fn field(field: &'static Field) -> Expr {
        Expr { node: Node::Field(field), ty: field.ty() }
    }

    pub fn unary(op: UnaryOp, operand: Expr) -> Expr {
        let ty = match op {
            UnaryOp::Neg => Type::Signed,
            UnaryOp::Not => Type::Unsigned,
            UnaryOp::BitNot => operand.ty,
        };
        Expr { node: Node::Unary(op, Box::new(operand)), ty }
    }

    pub fn cast(to: Integer, operand: Expr) -> Expr {
        Expr { node: Node::Cast(to, Box::new(operand)), ty: to.ty }
    }

    pub fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
        let ty = binary_type(op, left.ty, right.ty);
        Expr { node: Node::Binary(op, Box::new(left), Box::new(right)), ty }
    }

    pub fn as_const(&self) -> Option<u64> {
        match self.node {
            Node::Const(bits) => Some(bits),
            _ => None,
        }
    }

    /// How wide the value is, where less than a word holds every one.
    pub fn bytes(&self) -> u8 {
        match &self.node {
            Node::Field(Field { source: Source::Firing { size, .. }, .. }) => *size,
            Node::Cast(to, _) => to.bytes,
            _ => 8,
        }
    }

    /// What the value counts: the unit survives sign, casts, sums and remainders with constants or its own kind.
    pub fn unit(&self) -> Unit {
        match &self.node {
            Node::Field(field) => field.unit,
            Node::Unary(UnaryOp::Neg, operand) | Node::Cast(_, operand) => operand.unit(),
            Node::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Rem, left, right) => {
                match (left.unit(), right.unit()) {
                    (left, right) if left == right => left,
                    (left, _) if right.as_const().is_some() => left,
                    (_, right) if left.as_const().is_some() => right,
                    _ => Unit::None,
                }
            }
            _ => Unit::None,
        }
    }
}

pub fn is_comparison(op: BinaryOp) -> bool {
    use BinaryOp::*;
    matches!(op, Eq | Ne | Lt | Le | Gt | Ge)
}

/// Whether a literal takes the other operand's type: where the type of one changes how both are read.
pub fn adapts(op: BinaryOp) -> bool {
    !matches!(op, BinaryOp::Shr | BinaryOp::LogicalAnd | BinaryOp::LogicalOr)
}

fn binary_type(op: BinaryOp, left: Type, right: Type) -> Type {
    match op {
        BinaryOp::LogicalAnd | BinaryOp::LogicalOr => Type::Unsigned,
        op if is_comparison(op) => Type::Unsigned,
        BinaryOp::Shr => left,
        _ if left == Type::Signed || right == Type::Signed => Type::Signed,
        _ => Type::Unsigned,
    }
}
