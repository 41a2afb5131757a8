//! What a point has when it is hit: where each of its arguments lies, and which of them a clause names.
use super::field::Source;
use super::tree::{Clause, Type};

/// A value that a point has when it is hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// `arg0` of a USDT probe; the parameter or the record's field elsewhere.
    pub name: String,
    pub ty: Type,
    /// 1, 2, 4 or 8; of a text the room for it, 0 where that is not fixed.
    pub bytes: u32,
    pub value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Constant(i64),
    /// A register of the user's, whole or its low bytes.
    Register(Register),
    /// What lies in the process's memory at `base + displacement + index * scale`.
    Memory {
        base: Register,
        displacement: i64,
        index: Option<(Register, u8)>,
    },
    /// The number of a function's parameter.
    Parameter(u8),
    /// A number at this byte of a tracepoint's record.
    Record(u32),
    /// A text, NUL-terminated if it does not fill its room, at this byte of the record.
    RecordText(u32),
    /// A text in the record, whose place is in the low half of the 32-bit number at this byte.
    RecordDataLoc(u32),
    /// The same, with its place counted from behind the 32-bit number.
    RecordRelLoc(u32),
}

impl Value {
    /// The value is the address of a text that is no pointer of the program's.
    pub fn is_text(self) -> bool {
        matches!(self, Value::RecordText(_) | Value::RecordDataLoc(_) | Value::RecordRelLoc(_))
    }
}

/// A register by its byte offset in the architecture's struct pt_regs, and by the byte in it that the value begins with
/// (1 for `%ah`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register {
    pub offset: u16,
    pub shift: u8,
}

/// In place of an argument's number: what a function returned.
pub const RETURNED: u16 = u16::MAX;

/// Size of a text in a firing: where its copy is, and its id.
pub const TEXT_BYTES: u16 = 16;

/// The arguments that a clause names, by their numbers; in a firing they stand in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Without [`RETURNED`].
    pub arguments: Vec<u16>,
    /// Those whose texts are named.
    pub texts: Vec<u16>,
}

impl Used {
    pub fn by(clause: &Clause) -> Used {
        let mut used = Used::default();
        super::fields_of(clause, &mut |field| match field.source {
            Source::Argument { number, .. } => used.arguments.push(number),
            Source::Copied { number, .. } => {
                used.texts.push(number);
                used.arguments.push(number);
            }
            _ => {}
        });
        for numbers in [&mut used.arguments, &mut used.texts] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        used.arguments.retain(|number| *number != RETURNED);
        used
    }

    /// Where an argument stands among those that are named.
    pub fn argument(&self, number: u16) -> Option<usize> {
        self.arguments.iter().position(|used| *used == number)
    }

    pub fn text(&self, number: u16) -> Option<usize> {
        self.texts.iter().position(|used| *used == number)
    }
}
