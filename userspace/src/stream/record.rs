//! The shape of a streamed record: bytes from the ring in, fields out.
use probes_common::clause::{RECORD_WIDE, RecordHead, TEXT_BYTES_MAX};
use std::mem::{offset_of, size_of};

/// Length or negative errno, then the bytes.
const TEXT_ROOM: usize = 8 + TEXT_BYTES_MAX;

/// One firing as it came through the ring.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    /// Where the provider's facts end and the texts begin.
    facts_end: usize,
    pub time_unix_ns: u64,
    pub tgid: u32,
    pub tid: u32,
}

/// What the kernel side could copy of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordText<'a> {
    /// The call has none in this slot.
    None,
    /// The process's memory could not be read.
    Unreadable,
    /// `full`: as many as there is room for. `more`: a string that goes on behind them.
    Bytes { bytes: &'a [u8], full: bool, more: bool },
}

impl<'a> Record<'a> {
    /// `facts_end`: size of a record without texts. `unix_minus_monotonic_ns`: the distance of both clocks.
    /// None for bytes that are no record.
    pub fn new(bytes: &'a [u8], facts_end: usize, unix_minus_monotonic_ns: i64) -> Option<Record<'a>> {
        if bytes.len() < facts_end || facts_end < size_of::<RecordHead>() {
            return None;
        }
        let ids = word(bytes, offset_of!(RecordHead, pid_tgid));
        Some(Record {
            bytes,
            facts_end,
            time_unix_ns: time_ns(bytes).wrapping_add_signed(unix_minus_monotonic_ns),
            tgid: (ids >> 32) as u32,
            tid: ids as u32,
        })
    }

    /// Name of the thread, up to its NUL.
    pub fn comm(&self) -> &'a [u8] {
        let from = offset_of!(RecordHead, comm);
        let comm = &self.bytes[from..from + 16];
        &comm[..comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len())]
    }

    /// The provider's 64-bit fact at `offset` of its firing, counted from behind the head.
    pub fn fact(&self, offset: usize) -> u64 {
        word(self.bytes, size_of::<RecordHead>() + offset)
    }

    pub fn text(&self, slot: usize) -> RecordText<'a> {
        if word(self.bytes, offset_of!(RecordHead, cpu_flags)) & RECORD_WIDE == 0 {
            return RecordText::None;
        }
        let at = self.facts_end + slot * TEXT_ROOM;
        let Some(room) = self.bytes.get(at..at + TEXT_ROOM) else { return RecordText::None };
        match word(room, 0) as i64 {
            0 => RecordText::None,
            len if len < 0 => RecordText::Unreadable,
            len => {
                let (len, more) = ((len as usize).min(TEXT_BYTES_MAX), len as usize > TEXT_BYTES_MAX);
                RecordText::Bytes { bytes: &room[8..8 + len], full: len == TEXT_BYTES_MAX, more }
            }
        }
    }
}

/// Monotonic time of a record.
pub fn time_ns(bytes: &[u8]) -> u64 {
    word(bytes, offset_of!(RecordHead, time_ns))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
