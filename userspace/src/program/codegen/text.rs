//! Strings against patterns, and numbers against sets of names.
use super::expr::OPERANDS;
use super::{FRAME, Generator, Result};
use crate::program::field::{COPIED_BYTES, Field, TEXT_WORDS};
use crate::program::glob::Glob;
use crate::program::insn::{Alu, Jump, Label, MapName, R0, R1, R2, R9, Reg, Size};

/// A set up to here is a chain of comparisons, else a bitmap.
const CHAIN_MAX: usize = 8;
/// Values below this fit a bitmap: every named system call and errno.
const BITMAP_BITS: u64 = 4096;

impl Generator {
    /// Jumps if the 16 bytes match as `when` says. Uses r0 and r9; keeps the `depth` operands that wait.
    pub(super) fn match_text(
        &mut self,
        field: &Field,
        glob: &Glob,
        target: Label,
        when: bool,
        depth: usize,
    ) -> Result<()> {
        if let Some(literal) = glob.is_literal() {
            self.equals(field, &literal, true, target, when);
        } else if let Some(prefix) = glob.is_prefix() {
            self.equals(field, &prefix, false, target, when);
        } else {
            self.matches(field, glob, target, when, depth)?;
        }
        Ok(())
    }

    /// Compares the beginning, of the `whole` text up to and with the terminating NUL: the kernel does not always clear what
    /// lies behind it.
    fn equals(&mut self, field: &Field, literal: &[u8], whole: bool, target: Label, when: bool) {
        let unequal = self.asm.label();
        let differs = if when { unequal } else { target };
        let end = literal.len() + usize::from(whole);
        let room = if field.is_copied() { COPIED_BYTES + 1 } else { TEXT_WORDS * 8 };
        if end > room || literal.contains(&0) {
            // No room for it: never equal.
            if !when {
                self.asm.goto(target);
            }
            self.asm.bind(unequal);
            return;
        }
        for word in 0..end.div_ceil(8) {
            let mut bytes = [0u8; 8];
            let part = &literal[(word * 8).min(literal.len())..((word + 1) * 8).min(literal.len())];
            bytes[..part.len()].copy_from_slice(part);
            self.load_text(Size::B8, R0, field, word * 8);
            let compared = (end - word * 8).min(8);
            if compared < 8 {
                self.asm.constant(R9, (1u64 << (compared * 8)) - 1);
                self.asm.alu(Alu::And, R0, R9);
            }
            self.asm.constant(R9, u64::from_le_bytes(bytes));
            self.asm.jump(Jump::Ne, R0, R9, differs);
        }
        if when {
            self.asm.goto(target);
        }
        self.asm.bind(unequal);
    }

    /// A bit-parallel automaton: one bit of state an item of the pattern, one table row a byte.
    fn matches(&mut self, field: &Field, glob: &Glob, target: Label, when: bool, depth: usize) -> Result<()> {
        let table: Vec<u8> = glob.class_table().iter().flat_map(|mask| mask.to_le_bytes()).collect();
        let table = self.constant_bytes(&table);
        let (state, byte, scratch, stay) = (R9, R0, R1, R2);
        // The two that the automaton needs besides may be operands of an enclosing expression.
        let keep = &OPERANDS[..depth.min(2)];
        let saved = self.slot(16)?;
        for (reg, at) in keep.iter().zip([saved, saved + 8]) {
            self.asm.store(Size::B8, FRAME, at, *reg);
        }
        let done = self.asm.label();
        self.asm.constant(state, 1);
        for i in 0..field.text_room() {
            self.load_text(Size::B1, byte, field, i);
            self.asm.jump_imm(Jump::Eq, byte, 0, done);
            self.asm.alu_imm(Alu::Lsh, byte, 3);
            self.asm.map_value(scratch, MapName::Constants, table);
            self.asm.alu(Alu::Add, scratch, byte);
            self.asm.load(Size::B8, scratch, scratch, 0);
            self.asm.constant(stay, glob.star_mask());
            self.asm.alu(Alu::And, stay, state);
            self.asm.alu(Alu::And, state, scratch);
            self.asm.alu_imm(Alu::Lsh, state, 1);
            self.asm.alu(Alu::Or, state, stay);
        }
        self.asm.bind(done);
        for (reg, at) in keep.iter().zip([saved, saved + 8]) {
            self.asm.load(Size::B8, *reg, FRAME, at);
        }
        self.frame_used -= 16;
        self.asm.alu_imm(Alu::Rsh, state, glob.accept_bit() as i32);
        self.asm.alu_imm(Alu::And, state, 1);
        self.asm.jump_imm(if when { Jump::Ne } else { Jump::Eq }, state, 0, target);
        Ok(())
    }

    /// Jumps if `value` is in the sorted set as `when` says. Uses r0 and r9.
    pub(super) fn one_of(&mut self, value: Reg, set: &[u64], target: Label, when: bool) {
        let out = self.asm.label();
        let (member, stranger) = if when { (target, out) } else { (out, target) };
        let (small, large): (Vec<u64>, Vec<u64>) = if set.len() > CHAIN_MAX {
            set.iter().partition(|v| **v < BITMAP_BITS)
        } else {
            (Vec::new(), set.to_vec())
        };
        for v in large {
            self.asm.constant(R0, v);
            self.asm.jump(Jump::Eq, value, R0, member);
        }
        if !small.is_empty() {
            let mut bitmap = vec![0u64; (BITMAP_BITS / 64) as usize];
            for v in small {
                bitmap[(v / 64) as usize] |= 1 << (v % 64);
            }
            let bytes: Vec<u8> = bitmap.iter().flat_map(|word| word.to_le_bytes()).collect();
            let at = self.constant_bytes(&bytes);
            self.asm.jump_imm(Jump::Ge, value, BITMAP_BITS as i32, stranger);
            self.asm.mov(R0, value);
            self.asm.alu_imm(Alu::Rsh, R0, 6);
            self.asm.alu_imm(Alu::And, R0, (BITMAP_BITS / 64 - 1) as i32);
            self.asm.alu_imm(Alu::Lsh, R0, 3);
            self.asm.map_value(R9, MapName::Constants, at);
            self.asm.alu(Alu::Add, R9, R0);
            self.asm.load(Size::B8, R9, R9, 0);
            self.asm.mov(R0, value);
            self.asm.alu_imm(Alu::And, R0, 63);
            self.asm.alu(Alu::Rsh, R9, R0);
            self.asm.alu_imm(Alu::And, R9, 1);
            self.asm.jump_imm(Jump::Ne, R9, 0, member);
        }
        if !when {
            self.asm.goto(target);
        }
        self.asm.bind(out);
    }
}
