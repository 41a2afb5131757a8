//! A record of the firing into the ring, with the texts that it points to. Nothing is formatted here.
use super::{FIRING, Generator, Result, Shape};
use crate::program::insn::{Alu, Helper, Jump, Label, MapName, R0, R1, R2, R3, R9, Size};
use probes_common::clause::{
    RECORD_WIDE, RecordHead, TEXT_BYTES_MAX, TEXT_KERNEL_STRING, TEXT_NONE, TEXT_STRING, TEXTS, TextRef,
};
use probes_common::loss::LossKind;
use std::mem::{offset_of, size_of};

const HEAD_BYTES: usize = size_of::<probes_common::clause::Head>();
const BPF_RB_NO_WAKEUP: i32 = 1;
/// Length or negative errno, then the bytes. The length of a string that may go on behind them is one more than there
/// is room for.
pub const TEXT_ROOM: usize = 8 + TEXT_BYTES_MAX;

impl Generator {
    pub(super) fn stream(&mut self) -> Result<Shape> {
        let facts = self.machine.firing_texts.map_or(self.machine.firing_bytes, |texts| texts) as usize - HEAD_BYTES;
        let record_bytes = size_of::<RecordHead>() + facts;
        let wide_record_bytes = record_bytes + if self.machine.firing_texts.is_some() { TEXTS * TEXT_ROOM } else { 0 };
        let (full, submit) = (self.asm.label(), self.asm.label());
        if let Some(texts) = self.machine.firing_texts {
            let narrow = self.asm.label();
            self.asm.load(Size::B4, R1, FIRING, kind_of(texts, 0));
            self.asm.load(Size::B4, R2, FIRING, kind_of(texts, 1));
            self.asm.alu(Alu::Or, R1, R2);
            self.asm.jump_imm(Jump::Eq, R1, TEXT_NONE as i32, narrow);
            self.reserve(wide_record_bytes, full);
            self.head(RECORD_WIDE);
            self.facts_into_record(facts);
            for text in 0..TEXTS {
                self.copy_text(texts, text, (record_bytes + text * TEXT_ROOM) as i16);
            }
            self.asm.goto(submit);
            self.asm.bind(narrow);
        }
        self.reserve(record_bytes, full);
        self.head(0);
        self.facts_into_record(facts);
        self.asm.bind(submit);
        self.asm.mov(R1, R9);
        // The collector looks by the clock: waking it would cost the traced process an interrupt.
        self.asm.alu_imm(Alu::Mov, R2, BPF_RB_NO_WAKEUP);
        self.asm.call(Helper::RingbufSubmit);
        self.asm.goto(self.end);
        self.asm.bind(full);
        self.count_loss(LossKind::RingFull)?;
        Ok(Shape::Stream { record_bytes, wide_record_bytes })
    }

    fn reserve(&mut self, bytes: usize, full: Label) {
        self.asm.map(R1, MapName::Ring);
        self.asm.alu_imm(Alu::Mov, R2, bytes as i32);
        self.asm.alu_imm(Alu::Mov, R3, 0);
        self.asm.call(Helper::RingbufReserve);
        self.asm.jump_imm(Jump::Eq, R0, 0, full);
        self.asm.mov(R9, R0);
    }

    fn head(&mut self, flags: u64) {
        self.asm.call(Helper::KtimeGetNs);
        self.asm.store(Size::B8, R9, offset_of!(RecordHead, time_ns) as i16, R0);
        self.asm.load(Size::B8, R1, FIRING, offset_of!(probes_common::clause::Head, pid_tgid) as i16);
        self.asm.store(Size::B8, R9, offset_of!(RecordHead, pid_tgid) as i16, R1);
        self.asm.call(Helper::GetSmpProcessorId);
        self.asm.constant(R1, flags);
        self.asm.alu(Alu::Or, R0, R1);
        self.asm.store(Size::B8, R9, offset_of!(RecordHead, cpu_flags) as i16, R0);
        let comm = offset_of!(RecordHead, comm) as i16;
        match self.machine.task_comm.and_then(|offset| i16::try_from(offset).ok()) {
            Some(offset) if self.machine.task_direct => {
                self.asm.load(Size::B8, R1, FIRING, offset_of!(probes_common::clause::Head, task) as i16);
                for half in [0, 8] {
                    self.asm.load(Size::B8, R0, R1, offset + half);
                    self.asm.store(Size::B8, R9, comm + half, R0);
                }
            }
            _ => {
                self.asm.mov(R1, R9);
                self.asm.alu_imm(Alu::Add, R1, comm.into());
                self.asm.alu_imm(Alu::Mov, R2, 16);
                self.asm.call(Helper::GetCurrentComm);
            }
        }
    }

