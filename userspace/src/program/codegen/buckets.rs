//! The bucket that r1 falls in, into r1. The reference is `program::buckets`; a differential test holds both together.
//! Branches are few, since every one that computes an index doubles what the verifier has to walk.
use super::Generator;
use crate::program::buckets::{LOG_LINEAR_ZERO, Llquantize};
use crate::program::insn::{Alu, Jump, Label, MapName, R0, R1, R2, R3, R4, Reg, Size};
use crate::program::tree::Type;

/// Multiplying a number whose bits below its highest are all set puts a different pattern into the top six bits for each
/// highest bit: a de Bruijn sequence.
const DE_BRUIJN: u64 = 0x03f6_eaf2_cd27_1461;

fn log2_table() -> [u8; 64] {
    let mut table = [0; 64];
    for bit in 0..64u32 {
        let smeared = u64::MAX >> (63 - bit);
        table[(smeared.wrapping_mul(DE_BRUIJN) >> 58) as usize] = bit as u8;
    }
    table
}

impl Generator {
    /// `r0 = floor(log2(value))`; 0 for 0. Uses r4; keeps `value`.
    fn log2(&mut self, value: Reg) {
        debug_assert!(value != R0 && value != R4);
        self.asm.mov(R0, value);
        for shift in [1, 2, 4, 8, 16, 32] {
            self.asm.mov(R4, R0);
            self.asm.alu_imm(Alu::Rsh, R4, shift);
            self.asm.alu(Alu::Or, R0, R4);
        }
        self.asm.constant(R4, DE_BRUIJN);
        self.asm.alu(Alu::Mul, R0, R4);
        self.asm.alu_imm(Alu::Rsh, R0, 58);
        let table = self.constant_bytes(&log2_table());
        self.asm.map_value(R4, MapName::Constants, table);
        self.asm.alu(Alu::Add, R4, R0);
        self.asm.load(Size::B1, R0, R4, 0);
    }

