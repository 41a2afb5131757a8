//! Rows in front of the table: a few slots a CPU, each of which belongs to the first key of the table that came to it. A
//! hot key is then found without a hash function and a chain, in one or two lines of the cache that are next to each
//! other (v6.18 kernel/bpf/hashtab.c reads five to eight). What is counted in a slot is added to the key's row when rows
//! are merged; a key gets a slot when it has its row, so how many keys there may be does not change.
use super::{FRAME, Generator, Result, Slot};
use crate::program::insn::{Alu, Jump, Label, MapName, R0, R1, R2, R5, R8, Reg, Size};

/// States of a slot, its first word. What interrupts a program that takes one finds it taken, and uses the table.
const FREE: i32 = 0;
const TAKEN: i32 = 1;
const READY: i32 = 2;
const STATE_BYTES: usize = 8;
/// As many as a byte can tell.
const SLOTS_MAX: usize = 256;
/// With fewer, keys would share slots more often than not.
const SLOTS_MIN: usize = 8;
/// Odd, its bits without a pattern (the golden ratio's).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The only value of the map [`MapName::Front`], one for each CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Front {
    /// A power of two.
    slots: usize,
    key_bytes: usize,
    row_bytes: usize,
}

impl Front {
    /// As many slots as have room in `bytes`. None: too few.
    pub fn new(key_bytes: usize, row_bytes: usize, bytes: u64) -> Option<Front> {
        let one = Front { slots: 1, key_bytes, row_bytes };
        let room = (bytes as usize / one.slot_bytes()).min(SLOTS_MAX);
        let slots = if room == 0 { 0 } else { 1 << room.ilog2() };
        (slots >= SLOTS_MIN).then_some(Front { slots, ..one })
    }

    fn slot_bytes(&self) -> usize {
        STATE_BYTES + self.key_bytes + self.row_bytes
    }

    pub fn bytes(&self) -> usize {
        self.slots * self.slot_bytes()
    }

    /// Key and row of each slot that is in use.
    pub fn rows<'a>(&self, value: &'a [u64]) -> impl Iterator<Item = (&'a [u64], &'a [u64])> {
        let key_words = self.key_bytes / 8;
        let ready = |slot: &&[u64]| slot[0] == READY as u64;
        value.chunks_exact(self.slot_bytes() / 8).filter(ready).map(move |slot| slot[1..].split_at(key_words))
    }
}

impl Generator {
    /// Goes to `found` with the row in r0 if the slot is the key's. Else falls through with the slot in r8.
    pub(super) fn find_front(&mut self, front: Front, key: Slot, found: Label) -> Result<()> {
        let zero = self.slot(8)?;
        self.frame_used -= 8;
        self.asm.store_imm(Size::B8, FRAME, zero, 0);
        self.lookup(MapName::Front, zero)?;
        // There always is one; the verifier wants to see it checked.
        let end = self.end;
        self.asm.jump_imm(Jump::Eq, R0, 0, end);
        self.spread(front, key, zero, R1);
        self.asm.alu_imm(Alu::Mul, R1, front.slot_bytes() as i32);
        self.asm.alu(Alu::Add, R0, R1);
        self.asm.mov(R8, R0);
        let absent = self.asm.label();
        // One branch for all words: the verifier walks what is behind once for each.
        self.asm.load(Size::B8, R1, R8, 0);
        self.asm.alu_imm(Alu::Xor, R1, READY);
        for (at, offset) in words(front) {
            self.asm.load(Size::B8, R2, R8, offset);
            self.asm.load(Size::B8, R5, FRAME, key + at);
            self.asm.alu(Alu::Xor, R2, R5);
            self.asm.alu(Alu::Or, R1, R2);
        }
        self.asm.jump_imm(Jump::Ne, R1, 0, absent);
        self.asm.alu_imm(Alu::Add, R0, (STATE_BYTES + front.key_bytes) as i32);
        self.asm.goto(found);
        self.asm.bind(absent);
        Ok(())
    }

    /// Gives the slot in r8 to the key if it is free. Keeps r9.
    pub(super) fn take_front(&mut self, front: Front, key: Slot) {
        let done = self.asm.label();
        self.asm.load(Size::B8, R0, R8, 0);
        self.asm.jump_imm(Jump::Ne, R0, FREE, done);
        self.asm.alu_imm(Alu::Mov, R1, TAKEN);
        self.asm.compare_exchange(R8, 0, R1);
        self.asm.jump_imm(Jump::Ne, R0, FREE, done);
        for (at, offset) in words(front) {
            self.asm.load(Size::B8, R1, FRAME, key + at);
            self.asm.store(Size::B8, R8, offset, R1);
        }
        // Not before the key is there, on any CPU.
        self.asm.alu_imm(Alu::Mov, R1, READY);
        self.asm.exchange(R8, 0, R1);
        self.asm.bind(done);
    }

    /// The number of the key's slot, by way of `scratch`. Clobbers r2, r5.
    fn spread(&mut self, front: Front, key: Slot, scratch: Slot, to: Reg) {
        self.asm.constant(R5, MULTIPLIER);
        self.asm.load(Size::B8, to, FRAME, key);
        self.asm.alu(Alu::Mul, to, R5);
        for (at, _) in words(front).skip(1) {
            // A product's upper bits are the good ones: the next word meets them below.
            self.asm.mov(R2, to);
            self.asm.alu_imm(Alu::Rsh, R2, 32);
            self.asm.alu(Alu::Xor, to, R2);
            self.asm.load(Size::B8, R2, FRAME, key + at);
            self.asm.alu(Alu::Xor, to, R2);
            self.asm.alu(Alu::Mul, to, R5);
        }
        // The uppermost byte, through the stack: a shifted register would make every word of the key precise for the
        // verifier, which then takes no two ways to this place for one (v6.18 kernel/bpf/verifier.c: mark_chain_precision).
        const UPPERMOST: Slot = if cfg!(target_endian = "little") { 7 } else { 0 };
        self.asm.store(Size::B8, FRAME, scratch, to);
        self.asm.load(Size::B1, to, FRAME, scratch + UPPERMOST);
        self.asm.alu_imm(Alu::Rsh, to, (SLOTS_MAX / front.slots).ilog2() as i32);
    }
}

/// Each word of a key: where it is in the key, and in a slot.
fn words(front: Front) -> impl Iterator<Item = (Slot, Slot)> {
    (0..front.key_bytes as Slot).step_by(8).map(|at| (at, at + STATE_BYTES as Slot))
}
