//! Expressions: values into registers, and conditions into jumps.
//!
//! r1-r5 are the operand stack; deeper operands wait in the scratch. r0 and r9 are temporaries: no row is looked up yet.
//! No helper is called here.
use super::{FRAME, Generator, Result, Slot};
use crate::program::insn::{Alu, Jump, Label, R0, R9, Reg, Size};
use crate::program::insn::{R1, R2, R3, R4, R5};
use crate::program::integer::Integer;
use crate::program::layout::is_truth;
use crate::program::tree::{BinaryOp, Expr, Node, Type, UnaryOp};

pub(super) const OPERANDS: [Reg; 5] = [R1, R2, R3, R4, R5];

impl Generator {
    /// Evaluates `expr` into r1. Its facts have been gathered.
    pub(super) fn eval(&mut self, expr: &Expr) -> Result<Reg> {
        self.eval_at(expr, 0)?;
        Ok(R1)
    }

    fn eval_at(&mut self, expr: &Expr, depth: usize) -> Result<()> {
        let to = OPERANDS[depth];
        match &expr.node {
            Node::Const(bits) => self.asm.constant(to, *bits),
            Node::Field(field) => self.load_field(field, to),
            Node::Unary(UnaryOp::Neg, inner) => {
                self.eval_at(inner, depth)?;
                self.asm.neg(to);
            }
            Node::Unary(UnaryOp::BitNot, inner) => {
                self.eval_at(inner, depth)?;
                self.asm.alu_imm(Alu::Xor, to, -1);
            }
            Node::Cast(integer, inner) => {
                self.eval_at(inner, depth)?;
                self.cast(*integer, to);
            }
            Node::Binary(op, left, right) if !is_truth(*op) => {
                let (right, waiting) = self.operands(left, right, depth)?;
                self.arithmetic(*op, expr.ty, left.ty, to, right)?;
                self.release(waiting);
            }
            Node::Unary(UnaryOp::Not, _) | Node::Binary(..) | Node::Matches(..) | Node::OneOf(..) => {
                self.truth(expr, depth)?;
            }
        }
        Ok(())
    }

    /// Shifts what is above the width out and the sign, or zeros, in. A register has 64 bits: nothing to do for those.
    fn cast(&mut self, to: Integer, value: Reg) {
        if to.bits() == 64 {
            return;
        }
        let above = 64 - to.bits() as i32;
        self.asm.alu_imm(Alu::Lsh, value, above);
        self.asm.alu_imm(if to.ty == Type::Signed { Alu::Arsh } else { Alu::Rsh }, value, above);
    }

    /// 1 or 0 from a condition.
    fn truth(&mut self, expr: &Expr, depth: usize) -> Result<()> {
        let (no, done) = (self.asm.label(), self.asm.label());
        self.branch_at(expr, no, false, depth)?;
        self.asm.alu_imm(Alu::Mov, OPERANDS[depth], 1);
        self.asm.goto(done);
        self.asm.bind(no);
        self.asm.alu_imm(Alu::Mov, OPERANDS[depth], 0);
        self.asm.bind(done);
        Ok(())
    }

    /// Evaluates both sides: the left into its place, the right into the register that is returned. A left side that had
    /// to wait in the scratch leaves its slot to be released.
    fn operands(&mut self, left: &Expr, right: &Expr, depth: usize) -> Result<(Reg, Option<Slot>)> {
        self.eval_at(left, depth)?;
        if depth + 1 < OPERANDS.len() {
            self.eval_at(right, depth + 1)?;
            return Ok((OPERANDS[depth + 1], None));
        }
        let waiting = self.slot(8)?;
        self.asm.store(Size::B8, FRAME, waiting, OPERANDS[depth]);
        self.eval_at(right, depth)?;
        self.asm.mov(R9, OPERANDS[depth]);
        self.asm.load(Size::B8, OPERANDS[depth], FRAME, waiting);
        Ok((R9, Some(waiting)))
    }

    fn release(&mut self, waiting: Option<Slot>) {
        if waiting.is_some() {
            self.frame_used -= 8;
        }
    }

    /// `left = left op right`; may use r0.
    fn arithmetic(&mut self, op: BinaryOp, ty: Type, left_ty: Type, left: Reg, right: Reg) -> Result<()> {
        match op {
            BinaryOp::Add => self.asm.alu(Alu::Add, left, right),
            BinaryOp::Sub => self.asm.alu(Alu::Sub, left, right),
            BinaryOp::Mul => self.asm.alu(Alu::Mul, left, right),
            BinaryOp::And => self.asm.alu(Alu::And, left, right),
            BinaryOp::Or => self.asm.alu(Alu::Or, left, right),
            BinaryOp::Xor => self.asm.alu(Alu::Xor, left, right),
            BinaryOp::Shl | BinaryOp::Shr => {
                self.asm.alu_imm(Alu::And, right, 63);
                let shift = match (op, left_ty) {
                    (BinaryOp::Shl, _) => Alu::Lsh,
                    (_, Type::Signed) => Alu::Arsh,
                    (_, Type::Unsigned) => Alu::Rsh,
                };
                self.asm.alu(shift, left, right);
            }
            BinaryOp::Div | BinaryOp::Rem => self.divide(op, ty, left, right),
            _ => unreachable!("conditions are branches"),
        }
        Ok(())
    }

