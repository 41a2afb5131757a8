//! Patterns in, places in code out: what the probes of a function can be attached to. Reads files, /proc and tracefs, and
//! attaches nothing.
mod dynamic;
pub mod functions;
#[cfg(test)]
mod functions_tests;
pub mod glob;
mod ifunc;
#[cfg(test)]
mod ifunc_tests;
pub mod kernel;
mod ld_cache;
pub mod libraries;
#[cfg(test)]
mod libraries_tests;
mod link_map;
mod module;
mod near;
pub mod pattern;
mod process;
mod search;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod testing;
pub mod tracepoint;
pub mod usdt;
pub mod usdt_argument;

use std::path::PathBuf;

use crate::program::tree::Type;

pub use libraries::Whom;
pub use pattern::Pattern;
pub use search::resolve;

/// What patterns stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// No place twice; in the order of the patterns, then of the files, then of the offsets.
    pub points: Vec<Point>,
    /// Choices that were made for the user.
    pub notes: Vec<String>,
    /// Names that match and have no place, and why. A pattern may have nothing but these.
    pub refused: Vec<(String, String)>,
}

/// One place that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub place: Place,
    /// The function as reports show it, demangled; `provider:name` of a USDT probe; a tracepoint's event.
    pub function: String,
    /// The file's name without folders, `vmlinux` or a kernel module, a tracepoint's group.
    pub module: String,
    /// What its record or its note names. Empty for a function of user space, whose arguments are where the ABI has them.
    pub arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// An instruction of a file.
    User {
        /// As spoor reaches it, through /proc/PID/root or map_files where it is another's.
        file: PathBuf,
        /// Of the instruction, in the file.
        offset: u64,
        /// It is a function's first: the return address is on top of the stack, and a return can be waited for.
        is_entry: bool,
        /// Of a USDT probe's semaphore, in the file.
        semaphore: Option<u64>,
    },
    /// A function of the kernel by its symbol, which may end in `.isra.0` and the like.
    Kernel { symbol: String },
    /// Below tracefs's `events`.
    Tracepoint { group: String, event: String },
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The number of a kernel function's parameter.
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

/// A register by its byte offset in the architecture's struct pt_regs, and by the byte in it that the value begins with
/// (1 for `%ah`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    pub offset: u16,
    pub shift: u8,
}
