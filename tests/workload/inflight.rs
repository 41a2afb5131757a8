//! A call that never ends as long as somebody looks.
use core::ffi::{c_int, c_void};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::{Did, Protocol, await_line, fail, say};
use crate::thread::Thread;
use crate::{Args, sys};

struct Reader {
    from: i32,
    reads: AtomicU64,
}

pub fn inflight(_: &Args, protocol: &Protocol) -> Did {
    let [from, to] = sys::pipe();
    let reader: &Reader = Box::leak(Box::new(Reader { from, reads: AtomicU64::new(0) }));
    let thread = Thread::new();
    let tid = thread.run(read_twice, (reader as *const Reader).cast());
    wait_until_blocked(tid);

    protocol.start_with(&[tid]);
    sys::writev(to, &[0]);
    while reader.reads.load(Ordering::Acquire) == 0 {
        spin_loop();
    }
    wait_until_blocked(tid);
    say("blocked");
    if protocol.wait {
        await_line();
    }
    sys::writev(to, &[0]);
    thread.join();
    Did::new().and("read", 2).and("exit", 1)
}

extern "C" fn read_twice(arg: *mut c_void) -> c_int {
    // SAFETY: the reader is leaked, and shared by an atomic only.
    let reader = unsafe { &*arg.cast::<Reader>() };
    for _ in 0..2 {
        sys::read(reader.from, &mut [0]);
        reader.reads.fetch_add(1, Ordering::Release);
    }
    0
}

/// Looks at the thread's state with pread64 only, so that every `read` is the thread's.
fn wait_until_blocked(tid: libc::pid_t) {
    let mut path = [0u8; 64];
    let text = format!("/proc/self/task/{tid}/stat\0");
    path[..text.len()].copy_from_slice(text.as_bytes());
    let path = core::ffi::CStr::from_bytes_until_nul(&path).expect("ends with a NUL");
    let fd = sys::must(sys::openat(path, libc::O_RDONLY, 0), "open the thread's stat") as u64;
    loop {
        let mut stat = [0u8; 512];
        // SAFETY: the buffer is as long as said.
        let len = unsafe { sys::call(libc::SYS_pread64, [fd, stat.as_mut_ptr() as u64, stat.len() as u64, 0, 0, 0]) };
        let stat = &stat[..sys::must(len, "read the thread's stat") as usize];
        // The state follows the comm, which is in parentheses.
        match stat.windows(2).rposition(|two| two == b") ").and_then(|at| stat.get(at + 2)) {
            Some(b'S') => break,
            Some(_) => spin_loop(),
            None => fail(format_args!("the thread's stat has no state")),
        }
    }
    sys::close(fd as i64);
}
