//! Common facts: taken once, by helper calls, into the scratch, and only those that an expression names.
use super::{Another, CodegenError, FIRING, FRAME, Generator, Result, Slot};
use std::mem::offset_of;

use probes_common::text::TextCopy;

use crate::program::argument::TEXT_BYTES;
use crate::program::field::{Common, Field, Source};
use crate::program::insn::{Alu, Helper, Jump, R0, R1, R2, R3, Reg, Size};
use crate::program::tree::{Expr, Node};

/// Where each fact that was taken lies in the scratch.
#[derive(Default)]
pub(super) struct Facts {
    taken: Vec<(Common, Slot)>,
}

/// Offset in the firing's head.
const HEAD_TASK: i16 = 0;
const HEAD_PID_TGID: i16 = 8;

impl Generator {
    /// Takes every fact that `expr` names and that is not there yet. Clobbers r0-r5.
    pub(super) fn gather(&mut self, expr: &Expr) -> Result<()> {
        match &expr.node {
            Node::Const(_) => Ok(()),
            Node::Field(field) | Node::Matches(field, _) => self.gather_field(field),
            Node::Unary(_, inner) | Node::Cast(_, inner) | Node::OneOf(inner, _) => self.gather(inner),
            Node::Binary(_, left, right) => {
                self.gather(left)?;
                self.gather(right)
            }
        }
    }

    pub(super) fn gather_field(&mut self, field: &Field) -> Result<()> {
        let Source::Common(common) = field.source else { return Ok(()) };
        // Both are in the firing's head already.
        if matches!(common, Common::Pid | Common::Tid) || self.facts.slot_of(common).is_some() {
            return Ok(());
        }
        let slot = self.slot(if common == Common::Comm { 16 } else { 8 })?;
        self.facts.taken.push((common, slot));
        if let Some(another) = self.machine.another
            && let Some(path) = path_of(&another, common)
        {
            return self.follow(slot, path.ok_or(CodegenError::NoBtf(field.name))?);
        }
        match common {
            Common::Pid | Common::Tid => unreachable!("returned above"),
            Common::Comm => return self.take_comm(slot),
            Common::Cpu => self.take(Helper::GetSmpProcessorId, slot),
            Common::Timestamp => self.take(Helper::KtimeGetNs, slot),
            Common::Cgroup => self.take(Helper::GetCurrentCgroupId, slot),
            Common::Uid => {
                self.asm.call(Helper::GetCurrentUidGid);
                self.low_half(slot);
            }
            Common::Gid => {
                self.asm.call(Helper::GetCurrentUidGid);
                self.asm.alu_imm(Alu::Rsh, R0, 32);
                self.asm.store(Size::B8, FRAME, slot, R0);
            }
            Common::Ppid => return self.take_ppid(slot),
        }
        Ok(())
    }

    fn take(&mut self, helper: Helper, slot: Slot) {
        self.asm.call(helper);
        self.asm.store(Size::B8, FRAME, slot, R0);
    }

    fn low_half(&mut self, slot: Slot) {
        self.asm.alu_imm(Alu::Lsh, R0, 32);
        self.asm.alu_imm(Alu::Rsh, R0, 32);
        self.asm.store(Size::B8, FRAME, slot, R0);
    }

    /// Two loads where the task can be read directly: the helper costs 29 ns more.
    fn take_comm(&mut self, slot: Slot) -> Result<()> {
        match self.machine.task_comm.and_then(|offset| i16::try_from(offset).ok()) {
            Some(offset) if self.machine.task_direct => {
                self.asm.load(Size::B8, R1, FIRING, HEAD_TASK);
                for half in [0, 8] {
                    self.asm.load(Size::B8, R0, R1, offset + half);
                    self.asm.store(Size::B8, FRAME, slot + half, R0);
                }
            }
            Some(offset) if self.machine.another.is_some() => {
                self.asm.store_imm(Size::B8, FRAME, slot + 8, 0);
                self.asm.load(Size::B8, R3, FIRING, HEAD_TASK);
                self.copy_from_kernel(slot, 16, offset as u32);
            }
            _ if self.machine.another.is_some() => return Err(CodegenError::NoBtf("comm")),
            _ => {
                self.asm.mov(R1, FRAME);
                self.asm.alu_imm(Alu::Add, R1, slot.into());
                self.asm.alu_imm(Alu::Mov, R2, 16);
                self.asm.call(Helper::GetCurrentComm);
            }
        }
        Ok(())
    }

    /// From the head's task along pointers to a number of `bytes` at the end.
    fn follow(&mut self, slot: Slot, (pointers, last, bytes): (&[u32], u32, i32)) -> Result<()> {
        self.asm.load(Size::B8, R3, FIRING, HEAD_TASK);
        for offset in pointers {
            self.copy_from_kernel(slot, 8, *offset);
            self.asm.load(Size::B8, R3, FRAME, slot);
        }
        self.asm.store_imm(Size::B8, FRAME, slot, 0);
        self.copy_from_kernel(slot, bytes, last);
        Ok(())
    }

