//! Short structs that were copied out in, strace's text of them out; an address where they were not.
use super::print::{given, pointer};
use super::row::Arg;
use super::view::View;
use super::{names, write};

pub fn print(out: &mut Vec<u8>, arg: Arg, index: usize, view: &View<'_>) {
    let printed = view.args[index] != 0
        && match arg {
            Arg::Timespec => time(out, index, view, b", tv_nsec="),
            Arg::Timeval => time(out, index, view, b", tv_usec="),
            Arg::SignalSet => signal_set(out, index, view),
            Arg::PollFds => poll_fds(out, index, view),
            Arg::EpollEvent => epoll_event(out, index, view),
            Arg::CloneArgs => clone_args(out, index, view),
            Arg::OptionValue(length) => option_value(out, index, view.uint(usize::from(length)), view),
            _ => false,
        };
    if !printed {
        pointer(out, view.args[index]);
    }
}

fn time(out: &mut Vec<u8>, index: usize, view: &View<'_>, fraction_name: &[u8]) -> bool {
    let (seconds, fraction) = if view.compat {
        let Some([seconds, fraction]) = words::<2>(index, view) else { return false };
        (i64::from(seconds as i32), i64::from(fraction as i32))
    } else {
        let Some(bytes) = view.fixed::<16>(index) else { return false };
        let [seconds, fraction] = [0, 8].map(|at| u64_at(bytes, at) as i64);
        (seconds, fraction)
    };
    out.extend_from_slice(b"{tv_sec=");
    write::signed(out, seconds);
    out.extend_from_slice(fraction_name);
    write::signed(out, fraction);
    out.push(b'}');
    true
}

/// `[INT CHLD]`; where two thirds are set, those that are not: `~[KILL STOP]`.
fn signal_set(out: &mut Vec<u8>, index: usize, view: &View<'_>) -> bool {
    if is_overwritten(index, view) {
        return false;
    }
    let Some(bytes) = view.fixed::<8>(index) else { return false };
    let mut set = u64_at(bytes, 0);
    if set.count_ones() >= 64 * 2 / 3 {
        out.push(b'~');
        set = !set;
    }
    out.push(b'[');
    let mut first = true;
    for signal in (1..=64).filter(|signal| set >> (signal - 1) & 1 != 0) {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        match signal_name(signal) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => {
                out.extend_from_slice(b"RT_");
                write::decimal(out, u64::from(signal - 32));
            }
        }
    }
    out.push(b']');
    true
}

/// `sigprocmask(how, &set, &set)`: what was copied is the old set.
pub fn is_overwritten(index: usize, view: &View<'_>) -> bool {
    index == 1 && view.args[1] == view.args[2]
}

/// The first two of them: that is what 16 bytes hold.
fn poll_fds(out: &mut Vec<u8>, index: usize, view: &View<'_>) -> bool {
    let Some(bytes) = view.fixed::<16>(index) else { return false };
    let count = view.uint(index + 1);
    out.push(b'[');
    for (at, fd) in bytes.chunks_exact(8).take(count as usize).enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        let descriptor = i32::from_ne_bytes([fd[0], fd[1], fd[2], fd[3]]);
        out.extend_from_slice(b"{fd=");
        write::signed(out, i64::from(descriptor));
        if descriptor >= 0 {
            out.extend_from_slice(b", events=");
            names::POLL.bits(out, u64::from(u16::from_ne_bytes([fd[4], fd[5]])));
        }
        out.push(b'}');
    }
    out.extend_from_slice(if count > 2 { b", ...]" } else { b"]" });
    true
}

/// Packed on x86 only (include/uapi/linux/eventpoll.h).
fn epoll_event(out: &mut Vec<u8>, index: usize, view: &View<'_>) -> bool {
    let Some(bytes) = view.fixed::<16>(index) else { return false };
    if view.int(1) == libc::EPOLL_CTL_DEL {
        return false;
    }
    let data = u64_at(bytes, if cfg!(target_arch = "x86_64") { 4 } else { 8 });
    out.extend_from_slice(b"{events=");
    names::EPOLL.bits(out, u64_at(bytes, 0) & u64::from(u32::MAX));
    out.extend_from_slice(b", data={u32=");
    write::decimal(out, data & u64::from(u32::MAX));
    out.extend_from_slice(b", u64=");
    write::decimal(out, data);
    out.extend_from_slice(b"}}");
    true
}

/// The flags of clone3; the rest of its struct was not copied.
fn clone_args(out: &mut Vec<u8>, index: usize, view: &View<'_>) -> bool {
    let Some(bytes) = view.fixed::<8>(index) else { return false };
    out.extend_from_slice(b"{flags=");
    names::CLONE.bits(out, u64_at(bytes, 0));
    out.extend_from_slice(b", ...}");
    true
}

/// `[1]` where it is as long as a C int, else its bytes.
fn option_value(out: &mut Vec<u8>, index: usize, length: u32, view: &View<'_>) -> bool {
    match words::<1>(index, view) {
        Some([value]) if length == 4 => {
            out.push(b'[');
            write::signed(out, i64::from(value as i32));
            out.push(b']');
        }
        _ => given(out, index, u64::from(length), view),
    }
    true
}

/// Without the `SIG`; nothing for 0 and for the real-time signals above the first.
pub fn signal_name(signal: u32) -> Option<&'static str> {
    const NAMES: [&str; 32] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS", "RTMIN",
    ];
    NAMES.get(signal.checked_sub(1)? as usize).copied()
}

fn words<const N: usize>(index: usize, view: &View<'_>) -> Option<[u32; N]> {
    let bytes = view.text(index)?.bytes.get(..N * 4)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    Some(words)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}
