//! Signals: a handler's return is a call without a usable number, and a killed thread makes none.
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::calls::repeat_getppid;
use crate::protocol::{Did, Protocol, fail};
use crate::{Args, sys};

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

pub fn sigreturn(args: &Args, protocol: &Protocol) -> Did {
    let n: u64 = args.number(0, "N");
    // SAFETY: the handler only counts.
    unsafe { libc::signal(libc::SIGUSR1, count as *const () as libc::sighandler_t) };
    let (pid, tid) = (sys::getpid(), sys::gettid());
    protocol.start();
    for _ in 0..n {
        sys::tgkill(pid, tid, libc::SIGUSR1);
    }
    if HANDLED.load(Ordering::Relaxed) != n {
        fail(format_args!("{} of {n} signals were handled", HANDLED.load(Ordering::Relaxed)));
    }
    Did::new().and("tgkill", n).and("rt_sigreturn", n)
}

pub fn sigkill(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    let pid = sys::getpid();
    protocol.start();
    repeat_getppid(n);
    sys::kill(pid, libc::SIGKILL);
    fail(format_args!("SIGKILL did not kill"))
}

/// The signals that this process was started with, blocked and ignored, as sets of bits.
pub fn found(_: &Args, protocol: &Protocol) -> Did {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.unwrap_or_else(|| fail(format_args!("no {name} in /proc/self/status")))
    };
    protocol.start();
    Did::new().and("blocked", set("SigBlk:")).and("ignored", set("SigIgn:"))
}
