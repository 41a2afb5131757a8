//! Processes and the machine: descriptors of processes, clocks, capabilities.
use std::fs;
use std::io::{Error, Result};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use tokio::io::unix::AsyncFd;

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

/// Does something on each CPU that this thread may run on.
pub fn on_each_cpu(mut act: impl FnMut()) -> Result<()> {
    // SAFETY: a set of CPUs is plain numbers, and each call is told how many bytes it has.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of_val(&allowed), &mut allowed))?;
        for cpu in (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed)) {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut one);
            if libc::sched_setaffinity(0, size_of_val(&one), &one) == 0 {
                act();
            }
        }
        check(libc::sched_setaffinity(0, size_of_val(&allowed), &allowed))?;
    }
    Ok(())
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

pub(super) fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}
