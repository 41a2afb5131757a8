//! An id in, out what the probe has to copy from the caller's memory for it. Derived from the call table.
//!
//! Two slots, the first in the low 16 bits. In each: bits 0-2 the argument; bits 3-5 the kind (0 nothing, 1 a
//! NUL-terminated string, 2 bytes, 3 a socket address); bits 6-9 where the length is (0-5 that argument, 6 the call's
//! result, 7 always 16 bytes; 0 for strings, and means nothing there).
//!
//! When to copy: a slot whose length is the result, when the call returns; the path of a call that replaces the process
//! (`execve`), when it enters; any other one at either end, since no row asks for memory that its own call writes over.
use super::row::{Arg, Row};
use super::table::entry;
use super::view::View;
use super::{Call, TextKind, print, special};

pub const KIND_SHIFT: u32 = 3;
pub const LENGTH_SHIFT: u32 = 6;
pub const SLOT_SHIFT: u32 = 16;

pub const KIND_STRING: u16 = 1;
pub const KIND_BYTES: u16 = 2;
pub const KIND_SOCKADDR: u16 = 3;

pub const LENGTH_RESULT: u16 = 6;
pub const LENGTH_FIXED: u16 = 7;

/// What the probe has to copy for a call; 0 for nothing.
pub fn text_spec(id: u64) -> u32 {
    entry(id).and_then(|entry| entry.row).map_or(0, row_spec)
}

/// How many texts of a call the line should have shown but shows as addresses, because their memory could not be read.
///
/// Not counted: NULL, what this call does not look at (the time-out of FUTEX_WAKE, of which the register holds leftovers),
/// buffers of failed calls, and addresses that the kernel could not read either (EFAULT).
pub fn unreadable_texts(call: &Call) -> usize {
    const EFAULT: u32 = libc::EFAULT as u32;
    let view = View::new(call);
    let Some(row) = entry(call.id).and_then(|entry| entry.row) else { return 0 };
    if view.errno() == Some(EFAULT) {
        return 0;
    }
    let unreadable = call.texts.iter().flatten().filter(|text| text.kind == TextKind::Unreadable);
    let args =
        unreadable.filter_map(|text| print::shown(row, &view).find(|(index, _)| *index == usize::from(text.arg)));
    args.filter(|(index, arg)| view.args[*index] != 0 && special::is_read(*arg, *index, row, &view)).count()
}

/// How many names of a call are not shown in full, because the record had no room for more.
///
/// Not counted: buffers, of which strace shows 32 bytes on purpose and says so with dots.
pub fn cut_texts(call: &Call) -> usize {
    let view = View::new(call);
    let Some(row) = entry(call.id).and_then(|entry| entry.row) else { return 0 };
    let cut = call.texts.iter().flatten().filter(|text| text.cut && text.kind != TextKind::Unreadable);
    let args = cut.filter_map(|text| print::shown(row, &view).find(|(index, _)| *index == usize::from(text.arg)));
    args.filter(|(index, arg)| match arg {
        Arg::Path | Arg::PrctlValue => special::is_read(*arg, *index, row, &view),
        Arg::GotPath => view.filled(*index) > view.got(*index).map(|bytes| bytes.len() as u64),
        _ => false,
    })
    .count()
}

/// A third text of a call (the file system type of `mount`) is left out: it prints as its address.
fn row_spec(row: &Row) -> u32 {
    let slots = row.args.iter().enumerate().filter_map(|(index, arg)| slot(index as u16, *arg));
    slots.take(2).enumerate().map(|(at, slot)| u32::from(slot) << (SLOT_SHIFT * at as u32)).sum()
}