    /// Signed: dtrace's 127. Unsigned: those from zero up.
    pub(super) fn quantize_bucket(&mut self, ty: Type) {
        let (negative, zero, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        let first = if ty == Type::Signed { 63 } else { 0 };
        self.asm.jump_imm(Jump::Eq, R1, 0, zero);
        if ty == Type::Signed {
            self.asm.jump_imm(Jump::Slt, R1, 0, negative);
        }
        self.log2(R1);
        self.at_most(R0, 62);
        self.asm.mov(R1, R0);
        self.asm.alu_imm(Alu::Add, R1, first + 1);
        self.asm.goto(done);
        if ty == Type::Signed {
            self.asm.bind(negative);
            self.asm.neg(R1);
            self.log2(R1);
            self.at_most(R0, 62);
            self.asm.alu_imm(Alu::Mov, R1, first - 1);
            self.asm.alu(Alu::Sub, R1, R0);
            self.asm.goto(done);
        }
        self.asm.bind(zero);
        self.asm.alu_imm(Alu::Mov, R1, first);
        self.asm.bind(done);
    }

    fn at_most(&mut self, value: Reg, most: i32) {
        let below = self.asm.label();
        self.asm.jump_imm(Jump::Le, value, most, below);
        self.asm.alu_imm(Alu::Mov, value, most);
        self.asm.bind(below);
    }

    pub(super) fn lquantize_bucket(&mut self, ty: Type, lower: i32, step: u16, levels: u16) {
        let (above, below, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        if ty == Type::Unsigned {
            // At 2^63 and above: more than any bound.
            self.asm.jump_imm(Jump::Slt, R1, 0, above);
        }
        self.asm.jump_imm(Jump::Slt, R1, lower, below);
        let end = i64::from(lower) + i64::from(levels) * i64::from(step);
        self.asm.constant(R2, end as u64);
        self.asm.jump(Jump::Sge, R1, R2, above);
        self.asm.constant(R2, i64::from(lower) as u64);
        self.asm.alu(Alu::Sub, R1, R2);
        self.asm.alu_imm(Alu::Div, R1, i32::from(step));
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.asm.goto(done);
        self.asm.bind(below);
        self.asm.alu_imm(Alu::Mov, R1, 0);
        self.asm.goto(done);
        self.asm.bind(above);
        self.asm.alu_imm(Alu::Mov, R1, i32::from(levels) + 1);
        self.asm.bind(done);
    }

    pub(super) fn llquantize_bucket(&mut self, ty: Type, factor: u16, lmag: u16, hmag: u16, steps: u16) {
        let shape = Llquantize { factor, lmag, hmag, steps };
        if ty == Type::Unsigned {
            return self.distance(&shape);
        }
        self.mirrored(shape.middle(), |generator| generator.distance(&shape));
    }

    /// The bucket of a signed r1 from those of magnitudes, which lie on both sides of bucket `zero`. Uses r3.
    fn mirrored(&mut self, zero: usize, bucket: impl FnOnce(&mut Self)) {
        let magnitude = self.asm.label();
        // r3: 1 where the value is below zero.
        self.asm.alu_imm(Alu::Mov, R3, 0);
        self.asm.jump_imm(Jump::Sge, R1, 0, magnitude);
        self.asm.alu_imm(Alu::Mov, R3, 1);
        self.asm.neg(R1);
        self.asm.bind(magnitude);
        bucket(self);
        let positive = self.asm.label();
        self.asm.jump_imm(Jump::Eq, R3, 0, positive);
        self.asm.neg(R1);
        self.asm.bind(positive);
        self.asm.alu_imm(Alu::Add, R1, zero as i32);
    }

    /// Buckets from the middle one to that of the magnitude r1, into r1. Uses r2.
    fn distance(&mut self, shape: &Llquantize) {
        let Llquantize { factor, lmag, hmag, steps } = *shape;
        let power = |magnitude: u16| u64::from(factor).pow(magnitude.into());
        let skipped = i32::from(steps / factor);
        let per_magnitude = i32::from(steps) - skipped;
        let done: Label = self.asm.label();
        let mut next = self.asm.label();
        self.asm.constant(R2, power(lmag));
        self.asm.jump(Jump::Ge, R1, R2, next);
        self.asm.alu_imm(Alu::Mov, R1, 0);
        self.asm.goto(done);
        for magnitude in lmag..=hmag {
            self.asm.bind(next);
            next = self.asm.label();
            let end = power(magnitude + 1);
            self.asm.constant(R2, end);
            self.asm.jump(Jump::Ge, R1, R2, next);
            // value * steps / end, without overflow: the checker admits only shapes where one of both forms is exact.
            if end.is_multiple_of(steps.into()) {
                self.asm.constant(R2, end / u64::from(steps));
            } else {
                self.asm.alu_imm(Alu::Mul, R1, steps.into());
            }
            self.asm.alu(Alu::Div, R1, R2);
            self.asm.alu_imm(Alu::Add, R1, i32::from(magnitude - lmag) * per_magnitude - skipped + 1);
            self.asm.goto(done);
        }
        self.asm.bind(next);
        self.asm.alu_imm(Alu::Mov, R1, shape.middle() as i32);
        self.asm.bind(done);
    }

    pub(super) fn log_linear_bucket(&mut self, ty: Type) {
        match ty {
            Type::Unsigned => self.log_linear_magnitude(),
            Type::Signed => self.mirrored(LOG_LINEAR_ZERO, Self::log_linear_magnitude),
        }
    }

    /// Exact below 8, then eight buckets to a power of two.
    fn log_linear_magnitude(&mut self) {
        let done = self.asm.label();
        self.asm.jump_imm(Jump::Lt, R1, 8, done);
        self.log2(R1);
        self.asm.alu_imm(Alu::Sub, R0, 3);
        self.asm.alu(Alu::Rsh, R1, R0);
        self.asm.alu_imm(Alu::And, R1, 7);
        self.asm.alu_imm(Alu::Lsh, R0, 3);
        self.asm.alu(Alu::Add, R1, R0);
        self.asm.alu_imm(Alu::Add, R1, 8);
        self.asm.bind(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn de_bruijn_table_has_every_bit_once() {
        let mut bits = log2_table();
        bits.sort_unstable();
        assert!(bits.iter().enumerate().all(|(i, bit)| i == *bit as usize));
    }
}
