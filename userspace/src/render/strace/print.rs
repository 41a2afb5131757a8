//! Arguments of one call in, their text between the brackets out.
use super::escape::{quoted, quoted_hex};
use super::row::{Arg, Row};
use super::view::View;
use super::{TextKind, names, sockaddr, special, structs, write};

/// As much of a buffer as strace shows; strings print in full.
const BUFFER_BYTES: usize = 32;

pub fn args(out: &mut Vec<u8>, row: &Row, view: &View<'_>) {
    if let Some(custom) = row.custom {
        return custom(out, view);
    }
    for (index, arg) in shown(row, view) {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        argument(out, arg, index, view);
    }
}

/// The arguments that mean something in this call: the mode of `open` only where it creates.
pub fn shown<'a>(row: &'a Row, view: &'a View<'_>) -> impl Iterator<Item = (usize, Arg)> + 'a {
    row.args.iter().copied().enumerate().take_while(|(index, arg)| special::is_shown(*arg, *index, view))
}

/// What is known of a call without a row.
pub fn registers(out: &mut Vec<u8>, view: &View<'_>) {
    let used = view.args.iter().rposition(|arg| *arg != 0).map_or(0, |last| last + 1);
    for (index, arg) in view.args[..used].iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write::hex(out, *arg);
    }
}

pub fn argument(out: &mut Vec<u8>, arg: Arg, index: usize, view: &View<'_>) {
    let value = view.args[index];
    match arg {
        Arg::Int => write::signed(out, i64::from(view.int(index))),
        Arg::DirFd if view.int(index) == libc::AT_FDCWD => out.extend_from_slice(b"AT_FDCWD"),
        Arg::DirFd => write::signed(out, i64::from(view.int(index))),
        Arg::Owner if view.int(index) == -1 => out.extend_from_slice(b"-1"),
        Arg::Uint | Arg::Owner => write::decimal(out, u64::from(view.uint(index))),
        Arg::Long => write::signed(out, view.long(index)),
        Arg::Size => write::decimal(out, value),
        Arg::Hex => write::hex(out, u64::from(view.uint(index))),
        Arg::HexLong => write::hex(out, value),
        Arg::Ptr | Arg::NewAddress => pointer(out, value),
        Arg::Mode | Arg::CreateMode => write::mode(out, u32::from(value as u16)),
        Arg::Bits(flags) => flags.bits(out, u64::from(view.uint(index))),
        Arg::Value(flags) => flags.value(out, u64::from(view.uint(index))),
        Arg::Path => path(out, index, view),
        Arg::Got | Arg::GotRandom | Arg::GotPath => got(out, arg, index, view),
        Arg::Given(length) => given(out, index, view.args[usize::from(length)], view),
        Arg::Sockaddr(length) => match view.text(index) {
            Some(text) => sockaddr::sockaddr(out, &text.bytes, view.uint(usize::from(length))),
            None => pointer(out, value),
        },
        Arg::Timespec
        | Arg::Timeval
        | Arg::SignalSet
        | Arg::PollFds
        | Arg::EpollEvent
        | Arg::CloneArgs
        | Arg::OptionValue(_) => structs::print(out, arg, index, view),
        _ => special::argument(out, arg, index, view),
    }
}

pub fn pointer(out: &mut Vec<u8>, value: u64) {
    if value == 0 {
        out.extend_from_slice(b"NULL");
    } else {
        write::hex(out, value);
    }
}

pub fn path(out: &mut Vec<u8>, index: usize, view: &View<'_>) {
    match view.text(index) {
        Some(text) if text.kind == TextKind::String => {
            quoted(out, text.bytes.split(|byte| *byte == 0).next().unwrap_or_default());
            if text.cut {
                out.extend_from_slice(b"...");
            }
        }
        _ => pointer(out, view.args[index]),
    }
}

/// Bytes handed in; `length` is what the caller said.
pub fn given(out: &mut Vec<u8>, index: usize, length: u64, view: &View<'_>) {
    match view.text(index) {
        Some(text) => buffer(out, &text.bytes, length, text.cut, quoted),
        None if length == 0 && view.args[index] != 0 => out.extend_from_slice(b"\"\""),
        None => pointer(out, view.args[index]),
    }
}

fn got(out: &mut Vec<u8>, arg: Arg, index: usize, view: &View<'_>) {
    let address = view.args[index];
    let cut = view.text(index).is_some_and(|text| text.cut);
    match (view.filled(index), view.got(index), arg) {
        (Some(0), ..) if address != 0 => out.extend_from_slice(b"\"\""),
        (Some(length), Some(bytes), Arg::GotPath) => {
            quoted(out, bytes.strip_suffix(b"\0").unwrap_or(bytes));
            if (bytes.len() as u64) < length {
                out.extend_from_slice(b"...");
            }
        }
        (Some(length), Some(bytes), Arg::GotRandom) => buffer(out, bytes, length, cut, quoted_hex),
        (Some(length), Some(bytes), _) => buffer(out, bytes, length, cut, quoted),
        _ => pointer(out, address),
    }
}

fn buffer(out: &mut Vec<u8>, bytes: &[u8], length: u64, cut: bool, quote: fn(&mut Vec<u8>, &[u8])) {
    let shown = &bytes[..bytes.len().min(BUFFER_BYTES)];
    quote(out, shown);
    if cut || shown.len() < bytes.len() || (shown.len() as u64) < length {
        out.extend_from_slice(b"...");
    }
}

/// The name of a signal: `SIGTERM`, `SIGRT_1`; 0 and strangers as numbers.
pub fn signal(out: &mut Vec<u8>, signal: u32) {
    match structs::signal_name(signal) {
        Some(name) => {
            out.extend_from_slice(b"SIG");
            out.extend_from_slice(name.as_bytes());
        }
        None if (33..=64).contains(&signal) => {
            out.extend_from_slice(b"SIGRT_");
            write::decimal(out, u64::from(signal - 32));
        }
        None => write::signed(out, i64::from(signal as i32)),
    }
}

/// Access mode first, then the rest: `O_RDWR|O_CREAT`.
pub fn open_flags(out: &mut Vec<u8>, flags: u64) {
    names::ACCESS_MODE.value(out, flags & 3);
    names::OPEN.more_bits(out, flags & !3);
}
