//! Processes and the machine: a command that waits before its first instruction, descriptors of processes, capabilities.
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tokio::io::unix::AsyncFd;

/// A forked child that stopped itself before exec.
#[derive(Debug)]
pub struct Stopped {
    pub pid: u32,
    /// Closed by a successful exec; carries errno after a failed one.
    failure: OwnedFd,
}

/// The file that `execvp` would run.
pub fn find_command(name: &OsStr) -> Option<PathBuf> {
    let executable = |path: &Path| {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: a NUL-terminated path.
        (unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0).then_some(())
    };
    if name.as_bytes().contains(&b'/') {
        // Whether it may be run is for exec to say, which knows why not.
        let path = PathBuf::from(name);
        return path.exists().then_some(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && executable(file).is_some())
}

/// Forks a child that stops itself and, once it is continued, becomes `file` with `args`.
///
/// Between the stop and the new program's first instruction the child makes one system call: execve. Not std's Command:
/// it waits for the exec, which would wait for us.
pub fn spawn_stopped(file: &Path, args: &[OsString]) -> Result<Stopped> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    let args = args.iter().map(|arg| CString::new(arg.as_bytes())).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut argv: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut pipe: [RawFd; 2] = [0; 2];
    // SAFETY: `pipe` has room for two.
    check(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were just made for us alone.
    let (read, write) = unsafe { (OwnedFd::from_raw_fd(pipe[0]), OwnedFd::from_raw_fd(pipe[1])) };
    // SAFETY: this process has one thread (a current-thread runtime), and the child calls only what is safe after fork.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        // SAFETY: plain system calls on memory that was prepared before the fork.
        unsafe {
            // A signal that spoor blocks or ignores is not the command's business.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let me = libc::syscall(libc::SYS_getpid);
            libc::syscall(libc::SYS_kill, me, libc::SIGSTOP);
            libc::execv(path.as_ptr(), argv.as_ptr());
            let errno = *libc::__errno_location();
            libc::write(write.as_raw_fd(), std::ptr::from_ref(&errno).cast(), size_of::<i32>());
            libc::_exit(127);
        }
    }
    drop(write);
    let mut status = 0;
    // SAFETY: waits for our own child.
    check(unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) })?;
    Ok(Stopped { pid: pid as u32, failure: read })
}

impl Stopped {
    /// Lets it run; the error that exec gave, if it failed.
    pub fn release(&self) -> Result<()> {
        // SAFETY: our own child, which was not waited for.
        check(unsafe { libc::kill(self.pid as i32, libc::SIGCONT) })?;
        let mut errno = 0i32;
        // SAFETY: `errno` has room; a closed pipe gives 0 bytes.
        let read =
            unsafe { libc::read(self.failure.as_raw_fd(), std::ptr::from_mut(&mut errno).cast(), size_of::<i32>()) };
        if read == size_of::<i32>() as isize { Err(Error::from_raw_os_error(errno)) } else { Ok(()) }
    }

    /// Ends a child that never was to run.
    pub fn abandon(&self) {
        // SAFETY: our own child.
        unsafe { libc::kill(self.pid as i32, libc::SIGKILL) };
        let _ = self.wait();
    }

    /// How it went, if it has ended.
    pub fn try_wait(&self) -> Result<Option<std::process::ExitStatus>> {
        let mut status = 0;
        // SAFETY: our own child.
        let pid = check(unsafe { libc::waitpid(self.pid as i32, &mut status, libc::WNOHANG) })?;
        Ok((pid != 0).then(|| std::os::unix::process::ExitStatusExt::from_raw(status)))
    }

    fn wait(&self) -> Result<std::process::ExitStatus> {
        let mut status = 0;
        // SAFETY: our own child.
        check(unsafe { libc::waitpid(self.pid as i32, &mut status, 0) })?;
        Ok(std::os::unix::process::ExitStatusExt::from_raw(status))
    }
}

/// The process that a thread belongs to.
pub fn process_of_thread(tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Becomes ready when a process ends.
pub struct ProcessEnd(AsyncFd<OwnedFd>);

impl ProcessEnd {
    /// Errors: ESRCH where it has ended already. Kernel: 5.3.
    pub fn of(pid: u32) -> Result<ProcessEnd> {
        // SAFETY: plain system call.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32)?;
        // SAFETY: it was just made for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an OwnedFd keeps its descriptor open until it is dropped, and nothing replaces it.
        Ok(ProcessEnd(unsafe { AsyncFd::register(fd) }?))
    }

    pub async fn wait(&self) {
        // An error means that there is nothing to wait for.
        let _ = self.0.readable().await;
    }
}

pub fn own_id() -> u32 {
    std::process::id()
}

/// True where a thread of this number exists and can be named in a path.
pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).join("stat").exists()
}

/// True where no thread of the process runs any more, whether or not its parent has asked for its end.
pub fn has_ended(pid: u32) -> bool {
    // A leader that has ended is a zombie as long as others of its threads run.
    state(pid).is_none_or(|(state, threads)| is_end(&state) && threads <= 1)
}

/// The same of one thread.
pub fn thread_has_ended(tid: u32) -> bool {
    state(tid).is_none_or(|(state, _)| is_end(&state))
}

fn is_end(state: &str) -> bool {
    matches!(state, "Z" | "X")
}

/// A thread's state and how many threads its process has: fields 3 and 20 of its stat, proc(5).
fn state(tid: u32) -> Option<(String, u32)> {
    let stat = fs::read(format!("/proc/{tid}/stat")).ok()?;
    let behind_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&stat[behind_name + 1..]);
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?.to_owned(), fields.nth(16)?.parse().ok()?))
}

/// Waits until every BPF program that runs now has ended: membarrier's global command is synchronize_rcu
/// (v5.10 kernel/sched/membarrier.c).
pub fn wait_for_grace_period() {
    const MEMBARRIER_CMD_GLOBAL: i32 = 1;
    // SAFETY: plain system call. Where it does not exist, what is read may lack a firing that is under way.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
}

/// CPUs that could ever be there: per-CPU values have one each.
pub fn possible_cpus() -> u32 {
    let list = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = list.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<u32>().ok());
    last.map_or(1, |last| last + 1)
}

pub fn memory_bytes() -> u64 {
    // SAFETY: plain library calls.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).unwrap_or(0) * u64::try_from(page).unwrap_or(0)
}

/// Capabilities that tracing needs and this process lacks, as setcap(8) writes them.
pub fn missing_capabilities() -> Vec<&'static str> {
    const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = effective_capabilities();
    if effective & 1 << CAP_SYS_ADMIN != 0 {
        return Vec::new();
    }
    NEEDED.iter().filter(|(_, bit)| effective & 1 << bit == 0).map(|(name, _)| *name).collect()
}

pub fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// Lifts the limit of locked memory. False where it was lifted already or may not be.
pub fn raise_memlock() -> bool {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one limit.
    memlock() != unlimited.rlim_cur && unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &unlimited) } == 0
}

/// Bytes of memory that this process may lock.
pub fn memlock() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for one limit.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    limit.rlim_cur
}

/// Distance of the wall clock from the monotonic one that BPF reads, ns.
pub fn unix_minus_monotonic_ns() -> i64 {
    now_ns(libc::CLOCK_REALTIME) as i64 - now_ns(libc::CLOCK_MONOTONIC) as i64
}

pub fn monotonic_ns() -> u64 {
    now_ns(libc::CLOCK_MONOTONIC)
}

pub fn unix_ns() -> u64 {
    now_ns(libc::CLOCK_REALTIME)
}

fn now_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room; both clocks exist everywhere.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}
