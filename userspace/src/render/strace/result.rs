//! What a call returned in, the text after ` = ` out.
use super::print::open_flags;
use super::row::{Ret, Row};
use super::view::View;
use super::{names, write};
use crate::symbolize::errno;

pub fn result(out: &mut Vec<u8>, row: Option<&Row>, view: &View<'_>) {
    match (view.ret, view.errno()) {
        (None, _) => out.push(b'?'),
        (_, Some(errno)) => error(out, errno),
        (Some(ret), None) => value(out, row.map_or(Ret::Int, |row| row.ret), ret, view),
    }
}

fn error(out: &mut Vec<u8>, errno: u32) {
    out.extend_from_slice(if errno::is_restart(errno) { b"? " } else { b"-1 " });
    match errno::name(errno) {
        Some(name) => {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b" (");
            out.extend_from_slice(errno::words(errno).unwrap_or_default().as_bytes());
        }
        None => {
            out.extend_from_slice(b"(errno ");
            write::decimal(out, u64::from(errno));
        }
    }
    out.push(b')');
}

fn value(out: &mut Vec<u8>, how: Ret, ret: i64, view: &View<'_>) {
    let ret = if view.compat { u64::from(ret as u32) } else { ret as u64 };
    match (how, view.int(1)) {
        (Ret::Hex, _) => write::hex(out, ret),
        (Ret::Mode, _) => write::mode(out, ret as u32),
        (Ret::Polled, _) if ret == 0 => out.extend_from_slice(b"0 (Timeout)"),
        (Ret::Fcntl, libc::F_GETFL) => flags(out, ret, open_flags),
        (Ret::Fcntl, libc::F_GETFD) if ret != 0 => flags(out, ret, |out, ret| names::FD.bits(out, ret)),
        _ => write::decimal(out, ret),
    }
}

fn flags(out: &mut Vec<u8>, ret: u64, print: impl FnOnce(&mut Vec<u8>, u64)) {
    write::hex(out, ret);
    out.extend_from_slice(b" (flags ");
    print(out, ret);
    out.push(b')');
}
