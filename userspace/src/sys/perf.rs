//! `perf_event_open(2)`: an event as a descriptor, with a BPF program on it, or as a ring of records.
use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::perf_ring::Ring;

pub const TYPE_HARDWARE: u32 = 0;
pub const TYPE_SOFTWARE: u32 = 1;
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FORMAT_TOTAL_TIME_ENABLED: u64 = 1;
/// Bit of the attribute's flags: `sample_period` is a frequency.
const FREQ: u64 = 1 << 10;
const PERF_FLAG_FD_CLOEXEC: u64 = 8;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// struct perf_event_attr up to PERF_ATTR_SIZE_VER1 (v5.10 include/uapi/linux/perf_event.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
}

/// Runs `program` at every hit of the tracepoint with this number, on all CPUs, until the descriptor is closed.
///
/// Errors: EACCES or EPERM without CAP_PERFMON. Kernel: 4.7.
pub fn attach_tracepoint(id: u64, program: BorrowedFd) -> Result<OwnedFd> {
    // One event on one CPU serves: a tracepoint's programs run before it is looked who listens there.
    let attr = Attr {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<Attr>() as u32,
        config: id,
        sample_period: 1,
        ..Attr::default()
    };
    let event = open(&attr, -1, 0)?;
    ioctl(&event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd())?;
    ioctl(&event, PERF_EVENT_IOC_ENABLE, 0)?;
    Ok(event)
}

/// Where a probe is put.
#[derive(Debug, Clone, Copy)]
pub enum ProbePlace<'a> {
    /// An instruction of a file, with the place of a semaphore that counts who listens.
    File { path: &'a CStr, offset: u64, semaphore: u64 },
    /// An instruction of the kernel, by its distance in bytes from a function's first.
    Kernel { symbol: &'a CStr, offset: u64 },
}

/// A probe as an event that no program listens to yet, in one process or (None) in all. Closing it takes 0.1 s and more.
///
/// Errors: `Unsupported` where the kernel has no such events; ENOENT for a symbol or file that is none; EILSEQ
/// where no instruction of the kernel begins; EPERM. Kernel: 4.17.
pub fn open_probe(place: ProbePlace, at_return: bool, pid: Option<u32>) -> Result<OwnedFd> {
    const SEMAPHORE_SHIFT: u32 = 32;
    let (unit, name, offset, semaphore) = match place {
        ProbePlace::File { path, offset, semaphore } => ("uprobe", path, offset, semaphore),
        ProbePlace::Kernel { symbol, offset } => ("kprobe", symbol, offset, 0),
    };
    let folder = format!("/sys/bus/event_source/devices/{unit}");
    if !std::fs::exists(&folder)? {
        let what = format!("the kernel was built without {unit}s");
        return Err(Error::new(std::io::ErrorKind::Unsupported, what));
    }
    let number = |file: &str, prefix: &str| -> Result<u64> {
        let text = std::fs::read_to_string(format!("{folder}/{file}"))?;
        let digits = text.trim().strip_prefix(prefix).and_then(|digits| digits.parse().ok());
        digits.ok_or_else(|| Error::new(std::io::ErrorKind::InvalidData, format!("{folder}/{file} reads `{text}`")))
    };
    let returns = if at_return { 1 << number("format/retprobe", "config:")? } else { 0 };
    let attr = Attr {
        kind: number("type", "")? as u32,
        size: size_of::<Attr>() as u32,
        config: returns | semaphore << SEMAPHORE_SHIFT,
        sample_period: 1,
        config1: name.as_ptr() as u64,
        config2: offset,
        ..Attr::default()
    };
    // Programs run on whatever CPU, though an event of all processes has one.
    match pid {
        Some(pid) => open(&attr, pid as i32, -1),
        None => open(&attr, -1, 0),
    }
}

/// Lets the program run at an event's hits.
pub fn listen(event: &OwnedFd, program: BorrowedFd) -> Result<()> {
    ioctl(event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd())?;
    enable(event)
}

pub fn enable(event: &OwnedFd) -> Result<()> {
    ioctl(event, PERF_EVENT_IOC_ENABLE, 0)
}

/// How often an event samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Every so many of what it counts: ns for a clock.
    Every(u64),
    /// So many a second; the kernel adapts the period.
    Hz(u64),
}

/// Whether this machine has the event.
///
/// Errors: ENOENT or EOPNOTSUPP where it has not; EACCES or EPERM without CAP_PERFMON.
pub fn try_event(kind: u32, config: u64) -> Result<()> {
    open(&attr(kind, config, Rate::Every(1 << 40)), 0, -1).map(drop)
}

/// Runs `program` at every sample of the event on this CPU, until the descriptor is closed.
///
/// Errors: as of [`try_event`]; ENODEV for a CPU that is offline. Kernel: 4.9.
pub fn attach_sampler(kind: u32, config: u64, rate: Rate, cpu: u32, program: BorrowedFd) -> Result<OwnedFd> {
    let event = open(&attr(kind, config, rate), -1, cpu as i32)?;
    ioctl(&event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd())?;
    ioctl(&event, PERF_EVENT_IOC_ENABLE, 0)?;
    Ok(event)
}

fn attr(kind: u32, config: u64, rate: Rate) -> Attr {
    const DISABLED: u64 = 1;
    let (sample_period, freq) = match rate {
        Rate::Every(period) => (period, 0),
        Rate::Hz(hz) => (hz, FREQ),
    };
    Attr {
        kind,
        size: size_of::<Attr>() as u32,
        config,
        sample_period,
        read_format: PERF_FORMAT_TOTAL_TIME_ENABLED,
        flags: DISABLED | freq,
        ..Attr::default()
    }
}

/// Records of every mapping of code that is made on this CPU, by whomever, and of every task that is born there. Each
/// record ends in its time.
///
/// Errors: as of [`attach_sampler`]. Kernel: 3.16.
pub fn watch_mappings(cpu: u32) -> Result<Ring> {
    const PERF_COUNT_SW_DUMMY: u64 = 9;
    const PERF_SAMPLE_TIME: u64 = 1 << 2;
    const MMAP: u64 = 1 << 8;
    const TASK: u64 = 1 << 13;
    const SAMPLE_ID_ALL: u64 = 1 << 18;
    const MMAP2: u64 = 1 << 23;
    let attr = Attr {
        kind: TYPE_SOFTWARE,
        size: size_of::<Attr>() as u32,
        config: PERF_COUNT_SW_DUMMY,
        sample_type: PERF_SAMPLE_TIME,
        flags: MMAP | TASK | SAMPLE_ID_ALL | MMAP2,
        ..Attr::default()
    };
    // No descriptor stays open: the mapping keeps the event.
    Ring::map(open(&attr, -1, cpu as i32)?.as_fd())
}

/// How long a sampler has been enabled, ns.
pub fn enabled_ns(event: BorrowedFd) -> Result<u64> {
    let mut words = [0u64; 2];
    let room = size_of_val(&words);
    // SAFETY: room for as much as is asked for: the count and the time.
    let read = unsafe { libc::read(event.as_raw_fd(), words.as_mut_ptr().cast(), room) };
    if read < 0 { Err(Error::last_os_error()) } else { Ok(words[1]) }
}

fn open(attr: &Attr, pid: i32, cpu: i32) -> Result<OwnedFd> {
    // SAFETY: `attr` is as long as it says.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(attr), pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: it was just made for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn ioctl(event: &OwnedFd, request: libc::c_ulong, argument: i32) -> Result<()> {
    // SAFETY: both requests take a number.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
