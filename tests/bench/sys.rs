//! The raw calls of the benches, and all their unsafe code.
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub use spoor_tests::sys::{check, kill};

/// What a process cost, from the kernel's own books.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub status: i32,
    pub cpu: Duration,
}

/// The number of the system call that waits for descriptors.
pub const POLL: i64 = libc::SYS_poll;

/// getppid with a first argument that the kernel does not look at.
pub fn getppid(arg0: u64) {
    // SAFETY: takes no pointers.
    unsafe { libc::syscall(libc::SYS_getppid, arg0) };
}

pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for one.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// This thread to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: a set is plain bits, and the calls take its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of_val(&set), &set).into()).map(drop)
    }
}

pub fn unpin() -> io::Result<()> {
    // SAFETY: as above; the kernel takes those that there are.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (0..libc::CPU_SETSIZE as usize).for_each(|cpu| libc::CPU_SET(cpu, &mut set));
        check(libc::sched_setaffinity(0, size_of_val(&set), &set).into()).map(drop)
    }
}

pub fn online_cpus() -> usize {
    // SAFETY: takes no pointers.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1) as usize
}

/// Before everybody else on its CPU: what the neighbours do is not measured.
pub fn real_time() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: `param` outlives the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) }.into()).map(drop)
}

pub fn ordinary() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` outlives the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &param) }.into()).map(drop)
}

pub fn set_comm(name: &str) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: a string that outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// The command will see `folder` as its root, with tracefs in it; nothing of that is left behind.
pub fn inside(command: &mut Command, folder: &Path) {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
    let (root, tracing) = (text(folder), text(&folder.join("sys/kernel/tracing")));
    // SAFETY: between fork and exec only system calls, on strings made before.
    unsafe {
        command.pre_exec(move || {
            let none = std::ptr::null();
            check(libc::unshare(libc::CLONE_NEWNS).into())?;
            check(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()).into())?;
            let tracefs = c"tracefs".as_ptr();
            check(libc::mount(tracefs, tracing.as_ptr(), tracefs, 0, none.cast()).into())?;
            check(libc::chroot(root.as_ptr()).into())?;
            check(libc::chdir(c"/".as_ptr()).into()).map(drop)
        })
    };
}

/// Waits for the end of a child of ours that nobody has waited for.
pub fn wait(pid: u32) -> io::Result<Usage> {
    let mut status = 0;
    // SAFETY: plain numbers, and room for one of each.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        check(libc::wait4(pid as i32, &mut status, 0, &mut usage).into())?;
        let time = |t: libc::timeval| Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64);
        let cpu = time(usage.ru_utime) + time(usage.ru_stime);
        Ok(Usage { status, cpu })
    }
}

/// CPU time that all threads of a process have had, those that ended, too.
pub fn cpu_of(pid: u32) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut clock = 0;
    // SAFETY: room for one of each.
    let failed = unsafe { libc::clock_getcpuclockid(pid as i32, &mut clock) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    // SAFETY: room for one.
    check(unsafe { libc::clock_gettime(clock, &mut time) }.into())?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// How many BPF programs there are on the machine.
pub fn bpf_programs() -> io::Result<usize> {
    const BPF_PROG_GET_NEXT_ID: i32 = 11;
    let (mut attributes, mut programs) = ([0u32; 3], 0);
    loop {
        // SAFETY: as long as said; the kernel writes the next id behind the one that it is given.
        match check(unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_GET_NEXT_ID, attributes.as_mut_ptr(), size_of_val(&attributes))
        }) {
            Ok(_) => programs += 1,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(programs),
            Err(error) => return Err(error),
        }
        attributes[0] = attributes[1];
    }
}

/// What the kernel says of a program that is loaded.
pub struct Program {
    pub name: String,
    pub run_time_ns: u64,
    pub runs: u64,
    /// Instructions that the verifier walked; 0 before 5.16.
    pub verified: u64,
}

pub fn bpf_program(id: u32) -> io::Result<Program> {
    const BPF_PROG_GET_FD_BY_ID: i32 = 13;
    const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
    // struct bpf_prog_info (v6.1 include/uapi/linux/bpf.h), in words: the name's 16 bytes at 8, run_time_ns 24, run_cnt 25,
    // verified_insns 27.
    let mut info = [0u64; 32];
    let by_id = [id, 0, 0];
    // SAFETY: as long as said; the kernel writes no more of `info` than it is told that there is.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, by_id.as_ptr(), size_of_val(&by_id)))?;
        let fd = OwnedFd::from_raw_fd(fd as i32);
        let about = [fd.as_raw_fd() as u64 | (size_of_val(&info) as u64) << 32, info.as_mut_ptr() as u64];
        check(libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, about.as_ptr(), size_of_val(&about)))?;
    }
    let name: Vec<u8> = info[8..10].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Program { name, run_time_ns: info[24], runs: info[25], verified: info[27] & 0xffff_ffff })
}

/// The kernel keeps the time and the number of runs of every program as long as this is open, whoever else wants it
/// (sysctl kernel.bpf_stats_enabled) and however we end. Kernel: 5.8.
pub fn count_runs() -> io::Result<OwnedFd> {
    const BPF_ENABLE_STATS: i32 = 32;
    const RUN_TIME: u32 = 0;
    let attributes = [RUN_TIME];
    // SAFETY: as long as said.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attributes.as_ptr(), size_of_val(&attributes))
    })?;
    // SAFETY: a descriptor that was just opened and that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A function of two numbers in a library, which stays loaded.
pub struct Function(extern "C" fn(u64, u64) -> u64);

impl Function {
    pub fn load(library: &str, name: &CStr) -> io::Result<Function> {
        let path = CString::new(library)?;
        // SAFETY: strings that end. The tracee's library runs nothing when it is loaded.
        let address = unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            if handle.is_null() { std::ptr::null_mut() } else { libc::dlsym(handle, name.as_ptr()) }
        };
        if address.is_null() {
            return Err(io::Error::other(format!("no {name:?} in `{library}`")));
        }
        // SAFETY: of the type that tests/tracee/tracee.h gives it.
        Ok(Function(unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn(u64, u64) -> u64>(address) }))
    }

    pub fn call(&self, a: u64, b: u64) {
        (self.0)(a, b);
    }
}

/// Errors: a minute has passed.
pub fn wait_for_no_bpf_programs() -> io::Result<()> {
    for _ in 0..6_000 {
        if bpf_programs()? == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other("BPF programs of others are loaded (bpftool prog list): nothing can be measured"))
}

/// Ends when the process has ended, without reaping it.
pub fn wait_ended(pid: u32, at_most: Duration) -> io::Result<bool> {
    spoor_tests::sys::wait_for_end(pid, at_most)
}
