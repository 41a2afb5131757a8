//! The raw calls of the harness, and all its unsafe code.
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

pub use libc::{SIGINT, SIGKILL, SIGTERM};

pub fn is_root() -> bool {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() == 0 }
}

pub fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(pid as i32, signal) }.into()).map(drop)
}

/// Waits until a child has ended, without reaping it; false where it runs on. pidfd_open: 5.3.
pub fn wait_for_end(pid: u32, at_most: Duration) -> io::Result<bool> {
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a descriptor that was just opened and that nobody else has.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry.
    Ok(check(unsafe { libc::poll(&mut poll, 1, at_most.as_millis() as i32) }.into())? == 1)
}

/// Waits until a child of ours has ended, and leaves it a zombie.
pub fn wait_without_reaping(pid: u32) -> io::Result<()> {
    // SAFETY: room for one answer.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT).into())?;
    }
    Ok(())
}

/// Stops a child of ours, and waits until all its threads do nothing any more.
///
/// Errors: ESRCH where it has ended.
pub fn stop(pid: u32) -> io::Result<()> {
    kill(pid, libc::SIGSTOP)?;
    // SAFETY: room for one answer, which is zero where there is none.
    let code = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let what = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
        check(libc::waitid(libc::P_PID, pid, &mut info, what).into())?;
        info.si_code
    };
    if code == libc::CLD_STOPPED { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// What the command may not do.
#[derive(Clone, Copy, Debug)]
pub enum Lower {
    /// Another user without any capability.
    Nobody,
    /// Root by name: the bounding set is empty, so the new program gets none.
    RootWithoutCapabilities,
}

pub const NOBODY: u32 = 65534;

pub fn lower(command: &mut Command, how: Lower) {
    let drop_all = move || match how {
        Lower::Nobody => {
            // SAFETY: the first takes an empty list, the others no pointers; the group goes first, while it still may.
            check(unsafe { libc::setgroups(0, std::ptr::null()) }.into())?;
            check(unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) }.into())?;
            check(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }.into()).map(drop)
        }
        Lower::RootWithoutCapabilities => {
            // The kernel says where its capabilities end (EINVAL).
            // SAFETY: takes no pointers.
            for capability in 0..64 {
                unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
            }
            Ok(())
        }
    };
    // SAFETY: between fork and exec only system calls.
    unsafe { command.pre_exec(drop_all) };
}

/// The ids of the kernel's BPF objects are looked up by number; absent ones are ENOENT.
pub fn bpf_object_exists(kind: BpfObject, id: u32) -> io::Result<bool> {
    let command = match kind {
        BpfObject::Program => 13, // BPF_PROG_GET_FD_BY_ID
        BpfObject::Map => 14,     // BPF_MAP_GET_FD_BY_ID
        BpfObject::Link => 30,    // BPF_LINK_GET_FD_BY_ID
    };
    let attributes = [id, 0, 0, 0];
    // SAFETY: as long as said; zeros where we want nothing.
    match check(unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes)) }) {
        Ok(fd) => {
            // SAFETY: a descriptor that was just opened and that nobody else has.
            drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
            Ok(true)
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BpfObject {
    Program,
    Map,
    Link,
}

/// A pipe whose reader is gone: writing to it is EPIPE.
pub fn broken_pipe() -> io::Result<OwnedFd> {
    let [reader, writer] = pipe()?;
    drop(reader);
    Ok(writer)
}

/// Reading end, writing end; not for children unless they are handed over.
pub fn pipe() -> io::Result<[OwnedFd; 2]> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    // SAFETY: descriptors that were just opened and that nobody else has.
    Ok(fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The number that `fs::metadata` says, of the caller's device and file: what a cgroup's id is.
pub fn inode(path: &std::path::Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(path)?.ino())
}

pub fn check(ret: i64) -> io::Result<i64> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// A counter of a uprobe, of `path` at `offset`, on one CPU. It counts at once.
pub fn perf_uprobe(kind: u32, config: u64, path: &std::path::Path, offset: u64, cpu: usize) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // struct perf_event_attr, version 1: type and size, config, sample_period, sample_type, read_format, flags, wakeup
    // and breakpoint type, config1 (the path), config2 (the offset).
    const SIZE: u64 = 72;
    let words = [u64::from(kind) | SIZE << 32, config, 0, 0, 0, 0, 0, path.as_ptr() as u64, offset];
    const PERF_FLAG_FD_CLOEXEC: u64 = 8;
    let (pid, group) = (-1, -1);
    // SAFETY: as long as said; the path outlives the call.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_perf_event_open, words.as_ptr(), pid, cpu, group, PERF_FLAG_FD_CLOEXEC)
    })?;
    // SAFETY: a descriptor that was just opened and that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// One that we may run on.
pub fn own_cpu() -> io::Result<usize> {
    // SAFETY: takes nothing.
    Ok(check(unsafe { libc::sched_getcpu() }.into())? as usize)
}

/// The command and all that comes of it run on one CPU.
pub fn pin(command: &mut Command, cpu: usize) {
    let pin = move || {
        // SAFETY: a set is plain bits, and the calls take its size.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            check(libc::sched_setaffinity(0, size_of_val(&set), &set).into()).map(drop)
        }
    };
    // SAFETY: between fork and exec only a system call.
    unsafe { command.pre_exec(pin) };
}

/// One `read` of 8 bytes.
pub fn read_number(from: &OwnedFd) -> io::Result<u64> {
    let mut number = 0u64;
    // SAFETY: room for it.
    let read = check(unsafe { libc::read(from.as_raw_fd(), (&raw mut number).cast(), size_of_val(&number)) } as i64)?;
    if read as usize == size_of_val(&number) { Ok(number) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The calling thread has a network namespace of its own from now on.
pub fn unshare_net() -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into()).map(drop)
}

/// The calling thread is in that one from now on.
pub fn enter_net(namespace: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }.into()).map(drop)
}

/// What `from` is, is at `at`, too.
pub fn bind_mount(from: &CStr, at: &CStr) -> io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: the paths end in NUL; a mount that is bound takes neither type nor options.
    check(unsafe { libc::mount(from.as_ptr(), at.as_ptr(), none, libc::MS_BIND, none.cast()) }.into()).map(drop)
}

/// Also what is still in use.
pub fn unmount(at: &CStr) -> io::Result<()> {
    // SAFETY: the path ends in NUL.
    check(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// All that the calling thread may run on.
pub fn own_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a set is plain bits, and the call takes its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of_val(&set), &mut set).into())?;
        Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect())
    }
}

/// The calling thread, from now on.
pub fn run_on(cpu: usize) -> io::Result<()> {
    // SAFETY: a set is plain bits, and the call takes its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of_val(&set), &set).into()).map(drop)
    }
}
