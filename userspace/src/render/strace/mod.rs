//! One decoded system call in, out a line as `strace -p` would show it or one NDJSON object. Reads no clock and no memory
//! of another process: what the probe did not copy out prints as an address.
//!
//! ```text
//! 22:13:20.123456 cat 4242/4242 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3 <0.000012345>
//! ```
//!
//! What differs from strace: the result is not padded to column 40 (as `strace -a1`); structs other than short ones and
//! all arrays of pointers print as addresses; a call without a row in the table prints its registers in hex, up to the
//! last one that is not 0, which may be left over from something else.
mod escape;
mod flags;
mod json;
mod names;
mod print;
mod result;
mod row;
mod sockaddr;
mod special;
mod structs;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod view;
mod write;

use crate::symbolize::syscall::{COMPAT_PREFIX, is_compat, number};
use view::View;

pub use json::json;
pub use texts::{cut_texts, text_spec, unreadable_texts};
pub(super) use write::time_of_day;

/// One call, from entry to exit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// When it returned, or ended; prints as UTC.
    pub time_unix_ns: u64,
    pub comm: Vec<u8>,
    pub tgid: u32,
    pub tid: u32,
    /// As `symbolize::syscall::id` makes it.
    pub id: u64,
    /// Registers as the kernel saw them; of a 32-bit call the low halves count.
    pub args: [u64; 6],
    /// What the kernel returned, errors as -errno. None: it has not returned, or never will (`exit_group`).
    pub ret: Option<i64>,
    pub elapsed_ns: Option<u64>,
    /// What `text_spec` asked for.
    pub texts: [Option<Text>; 2],
}

/// What an argument points to, copied from the caller's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Which argument, from 0.
    pub arg: u8,
    pub bytes: Vec<u8>,
    /// There was more than was copied.
    pub cut: bool,
    pub kind: TextKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextKind {
    /// A path or another NUL-terminated string, without its NUL.
    #[default]
    String,
    /// A buffer, or a struct.
    Bytes,
    /// A socket address as it lay in memory.
    Sockaddr,
    /// The memory could not be read: the argument prints as its address.
    Unreadable,
}

/// Appends one line: time of day in UTC, comm, process/thread, the call as strace writes it, a newline.
///
/// For another zone add its offset to `time_unix_ns`.
pub fn line(out: &mut Vec<u8>, call: &Call) {
    write::time_of_day(out, call.time_unix_ns);
    out.push(b' ');
    escape::bare(out, &call.comm);
    out.push(b' ');
    write::decimal(out, u64::from(call.tgid));
    out.push(b'/');
    write::decimal(out, u64::from(call.tid));
    out.push(b' ');
    call_text(out, call);
    out.push(b'\n');
}

/// Appends the call alone: `read(3, "\177ELF\2\1\1"..., 832) = 832 <0.000004123>`.
pub fn call_text(out: &mut Vec<u8>, call: &Call) {
    let view = View::new(call);
    let entry = table::entry(call.id);
    let row = entry.and_then(|entry| entry.row);
    name(out, call.id, entry);
    out.push(b'(');
    match row {
        Some(row) => print::args(out, row, &view),
        None => print::registers(out, &view),
    }
    out.extend_from_slice(b") = ");
    result::result(out, row, &view);
    if let Some(elapsed_ns) = call.elapsed_ns {
        out.extend_from_slice(b" <");
        write::seconds(out, elapsed_ns);
        out.push(b'>');
    }
}

/// As `Names::name` of `symbolize::syscall`, without an allocation.
fn name(out: &mut Vec<u8>, id: u64, entry: Option<&table::Entry>) {
    if is_compat(id) {
        out.extend_from_slice(COMPAT_PREFIX.as_bytes());
    }
    match entry {
        Some(entry) => out.extend_from_slice(entry.name.as_bytes()),
        None => write::signed(out, i64::from(number(id) as i32)),
    }
}
