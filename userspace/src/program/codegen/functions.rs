//! The update of each cell. Every one is a single atomic instruction or a loop of compare-and-exchange: a program that is
//! preempted in mid-update, or interrupted by another on the same CPU, loses nothing.
use super::aggregate::is_plain;
use super::{FRAME, Generator, Result, Slot};
use crate::program::insn::{Alu, Jump, R0, R1, R2, R3, R4, R9, Reg, Size};
use crate::program::layout::{Cell, is_truth};
use crate::program::tree::{Expr, Node, Type};
use probes_common::loss::LossKind;

const EXCHANGE_TRIES: usize = 4;

impl Generator {
    pub(super) fn update(&mut self, cell: &Cell, word: usize, args: &[(Expr, Slot)]) -> Result<()> {
        let at = word as i32 * 8;
        match cell {
            Cell::Count => {
                self.asm.alu_imm(Alu::Mov, R1, 1);
                self.add(at, R1);
            }
            Cell::Sum(arg) => {
                self.load_arg(arg, args, R1);
                // An error is rare, and an atomic add of nothing costs as much as any.
                let zero = self.asm.label();
                if matches!(&arg.node, Node::Binary(op, ..) if is_truth(*op)) {
                    self.asm.jump_imm(Jump::Eq, R1, 0, zero);
                }
                self.add(at, R1);
                self.asm.bind(zero);
            }
            Cell::WideSum(arg) => {
                self.load_arg(arg, args, R1);
                self.asm.mov(R2, R1);
                self.asm.alu_imm(shift_right(arg.ty), R2, 32);
                self.low_32(R1);
                self.add(at, R1);
                self.add(at + 8, R2);
            }
            Cell::Max(arg) => {
                self.load_order_preserving(arg, args);
                self.raise(at)?;
            }
            Cell::Min(arg) => {
                self.load_order_preserving(arg, args);
                self.asm.alu_imm(Alu::Xor, R1, -1);
                self.raise(at)?;
            }
            Cell::Squares(arg) => self.add_square(arg, args, at),
            Cell::Quantize(arg) => {
                self.load_arg(arg, args, R1);
                self.quantize_bucket(arg.ty);
                self.hit(at, cell.words());
            }
            Cell::Lquantize { arg, lower, step, levels } => {
                self.load_arg(arg, args, R1);
                self.lquantize_bucket(arg.ty, *lower, *step, *levels);
                self.hit(at, cell.words());
            }
            Cell::Llquantize { arg, factor, lmag, hmag, steps } => {
                self.load_arg(arg, args, R1);
                self.llquantize_bucket(arg.ty, *factor, *lmag, *hmag, *steps);
                self.hit(at, cell.words());
            }
            Cell::LogLinear(arg) => {
                self.load_arg(arg, args, R1);
                self.log_linear_bucket(arg.ty);
                self.hit(at, cell.words());
            }
        }
        Ok(())
    }

    fn load_arg(&mut self, arg: &Expr, args: &[(Expr, Slot)], to: Reg) {
        match &arg.node {
            Node::Const(bits) => self.asm.constant(to, *bits),
            Node::Field(field) => self.load_field(field, to),
            _ => {
                debug_assert!(!is_plain(arg));
                let (_, slot) = args.iter().find(|(known, _)| known == arg).expect("every argument was evaluated");
                self.asm.load(Size::B8, to, FRAME, *slot);
            }
        }
    }

    fn load_order_preserving(&mut self, arg: &Expr, args: &[(Expr, Slot)]) {
        self.load_arg(arg, args, R1);
        if arg.ty == Type::Signed {
            self.asm.constant(R2, 1 << 63);
            self.asm.alu(Alu::Xor, R1, R2);
        }
    }

    /// Adds `value` to the row's word at byte `at`. Clobbers r5 where the row is too long for an offset.
    fn add(&mut self, at: i32, value: Reg) {
        match i16::try_from(at) {
            Ok(off) => self.asm.atomic_add(R9, off, value),
            Err(_) => {
                self.asm.mov(crate::program::insn::R5, R9);
                self.asm.alu_imm(Alu::Add, crate::program::insn::R5, at);
                self.asm.atomic_add(crate::program::insn::R5, 0, value);
            }
        }
    }

    /// Adds one to bucket r1 of `buckets`, which begin at byte `at`. The comparison is for the verifier.
    fn hit(&mut self, at: i32, buckets: usize) {
        let out = self.asm.label();
        self.asm.jump_imm(Jump::Ge, R1, buckets as i32, out);
        self.asm.alu_imm(Alu::Lsh, R1, 3);
        self.asm.alu(Alu::Add, R1, R9);
        self.asm.alu_imm(Alu::Mov, R2, 1);
        match i16::try_from(at) {
            Ok(off) => self.asm.atomic_add(R1, off, R2),
            Err(_) => {
                self.asm.alu_imm(Alu::Add, R1, at);
                self.asm.atomic_add(R1, 0, R2);
            }
        }
        self.asm.bind(out);
    }

    /// Stores r1 in the word at byte `at` if it is more than what is there.
    fn raise(&mut self, at: i32) -> Result<()> {
        let done = self.asm.label();
        self.asm.mov(R3, R9);
        self.asm.alu_imm(Alu::Add, R3, at);
        self.asm.load(Size::B8, R0, R3, 0);
        self.asm.jump(Jump::Le, R1, R0, done);
        if !self.machine.compare_exchange {
            self.asm.store(Size::B8, R3, 0, R1);
            self.asm.bind(done);
            return Ok(());
        }
        for _ in 0..EXCHANGE_TRIES {
            self.asm.mov(R2, R0);
            self.asm.compare_exchange(R3, 0, R1);
            self.asm.jump(Jump::Eq, R0, R2, done);
            self.asm.jump(Jump::Le, R1, R0, done);
        }
        self.count_loss(LossKind::Contended)?;
        self.asm.bind(done);
        Ok(())
    }

    fn add_square(&mut self, arg: &Expr, args: &[(Expr, Slot)], at: i32) {
        self.load_arg(arg, args, R1);
        if arg.ty == Type::Signed {
            let positive = self.asm.label();
            self.asm.jump_imm(Jump::Sge, R1, 0, positive);
            self.asm.neg(R1);
            self.asm.bind(positive);
        }
        let (low, high, product, half) = (R1, R2, R3, R4);
        self.asm.mov(high, low);
        self.asm.alu_imm(Alu::Rsh, high, 32);
        self.low_32(low);
        for (limb, (a, b)) in [(low, low), (low, high), (high, high)].into_iter().enumerate() {
            self.asm.mov(product, a);
            self.asm.alu(Alu::Mul, product, b);
            self.asm.mov(half, product);
            self.asm.alu_imm(Alu::Rsh, half, 32);
            self.low_32(product);
            self.add(at + limb as i32 * 16, product);
            self.add(at + limb as i32 * 16 + 8, half);
        }
    }

    fn low_32(&mut self, reg: Reg) {
        self.asm.alu_imm(Alu::Lsh, reg, 32);
        self.asm.alu_imm(Alu::Rsh, reg, 32);
    }
}

fn shift_right(ty: Type) -> Alu {
    match ty {
        Type::Signed => Alu::Arsh,
        Type::Unsigned => Alu::Rsh,
    }
}