    /// BPF divides unsigned only before cpu v4: signs are taken off and put back. `i64::MIN` is its own absolute value,
    /// and as an unsigned number the right one.
    fn divide(&mut self, op: BinaryOp, ty: Type, left: Reg, right: Reg) {
        self.can_divide_by_zero = true;
        self.asm.jump_imm(Jump::Eq, right, 0, self.divide_by_zero);
        let alu = if op == BinaryOp::Div { Alu::Div } else { Alu::Mod };
        if ty == Type::Unsigned {
            self.asm.alu(alu, left, right);
            return;
        }
        self.asm.mov(R0, left);
        if op == BinaryOp::Div {
            self.asm.alu(Alu::Xor, R0, right);
        }
        self.negate_if_negative(left, left);
        self.negate_if_negative(right, right);
        self.asm.alu(alu, left, right);
        self.negate_if_negative(R0, left);
    }

    fn negate_if_negative(&mut self, sign_of: Reg, value: Reg) {
        let positive = self.asm.label();
        self.asm.jump_imm(Jump::Sge, sign_of, 0, positive);
        self.asm.neg(value);
        self.asm.bind(positive);
    }

    /// Jumps to `target` if the condition comes out as `when`, else falls through.
    pub(super) fn branch(&mut self, expr: &Expr, target: Label, when: bool) -> Result<()> {
        self.branch_at(expr, target, when, 0)
    }

    fn branch_at(&mut self, expr: &Expr, target: Label, when: bool, depth: usize) -> Result<()> {
        match &expr.node {
            Node::Unary(UnaryOp::Not, inner) => self.branch_at(inner, target, !when, depth),
            Node::Binary(BinaryOp::LogicalAnd, left, right) => self.both(left, right, target, when, depth),
            // a || b is !(!a && !b)
            Node::Binary(BinaryOp::LogicalOr, left, right) => self.either(left, right, target, when, depth),
            Node::Binary(op, left, right) if is_truth(*op) => self.compare(*op, left, right, target, when, depth),
            Node::Matches(field, glob) => self.match_text(field, glob, target, when, depth),
            Node::OneOf(inner, set) => {
                self.eval_at(inner, depth)?;
                self.one_of(OPERANDS[depth], set, target, when);
                Ok(())
            }
            _ => {
                self.eval_at(expr, depth)?;
                self.asm.jump_imm(if when { Jump::Ne } else { Jump::Eq }, OPERANDS[depth], 0, target);
                Ok(())
            }
        }
    }

    fn both(&mut self, left: &Expr, right: &Expr, target: Label, when: bool, depth: usize) -> Result<()> {
        if !when {
            self.branch_at(left, target, false, depth)?;
            return self.branch_at(right, target, false, depth);
        }
        let not = self.asm.label();
        self.branch_at(left, not, false, depth)?;
        self.branch_at(right, target, true, depth)?;
        self.asm.bind(not);
        Ok(())
    }

    fn either(&mut self, left: &Expr, right: &Expr, target: Label, when: bool, depth: usize) -> Result<()> {
        if when {
            self.branch_at(left, target, true, depth)?;
            return self.branch_at(right, target, true, depth);
        }
        let yes = self.asm.label();
        self.branch_at(left, yes, true, depth)?;
        self.branch_at(right, target, false, depth)?;
        self.asm.bind(yes);
        Ok(())
    }

    fn compare(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        target: Label,
        when: bool,
        depth: usize,
    ) -> Result<()> {
        if let (Node::Const(bits), true) = (&right.node, left.ty == right.ty)
            && let Ok(imm) = i32::try_from(*bits as i64)
        {
            self.eval_at(left, depth)?;
            self.asm.jump_imm(jump_for(op, left.ty, when), OPERANDS[depth], imm, target);
            return Ok(());
        }
        let (right_reg, waiting) = self.operands(left, right, depth)?;
        let left_reg = OPERANDS[depth];
        match (left.ty, right.ty) {
            (Type::Signed, Type::Unsigned) => self.mixed(op, left_reg, right_reg, left_reg, target, when),
            (Type::Unsigned, Type::Signed) => self.mixed(op, left_reg, right_reg, right_reg, target, when),
            (ty, _) => self.asm.jump(jump_for(op, ty, when), left_reg, right_reg, target),
        }
        self.release(waiting);
        Ok(())
    }

    /// A signed against an unsigned operand: where the signed one is negative it is the lesser, else both are unsigned.
    fn mixed(&mut self, op: BinaryOp, left: Reg, right: Reg, signed: Reg, target: Label, when: bool) {
        let (negative, done) = (self.asm.label(), self.asm.label());
        self.asm.jump_imm(Jump::Slt, signed, 0, negative);
        self.asm.jump(jump_for(op, Type::Unsigned, when), left, right, target);
        self.asm.goto(done);
        self.asm.bind(negative);
        let left_is_less = signed == left;
        let outcome = match op {
            BinaryOp::Eq => false,
            BinaryOp::Ne => true,
            BinaryOp::Lt | BinaryOp::Le => left_is_less,
            _ => !left_is_less,
        };
        if outcome == when {
            self.asm.goto(target);
        }
        self.asm.bind(done);
    }
}

/// The jump that is taken where `op` comes out as `when`.
fn jump_for(op: BinaryOp, ty: Type, when: bool) -> Jump {
    use BinaryOp::*;
    let op = match (op, when) {
        (op, true) => op,
        (Eq, false) => Ne,
        (Ne, false) => Eq,
        (Lt, false) => Ge,
        (Le, false) => Gt,
        (Gt, false) => Le,
        (_, false) => Lt,
    };
    match (op, ty) {
        (Eq, _) => Jump::Eq,
        (Ne, _) => Jump::Ne,
        (Lt, Type::Unsigned) => Jump::Lt,
        (Le, Type::Unsigned) => Jump::Le,
        (Gt, Type::Unsigned) => Jump::Gt,
        (Ge, Type::Unsigned) => Jump::Ge,
        (Lt, Type::Signed) => Jump::Slt,
        (Le, Type::Signed) => Jump::Sle,
        (Gt, Type::Signed) => Jump::Sgt,
        (_, _) => Jump::Sge,
    }
}