    /// The provider's own fields, as they are.
    fn facts_into_record(&mut self, bytes: usize) {
        for at in (0..bytes).step_by(8) {
            self.asm.load(Size::B8, R1, FIRING, (HEAD_BYTES + at) as i16);
            self.asm.store(Size::B8, R9, (size_of::<RecordHead>() + at) as i16, R1);
        }
    }

    /// Length (or why there is none) and bytes of one text.
    fn copy_text(&mut self, texts: u16, text: usize, to: i16) {
        let (kernel, bytes, read, done) = (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        let more = self.asm.label();
        self.asm.store_imm(Size::B8, R9, to, 0);
        self.asm.load(Size::B4, R0, FIRING, kind_of(texts, text));
        self.asm.jump_imm(Jump::Eq, R0, TEXT_NONE as i32, done);
        self.asm.mov(R1, R9);
        self.asm.alu_imm(Alu::Add, R1, i32::from(to) + 8);
        self.asm.load(Size::B8, R3, FIRING, field_of(texts, text, offset_of!(TextRef, ptr)));
        self.asm.alu_imm(Alu::Mov, R2, TEXT_BYTES_MAX as i32);
        self.asm.jump_imm(Jump::Eq, R0, TEXT_KERNEL_STRING as i32, kernel);
        self.asm.jump_imm(Jump::Ne, R0, TEXT_STRING as i32, bytes);
        self.asm.call(Helper::ProbeReadUserStr);
        self.asm.jump_imm(Jump::Ne, R0, TEXT_BYTES_MAX as i32, read);
        // One that ends with the room has the same length as one that goes on, whose last byte became a NUL.
        let last = TEXT_BYTES_MAX as i32 - 1;
        self.asm.mov(R1, R9);
        self.asm.alu_imm(Alu::Add, R1, i32::from(to) + 8 + last);
        self.asm.alu_imm(Alu::Mov, R2, 1);
        self.asm.load(Size::B8, R3, FIRING, field_of(texts, text, offset_of!(TextRef, ptr)));
        self.asm.alu_imm(Alu::Add, R3, last);
        self.asm.call(Helper::ProbeReadUser);
        self.asm.load(Size::B1, R1, R9, to + 8 + last as i16);
        self.asm.alu_imm(Alu::Mov, R0, TEXT_BYTES_MAX as i32);
        self.asm.jump_imm(Jump::Eq, R1, 0, read);
        self.asm.goto(more);
        self.asm.bind(kernel);
        // A copy with as much room, in which the end of a longer one is lost already.
        self.asm.call(Helper::ProbeReadKernelStr);
        self.asm.jump_imm(Jump::Ne, R0, TEXT_BYTES_MAX as i32, read);
        self.asm.bind(more);
        self.asm.alu_imm(Alu::Mov, R0, TEXT_BYTES_MAX as i32 + 1);
        self.asm.goto(read);
        self.asm.bind(bytes);
        self.asm.load(Size::B4, R2, FIRING, field_of(texts, text, offset_of!(TextRef, len)));
        self.asm.jump_imm(Jump::Gt, R2, TEXT_BYTES_MAX as i32, done);
        self.asm.call(Helper::ProbeReadUser);
        self.asm.jump_imm(Jump::Ne, R0, 0, read);
        self.asm.load(Size::B4, R0, FIRING, field_of(texts, text, offset_of!(TextRef, len)));
        self.asm.bind(read);
        self.asm.store(Size::B8, R9, to, R0);
        self.asm.bind(done);
    }
}

fn field_of(texts: u16, text: usize, field: usize) -> i16 {
    (texts as usize + text * size_of::<TextRef>() + field) as i16
}

fn kind_of(texts: u16, text: usize) -> i16 {
    field_of(texts, text, offset_of!(TextRef, kind))
}
