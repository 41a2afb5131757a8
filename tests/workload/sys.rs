//! Raw system calls: one instruction each, so that the count is what the code says. The only unsafe-by-number place.
//! Not the C library's functions: they add calls of their own (fork takes locks, nanosleep is clock_nanosleep).
use core::arch::asm;

use libc::{c_long, pid_t};

/// One system call; a failure is a negative errno, and `errno` (thread-local, which our threads share) stays untouched.
///
/// # Safety
/// That of the call: pointers among the arguments must be what it expects.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub unsafe fn call(nr: c_long, args: [u64; 6]) -> i64 {
    let ret: i64;
    // SAFETY: the caller's promise; the kernel clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") nr => ret, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    ret
}

/// # Safety
/// That of the call: pointers among the arguments must be what it expects.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub unsafe fn call(nr: c_long, args: [u64; 6]) -> i64 {
    let ret: i64;
    // SAFETY: the caller's promise; the kernel clobbers x0 only.
    unsafe {
        asm!("svc #0", in("x8") nr, inlateout("x0") args[0] => ret, in("x1") args[1], in("x2") args[2],
            in("x3") args[3], in("x4") args[4], in("x5") args[5], options(nostack));
    }
    ret
}

pub fn getppid() -> i64 {
    getppid_with(0)
}

/// getppid looks at no argument, a tracer does.
pub fn getppid_with(arg0: u64) -> i64 {
    // SAFETY: takes no pointers.
    unsafe { call(libc::SYS_getppid, [arg0, 0, 0, 0, 0, 0]) }
}

/// A call by its number, without arguments: only for numbers that do nothing.
pub fn number(nr: c_long) -> i64 {
    // SAFETY: no pointers; the callers use numbers that no kernel has.
    unsafe { call(nr, [0; 6]) }
}

pub fn close(fd: i64) -> i64 {
    // SAFETY: takes no pointers; closing what somebody uses makes that fail with EBADF, nothing worse.
    unsafe { call(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]) }
}

pub fn read(fd: i32, to: &mut [u8]) -> i64 {
    // SAFETY: the slice is writable and as long as said.
    unsafe { call(libc::SYS_read, [fd as u64, to.as_mut_ptr() as u64, to.len() as u64, 0, 0, 0]) }
}

pub fn write(fd: i32, bytes: &[u8]) -> i64 {
    // SAFETY: the slice is as long as said.
    unsafe { call(libc::SYS_write, [fd as u64, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0, 0]) }
}

/// What the protocol reads with, so that `read` stays free for counting.
pub fn readv(fd: i32, to: &mut [u8]) -> i64 {
    let iov = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    // SAFETY: one vector over a writable slice.
    unsafe { call(libc::SYS_readv, [fd as u64, &raw const iov as u64, 1, 0, 0, 0]) }
}

pub fn writev(fd: i32, bytes: &[u8]) -> i64 {
    let iov = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
    // SAFETY: one vector over a slice; the kernel only reads it.
    unsafe { call(libc::SYS_writev, [fd as u64, &raw const iov as u64, 1, 0, 0, 0]) }
}

pub fn openat(path: &core::ffi::CStr, flags: i32, mode: u32) -> i64 {
    // SAFETY: a string that ends.
    unsafe { call(libc::SYS_openat, [libc::AT_FDCWD as u64, path.as_ptr() as u64, flags as u64, mode as u64, 0, 0]) }
}

pub fn lseek(fd: i32, offset: i64, whence: i32) -> i64 {
    // SAFETY: takes no pointers.
    unsafe { call(libc::SYS_lseek, [fd as u64, offset as u64, whence as u64, 0, 0, 0]) }
}

pub fn pipe() -> [i32; 2] {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors.
    let ret = unsafe { call(libc::SYS_pipe2, [fds.as_mut_ptr() as u64, 0, 0, 0, 0, 0]) };
    must(ret, "pipe2");
    fds
}

pub fn nanosleep(ns: u64) -> i64 {
    let time = libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
    // SAFETY: the time lives until the call returns.
    unsafe { call(libc::SYS_nanosleep, [&raw const time as u64, 0, 0, 0, 0, 0]) }
}

/// No system call where the vDSO knows the clock; in a virtual machine without a usable TSC it is one.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What the calling thread has had of a CPU: one system call.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for the time.
    let ret = unsafe {
        let to = &raw mut time as u64;
        call(libc::SYS_clock_gettime, [libc::CLOCK_THREAD_CPUTIME_ID as u64, to, 0, 0, 0, 0])
    };
    must(ret, "clock_gettime");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub fn getpid() -> pid_t {
    number(libc::SYS_getpid) as pid_t
}

pub fn gettid() -> pid_t {
    number(libc::SYS_gettid) as pid_t
}

pub fn kill(pid: pid_t, signal: i32) -> i64 {
    // SAFETY: takes no pointers.
    unsafe { call(libc::SYS_kill, [pid as u64, signal as u64, 0, 0, 0, 0]) }
}

pub fn tgkill(pid: pid_t, tid: pid_t, signal: i32) -> i64 {
    // SAFETY: takes no pointers.
    unsafe { call(libc::SYS_tgkill, [pid as u64, tid as u64, signal as u64, 0, 0, 0]) }
}

/// A child by `clone` with nothing but SIGCHLD: what fork is where there is no fork. 0 in the child.
///
/// # Safety
/// The process must be single-threaded, or the child must call nothing that takes locks.
pub unsafe fn clone_process() -> i64 {
    // SAFETY: the child has its own copy of all memory, this frame included.
    unsafe { call(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]) }
}

/// Waits for one child by one `wait4`; its status as the kernel gives it.
pub fn wait4(pid: pid_t) -> i32 {
    let mut status = 0i32;
    // SAFETY: room for the status.
    let ret = unsafe { call(libc::SYS_wait4, [pid as u64, &raw mut status as u64, 0, 0, 0, 0]) };
    must(ret, "wait4");
    status
}

/// Pins the calling thread; the mask is 1024 bits.
pub fn pin(cpu: usize) {
    let mut mask = [0u64; 16];
    mask[cpu / 64 % 16] = 1 << (cpu % 64);
    // SAFETY: the mask is as long as said.
    let ret =
        unsafe { call(libc::SYS_sched_setaffinity, [0, size_of_val(&mask) as u64, mask.as_ptr() as u64, 0, 0, 0]) };
    must(ret, "sched_setaffinity");
}

/// Ends the process by exactly one `exit_group`, without the C library's handlers.
pub fn exit_group(code: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(libc::SYS_exit_group, [code as u64, 0, 0, 0, 0, 0]) };
    }
}

/// Ends the calling thread by exactly one `exit`.
pub fn exit_thread() -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(libc::SYS_exit, [0; 6]) };
    }
}

/// A workload that cannot do what it says must not print counts.
pub fn must(ret: i64, what: &str) -> i64 {
    if ret < 0 {
        crate::protocol::fail(format_args!("{what}: errno {}", -ret));
    }
    ret
}
