//! Patterns in, places in code out: what the probes of a function can be attached to. Reads files, /proc and tracefs, and
//! attaches nothing.
pub mod aliases;
pub mod code;
mod dynamic;
pub mod functions;
#[cfg(test)]
mod functions_tests;
pub mod glob;
mod ifunc;
#[cfg(test)]
mod ifunc_tests;
mod kallsyms;
pub mod kernel;
mod ld_cache;
pub mod libraries;
#[cfg(test)]
mod libraries_tests;
pub mod lines;
mod link_map;
mod module;
mod near;
pub mod parts;
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

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::btf::signature::Signature;

pub use crate::program::argument::{Argument, Register, Value};
pub use libraries::Whom;
pub use pattern::Pattern;
pub use search::{resolve, with_aliases};

/// What patterns stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// No place twice; in the order of the patterns, then of the files, then of the offsets.
    pub points: Vec<Point>,
    /// Choices that were made for the user.
    pub notes: Vec<String>,
    /// Names that match and have no place, and why. A pattern may have nothing but these.
    pub refused: Vec<(String, String)>,
    /// Of functions of the kernel itself, by symbol: BTF is read for their arguments.
    pub signatures: HashMap<String, Signature>,
}

/// One place that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub place: Place,
    /// The function as reports show it, demangled; `provider:name` of a USDT probe; a tracepoint's event.
    pub function: String,
    /// The file's name without folders, `vmlinux` or a kernel module, a tracepoint's group.
    pub module: Arc<str>,
    /// What its record or its note names. Empty for a function of user space, whose arguments are where the ABI has them.
    pub arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// An instruction of a file.
    User {
        /// As spoor reaches it, through /proc/PID/root or map_files where it is another's.
        file: Arc<Path>,
        /// Of the instruction, in the file.
        offset: u64,
        /// It is a function's first: the return address is on top of the stack, and a return can be waited for.
        is_entry: bool,
        /// A USDT probe, with the place of its semaphore in the file; 0: it has none.
        usdt: Option<u64>,
    },
    /// A function of the kernel by its symbol, which may end in `.isra.0` and the like, or the instruction that is so many
    /// bytes behind its first.
    Kernel { symbol: String, offset: u64 },
    /// Below tracefs's `events`.
    Tracepoint { group: String, event: String },
}
