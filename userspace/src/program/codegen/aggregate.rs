//! Keys and the row that they lead to: look up, insert where it is new, count under `<other>` where there is no room.
use super::front::Front;
use super::{FRAME, Generator, Result, Shape, Slot};
use crate::program::field::Source;
use crate::program::insn::{Alu, Helper, Jump, Label, MapName, R0, R1, R2, R3, R4, R9, Size};
use crate::program::layout::Layout;
use crate::program::tree::{Column, Expr, Key, Node};
use probes_common::loss::LossKind;

const BPF_NOEXIST: i32 = 1;
const E2BIG: i32 = 7;
const EEXIST: i32 = 17;

impl Generator {
    pub(super) fn aggregate(&mut self, keys: &[Key], columns: &[Column]) -> Result<Shape> {
        let layout = Layout::of(columns);
        // Arguments first: a fault in one must find nothing done.
        let mut args: Vec<(Expr, Slot)> = Vec::new();
        for (cell, _) in &layout.cells {
            if let Some(arg) = cell.arg()
                && !is_plain(arg)
                && !args.iter().any(|(known, _)| known == arg)
            {
                self.gather(arg)?;
                let value = self.eval(arg)?;
                let slot = self.slot(8)?;
                self.asm.store(Size::B8, FRAME, slot, value);
                args.push((arg.clone(), slot));
            } else if let Some(arg) = cell.arg() {
                self.gather(arg)?;
            }
        }
        let key_bytes = keys.iter().map(|key| key.words() * 8).sum::<usize>();
        let key = self.slot(key_bytes.max(8))?;
        let mut at = key;
        for k in keys {
            self.write_key(k, at)?;
            at += (k.words() * 8) as Slot;
        }
        let dense = match keys {
            [] => Some(1),
            [one] => one
                .field()
                .map(|field| field.domain)
                .filter(|domain| *domain > 0 && u64::from(*domain) * layout.bytes() as u64 <= self.machine.dense_bytes),
            _ => None,
        };
        // Behind an array only rare keys come to the table.
        let has_front = dense.is_none() && self.machine.compare_exchange && !keys.iter().any(may_be_pointer);
        let front = Front::new(key_bytes, layout.bytes(), self.machine.front_bytes).filter(|_| has_front);
        let (in_table, found) = (self.asm.label(), self.asm.label());
        if keys.is_empty() {
            self.asm.store_imm(Size::B8, FRAME, key, 0);
        }
        if let Some(domain) = dense {
            self.find_dense(key, domain, found)?;
        }
        if let Some(front) = front {
            self.find_front(front, key, found)?;
        }
        if !keys.is_empty() {
            self.find_or_insert(key, layout.bytes(), in_table)?;
        }
        self.find_other(found)?;
        self.asm.goto(self.end);
        self.asm.bind(in_table);
        if let Some(front) = front {
            self.asm.mov(R9, R0);
            self.take_front(front, key);
            self.asm.mov(R0, R9);
        }
        self.asm.bind(found);
        self.asm.mov(R9, R0);
        for (cell, word) in &layout.cells {
            self.update(cell, *word, &args)?;
        }
        Ok(Shape::Table { key_bytes: if keys.is_empty() { 8 } else { key_bytes }, layout, dense, front })
    }

    fn write_key(&mut self, key: &Key, at: Slot) -> Result<()> {
        match key {
            Key::Number { expr, .. } => {
                self.gather(expr)?;
                let value = self.eval(expr)?;
                self.asm.store(Size::B8, FRAME, at, value);
            }
            Key::Text { field } if field.is_copied() => {
                self.load_field(field, R1);
                self.asm.store(Size::B8, FRAME, at, R1);
            }
            Key::Text { field } => {
                self.gather_field(field)?;
                let (base, offset) = self.text_place(field);
                for half in [0, 8] {
                    self.asm.load(Size::B8, R1, base, offset + half);
                    self.asm.store(Size::B8, FRAME, at + half, R1);
                }
            }
        }
        Ok(())
    }

    /// The row by index, for keys below `domain`; goes on for others.
    fn find_dense(&mut self, key: Slot, domain: u32, found: Label) -> Result<()> {
        let not_dense = self.asm.label();
        self.asm.load(Size::B8, R1, FRAME, key);
        self.asm.jump_imm(Jump::Ge, R1, domain as i32, not_dense);
        // The low half of the key is the index.
        self.lookup(MapName::Dense, key)?;
        self.asm.jump_imm(Jump::Ne, R0, 0, found);
        self.asm.bind(not_dense);
        Ok(())
    }

    /// Falls through where there is no room for a new row.
    fn find_or_insert(&mut self, key: Slot, row_bytes: usize, found: Label) -> Result<()> {
        self.lookup(MapName::Table, key)?;
        self.asm.jump_imm(Jump::Ne, R0, 0, found);
        let zeros = self.constant_bytes(&vec![0; row_bytes]);
        self.load_map(MapName::Table)?;
        self.asm.mov(R2, FRAME);
        self.asm.alu_imm(Alu::Add, R2, key.into());
        self.asm.map_value(R3, MapName::Constants, zeros);
        self.asm.alu_imm(Alu::Mov, R4, BPF_NOEXIST);
        self.asm.call(Helper::MapUpdate);
        let outcome = self.slot(8)?;
        self.asm.store(Size::B8, FRAME, outcome, R0);
        // Somebody else may have inserted it in between, which is as good.
        self.lookup(MapName::Table, key)?;
        self.asm.jump_imm(Jump::Ne, R0, 0, found);
        let (full, counted) = (self.asm.label(), self.asm.label());
        // An int before 6.4: called directly, it leaves the upper half of r0 as zeros.
        self.asm.load(Size::B4, R1, FRAME, outcome);
        self.asm.alu_imm(Alu::Lsh, R1, 32);
        self.asm.alu_imm(Alu::Arsh, R1, 32);
        self.asm.jump_imm(Jump::Eq, R1, -E2BIG, full);
        self.asm.jump_imm(Jump::Eq, R1, -EEXIST, full);
        self.count_loss(LossKind::UpdateFailed)?;
        self.asm.goto(counted);
        self.asm.bind(full);
        self.count_loss(LossKind::TableFull)?;
        self.asm.bind(counted);
        self.frame_used -= 8;
        Ok(())
    }

    fn find_other(&mut self, found: Label) -> Result<()> {
        let zero = self.slot(8)?;
        self.asm.store_imm(Size::B8, FRAME, zero, 0);
        self.lookup(MapName::Other, zero)?;
        self.frame_used -= 8;
        self.asm.jump_imm(Jump::Ne, R0, 0, found);
        Ok(())
    }
}

/// What a function of the kernel was called with is a pointer to the verifier, with which it lets nothing be computed.
fn may_be_pointer(key: &Key) -> bool {
    let expr = match key {
        Key::Number { expr, .. } => expr,
        Key::Text { .. } => return false,
    };
    matches!(&expr.node, Node::Field(field) if matches!(field.source, Source::Argument { .. }))
}

/// Loaded again wherever it is needed; anything else is evaluated once.
pub(super) fn is_plain(arg: &Expr) -> bool {
    matches!(arg.node, Node::Field(_) | Node::Const(_))
}
