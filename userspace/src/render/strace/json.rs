//! One call in, one JSON object on a line out (NDJSON). ASCII only.
use super::escape;
use super::row::{Arg, Row};
use super::view::View;
use super::{Call, Text, TextKind, name, print, special, table, write};
use crate::symbolize::errno;

/// Appends `{"time_unix_ns":N,"comm":"cat","pid":N,"tid":N,"syscall":"read","args":[...],"ret":N,...}` and a newline.
///
/// Shape: `args` has as many values as the call takes, all six registers where that is not known. Flags and addresses
/// are numbers (C ints and longs signed). A comm is written as in the keys of a table, `\xff` for what is no UTF-8.
/// Strings and buffers are what was copied of them; what is no UTF-8 shows as U+FFFD there, and in full under
/// `"hex":{"1":"ff00"}` by argument. Structs and socket addresses are strace's text.
/// `"cut":[1]` lists the arguments of which not all was copied. `ret` is null where the call did not return; a failed
/// one has -errno, and `"errno":"ENOENT"`. `elapsed_ns` is there where it was measured.
pub fn json(out: &mut Vec<u8>, call: &Call) {
    let view = View::new(call);
    let entry = table::entry(call.id);
    field(out, b"{\"time_unix_ns\":", call.time_unix_ns);
    out.extend_from_slice(b",\"comm\":");
    escape::json_name(out, &call.comm);
    field(out, b",\"pid\":", u64::from(call.tgid));
    field(out, b",\"tid\":", u64::from(call.tid));
    out.extend_from_slice(b",\"syscall\":\"");
    name(out, call.id, entry);
    out.extend_from_slice(b"\",\"args\":[");
    args(out, entry.and_then(|entry| entry.row), &view);
    out.push(b']');
    texts(out, call, entry.and_then(|entry| entry.row), &view);
    result(out, &view);
    if let Some(elapsed_ns) = call.elapsed_ns {
        field(out, b",\"elapsed_ns\":", elapsed_ns);
    }
    out.extend_from_slice(b"}\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    write::decimal(out, value);
}

fn args(out: &mut Vec<u8>, row: Option<&Row>, view: &View<'_>) {
    let start = out.len();
    match row {
        Some(row) => print::shown(row, view).for_each(|(index, arg)| {
            argument(out, arg, index, row, view);
            out.push(b',');
        }),
        None => view.args.iter().for_each(|arg| {
            write::decimal(out, *arg);
            out.push(b',');
        }),
    }
    if out.len() > start {
        out.pop();
    }
}

fn argument(out: &mut Vec<u8>, arg: Arg, index: usize, row: &Row, view: &View<'_>) {
    match (view.text(index), arg) {
        (Some(text), Arg::Path | Arg::Given(_)) => escape::json(out, &text.bytes),
        (Some(_), Arg::Got | Arg::GotRandom | Arg::GotPath) if view.returned().is_some() => {
            let bytes = view.got(index).unwrap_or_default();
            let end = if matches!(arg, Arg::GotPath) { bytes.strip_suffix(b"\0") } else { None };
            escape::json(out, end.unwrap_or(bytes));
        }
        (Some(_), Arg::Sockaddr(_) | Arg::Timespec | Arg::Timeval | Arg::SignalSet | Arg::PollFds)
        | (Some(_), Arg::EpollEvent | Arg::CloneArgs | Arg::OptionValue(_))
            if special::is_read(arg, index, row, view) =>
        {
            let start = out.len();
            print::argument(out, arg, index, view);
            escape::json_tail(out, start);
        }
        (Some(text), Arg::PrctlValue) if view.int(0) == libc::PR_SET_NAME => escape::json(out, &text.bytes),
        (_, Arg::Int | Arg::DirFd | Arg::Owner) => write::signed(out, i64::from(view.int(index))),
        (_, Arg::Hex | Arg::Uint) => write::decimal(out, u64::from(view.uint(index))),
        (_, Arg::Long) => write::signed(out, view.long(index)),
        _ => write::decimal(out, view.args[index]),
    }
}

/// What `args` cannot say of the strings and buffers among them.
fn texts(out: &mut Vec<u8>, call: &Call, row: Option<&Row>, view: &View<'_>) {
    let read = || call.texts.iter().flatten().filter(|text| view.text(usize::from(text.arg)) == Some(text));
    let plain = |kind| matches!(kind, TextKind::String | TextKind::Bytes);
    if read().any(|text| is_cut(text, row, view)) {
        out.extend_from_slice(b",\"cut\":[");
        for text in read().filter(|text| is_cut(text, row, view)) {
            write::decimal(out, u64::from(text.arg));
            out.push(b',');
        }
        *out.last_mut().expect("ends with a comma") = b']';
    }
    let binary = || read().filter(|text| plain(text.kind) && std::str::from_utf8(&text.bytes).is_err());
    if binary().next().is_some() {
        out.extend_from_slice(b",\"hex\":{");
        for text in binary() {
            out.push(b'"');
            write::decimal(out, u64::from(text.arg));
            out.extend_from_slice(b"\":\"");
            text.bytes.iter().for_each(|byte| write::hex_byte(out, *byte));
            out.extend_from_slice(b"\",");
        }
        *out.last_mut().expect("ends with a comma") = b'}';
    }
}

/// The probe says "maybe" where it filled its room; the length of a buffer decides.
fn is_cut(text: &Text, row: Option<&Row>, view: &View<'_>) -> bool {
    let index = usize::from(text.arg);
    let whole = match row.and_then(|row| row.args.get(index)) {
        Some(Arg::Got | Arg::GotRandom | Arg::GotPath) => view.filled(index),
        Some(Arg::Given(length) | Arg::OptionValue(length)) => Some(view.args[usize::from(*length)]),
        _ => None,
    };
    whole.map_or(text.cut, |whole| whole > text.bytes.len() as u64)
}

fn result(out: &mut Vec<u8>, view: &View<'_>) {
    out.extend_from_slice(b",\"ret\":");
    match view.ret {
        Some(ret) => write::signed(out, ret),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(errno) = view.errno() {
        out.extend_from_slice(b",\"errno\":\"");
        match errno::name(errno) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => write::decimal(out, u64::from(errno)),
        }
        out.push(b'"');
    }
}
