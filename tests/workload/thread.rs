//! Threads by `clone` with nothing of the C library around them: one clone, and one exit when their function returns.
//! They share the first thread's thread-local storage: they must not allocate, panic or use errno.
use core::ffi::{c_int, c_void};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::sys;

const STACK_BYTES: usize = 64 * 1024;

pub struct Thread {
    /// The kernel writes the thread's id here before it runs and 0 when it has left: leaked, since it writes late.
    tid: &'static AtomicI32,
    stack: *mut c_void,
}

impl Thread {
    /// Room for one thread at a time; made before `ready`, since it maps memory.
    pub fn new() -> Thread {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of our own.
        let stack = unsafe { libc::mmap(core::ptr::null_mut(), STACK_BYTES, access, kind, -1, 0) };
        if stack == libc::MAP_FAILED {
            crate::protocol::fail(format_args!("mmap of a stack failed"));
        }
        Thread { tid: Box::leak(Box::new(AtomicI32::new(0))), stack }
    }

    /// One clone. Returns the thread's id.
    pub fn run(&self, work: extern "C" fn(*mut c_void) -> c_int, arg: *const c_void) -> libc::pid_t {
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_CLEARTID;
        let tid = self.tid.as_ptr();
        // SAFETY: the stack is ours and idle (`join` saw the last thread leave it); the id's place lives for ever.
        let ret = unsafe {
            let top = self.stack.byte_add(STACK_BYTES);
            libc::clone(work, top, flags, arg as *mut c_void, tid, core::ptr::null_mut::<c_void>(), tid)
        };
        sys::must(ret as i64, "clone") as libc::pid_t
    }

    /// Spins until the thread has left, without a system call: the kernel clears the id within its exit.
    pub fn join(&self) {
        while self.tid.load(Ordering::Acquire) != 0 {
            spin_loop();
        }
    }
}