fn slot(index: u16, arg: Arg) -> Option<u16> {
    let (kind, length) = match arg {
        Arg::Path | Arg::PrctlValue => (KIND_STRING, 0),
        Arg::Got | Arg::GotRandom | Arg::GotPath => (KIND_BYTES, LENGTH_RESULT),
        Arg::Given(length) | Arg::OptionValue(length) => (KIND_BYTES, u16::from(length)),
        Arg::Sockaddr(length) => (KIND_SOCKADDR, u16::from(length)),
        Arg::Timespec | Arg::Timeval | Arg::SignalSet | Arg::PollFds | Arg::EpollEvent | Arg::CloneArgs => {
            (KIND_BYTES, LENGTH_FIXED)
        }
        _ => return None,
    };
    Some(index | kind << KIND_SHIFT | length << LENGTH_SHIFT)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::symbolize::syscall::id;

    const fn slots(first: (u32, u32, u32), second: (u32, u32, u32)) -> u32 {
        (first.0 | first.1 << 3 | first.2 << 6) | (second.0 | second.1 << 3 | second.2 << 6) << 16
    }

    const NOTHING: (u32, u32, u32) = (0, 0, 0);

    #[test]
    fn the_probe_is_told_what_to_copy() {
        let cases = [
            (257, slots((1, 1, 0), NOTHING), "openat"),
            (0, slots((1, 2, 6), NOTHING), "read"),
            (1, slots((1, 2, 2), NOTHING), "write"),
            (44, slots((1, 2, 2), (4, 3, 5)), "sendto"),
            (45, slots((1, 2, 6), NOTHING), "recvfrom"),
            (42, slots((1, 3, 2), NOTHING), "connect"),
            (49, slots((1, 3, 2), NOTHING), "bind"),
            (43, 0, "accept"),
            (82, slots((0, 1, 0), (1, 1, 0)), "rename"),
            (59, slots((0, 1, 0), NOTHING), "execve"),
            (89, slots((0, 1, 0), (1, 2, 6)), "readlink"),
            (35, slots((0, 2, 7), NOTHING), "nanosleep"),
            (110, 0, "getppid"),
            (9999, 0, "unknown"),
        ];
        for (number, spec, name) in cases {
            assert_eq!(text_spec(id(number, false)), spec, "{name}");
        }
    }

    #[test]
    fn names_that_are_cut_are_counted_and_buffers_are_not() {
        let cut = |number, args: [u64; 4], arg, kind, ret| {
            let text = crate::render::strace::Text { arg, kind, cut: true, bytes: vec![b'x'; 256] };
            let [a, b, c, d] = args;
            let args = [a, b, c, d, 0, 0];
            let call =
                Call { id: id(number, false), args, ret: Some(ret), texts: [Some(text), None], ..Call::default() };
            cut_texts(&call)
        };
        assert_eq!(cut(257, [0, 0x1000, 0, 0], 1, TextKind::String, -36), 1, "openat");
        assert_eq!(cut(1, [1, 0x1000, 4096, 0], 1, TextKind::Bytes, 4096), 0, "write");
        assert_eq!(cut(0, [0, 0x1000, 4096, 0], 1, TextKind::Bytes, 4096), 0, "read");
        assert_eq!(cut(79, [0x1000, 4096, 0, 0], 0, TextKind::Bytes, 300), 1, "getcwd of a longer path");
        assert_eq!(cut(79, [0x1000, 4096, 0, 0], 0, TextKind::Bytes, 256), 0, "getcwd of one that just fits");
    }

    #[test]
    fn only_texts_that_the_call_would_have_read_are_missed() {
        let unreadable = |number, args: [u64; 4], arg, ret| {
            let text = crate::render::strace::Text { arg, kind: TextKind::Unreadable, ..Default::default() };
            let [a, b, c, d] = args;
            let args = [a, b, c, d, 0, 0];
            let call =
                Call { id: id(number, false), args, ret: Some(ret), texts: [Some(text), None], ..Call::default() };
            unreadable_texts(&call)
        };
        assert_eq!(unreadable(80, [0x1000, 0, 0, 0], 0, 0), 1, "chdir");
        assert_eq!(unreadable(80, [0x1000, 0, 0, 0], 0, -14), 0, "chdir that failed with EFAULT");
        assert_eq!(unreadable(280, [3, 0, 0x1000, 0], 1, 0), 0, "utimensat of a descriptor: the path is NULL");
        assert_eq!(unreadable(202, [0x1000, 128, 1, 0x33], 3, 0), 1, "FUTEX_WAIT has a time-out");
        assert_eq!(unreadable(202, [0x1000, 129, 1, 0x33], 3, 0), 0, "FUTEX_WAKE has none");
        assert_eq!(unreadable(157, [1, 9, 0, 0], 1, 0), 0, "prctl with a number");
        assert_eq!(unreadable(157, [15, 0x1000, 0, 0], 1, 0), 1, "prctl with a name");
        assert_eq!(unreadable(0, [3, 0x1000, 10, 0], 1, -11), 0, "read that failed");
        assert_eq!(unreadable(0, [3, 0x1000, 10, 0], 1, 5), 1, "read");
    }

    #[test]
    fn compat_calls_have_their_own_slots() {
        assert_eq!(text_spec(id(5, true)), slots((0, 1, 0), NOTHING), "i386:open");
        assert_eq!(text_spec(id(20, true)), 0, "i386:getpid");
    }

    #[test]
    fn no_slot_asks_for_an_argument_that_is_not_there() {
        for id in (0..1024).filter(|id| text_spec(*id) != 0) {
            let args = entry(id).unwrap().row.unwrap().args.len() as u32;
            for slot in [text_spec(id) & 0xffff, text_spec(id) >> 16] {
                let length = slot >> 6;
                assert!(slot & 7 < args && (length >= 6 || length < args), "id {id}");
            }
        }
    }
}