    fn take_ppid(&mut self, slot: Slot) -> Result<()> {
        let (Some(parent), Some(tgid)) = (self.machine.task_real_parent, self.machine.task_tgid) else {
            return Err(CodegenError::NoBtf("ppid"));
        };
        if self.machine.task_direct {
            self.asm.load(Size::B8, R1, FIRING, HEAD_TASK);
            self.asm.load(Size::B8, R1, R1, parent as i16);
            self.asm.load(Size::B4, R0, R1, tgid as i16);
            self.asm.store(Size::B8, FRAME, slot, R0);
            return Ok(());
        }
        self.asm.load(Size::B8, R3, FIRING, HEAD_TASK);
        self.copy_from_kernel(slot, 8, parent);
        self.asm.load(Size::B8, R3, FRAME, slot);
        self.asm.store_imm(Size::B8, FRAME, slot, 0);
        self.copy_from_kernel(slot, 4, tgid);
        Ok(())
    }

    /// Copies `bytes` from r3 + `offset` to the slot; zeros where that fails.
    fn copy_from_kernel(&mut self, slot: Slot, bytes: i32, offset: u32) {
        self.asm.alu_imm(Alu::Add, R3, offset as i32);
        self.asm.mov(R1, FRAME);
        self.asm.alu_imm(Alu::Add, R1, slot.into());
        self.asm.alu_imm(Alu::Mov, R2, bytes);
        self.asm.call(Helper::ProbeReadKernel);
        let read = self.asm.label();
        self.asm.jump_imm(Jump::Eq, R0, 0, read);
        self.asm.store_imm(Size::B8, FRAME, slot, 0);
        self.asm.bind(read);
    }

    /// Loads a number that the firing, its head or the scratch holds.
    pub(super) fn load_field(&mut self, field: &Field, to: Reg) {
        use crate::program::tree::Type;
        match field.source {
            Source::Firing { offset, size } => {
                self.asm.load(Size::of(size), to, FIRING, offset as i16);
                if field.ty() == Type::Signed && size < 8 {
                    let shift = 64 - i32::from(size) * 8;
                    self.asm.alu_imm(Alu::Lsh, to, shift);
                    self.asm.alu_imm(Alu::Arsh, to, shift);
                }
            }
            Source::Common(Common::Pid) => self.asm.load(Size::B4, to, FIRING, HEAD_PID_TGID + 4),
            Source::Common(Common::Tid) => self.asm.load(Size::B4, to, FIRING, HEAD_PID_TGID),
            Source::Common(common) => {
                let slot = self.facts.slot_of(common).expect("facts are gathered before an expression is evaluated");
                self.asm.load(Size::B8, to, FRAME, slot);
            }
            Source::Argument { offset, number } => {
                let place = self.machine.used.argument(number).expect("what the clause names is known");
                self.asm.load(Size::B8, to, FIRING, offset as i16 + place as i16 * 8);
            }
            // Its id.
            Source::Copied { .. } => self.asm.load(Size::B8, to, FIRING, self.copied(field) + 8),
            Source::Computed(_) => unreachable!("the checker puts a computed field's expression in its place"),
        }
    }

    /// Where in the firing a copied text is told of: the copy's place, then its id.
    pub(super) fn copied(&self, field: &Field) -> i16 {
        let Source::Copied { offset, number } = field.source else { unreachable!("no copied text") };
        let place = self.machine.used.text(number).expect("what the clause names is known");
        (offset + place as u16 * TEXT_BYTES) as i16
    }

    /// Loads a piece of a string field's bytes.
    pub(super) fn load_text(&mut self, size: Size, to: Reg, field: &Field, at: usize) {
        if field.is_copied() {
            self.asm.load(Size::B8, to, FIRING, self.copied(field));
            self.asm.load(size, to, to, (offset_of!(TextCopy, bytes) + at) as i16);
        } else {
            let (base, offset) = self.text_place(field);
            self.asm.load(size, to, base, offset + at as i16);
        }
    }

    /// Base and offset of a string field's 16 bytes.
    pub(super) fn text_place(&self, field: &Field) -> (Reg, i16) {
        match field.source {
            Source::Firing { offset, .. } => (FIRING, offset as i16),
            Source::Common(common) => {
                (FRAME, self.facts.slot_of(common).expect("facts are gathered before an expression is evaluated"))
            }
            Source::Argument { .. } | Source::Copied { .. } | Source::Computed(_) => unreachable!("no 16 bytes"),
        }
    }
}

/// Pointers to follow from a task, the offset of the number behind them, and its size.
type Path<'a> = (&'a [u32], u32, i32);

/// None: a helper tells it of whatever task. Some(None): there is no way.
fn path_of(another: &Another, common: Common) -> Option<Option<Path<'_>>> {
    let cred = |which: usize| another.cred.as_ref().map(|cred| (&cred[..1], cred[which], 4));
    match common {
        Common::Uid => Some(cred(1)),
        Common::Gid => Some(cred(2)),
        Common::Cgroup => Some(another.cgroup.as_ref().map(|path| (&path[..3], path[3], 8))),
        _ => None,
    }
}

impl Facts {
    fn slot_of(&self, common: Common) -> Option<Slot> {
        self.taken.iter().find(|(c, _)| *c == common).map(|(_, slot)| *slot)
    }
}
