//! PID 1 of a virtual machine whose initramfs holds /init (us), the tests' programs in /bin, rsyslogd in /rsyslog,
//! modules of its kernel, and nothing else.
use std::ffi::{CStr, CString};
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;

use crate::sys::check;

pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Before Rust's runtime starts: it wants /dev/null where a standard descriptor is closed, and aborts without it.
/// The initramfs may have no /dev/console, and the kernel opens nothing else for us.
pub fn early() {
    if !is_init() {
        return;
    }
    // SAFETY: strings that end; descriptors that nobody else has yet.
    unsafe {
        libc::mkdir(c"/dev".as_ptr(), 0o755);
        libc::mount(c"dev".as_ptr(), c"/dev".as_ptr(), c"devtmpfs".as_ptr(), 0, std::ptr::null());
        let console = libc::open(c"/dev/console".as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        if console >= 0 {
            for fd in 0..3 {
                libc::dup2(console, fd);
            }
            if console > 2 {
                libc::close(console);
            }
        }
    }
}

/// Mounts what a Linux system has. What fails is printed: a test will say what it misses.
pub fn set_up() {
    let mounts = [
        ("proc", "/proc", "proc"),
        ("sys", "/sys", "sysfs"),
        ("dev", "/dev", "devtmpfs"),
        ("tracing", "/sys/kernel/tracing", "tracefs"),
        ("bpf", "/sys/fs/bpf", "bpf"),
        ("cgroup", "/sys/fs/cgroup", "cgroup2"),
        ("tmp", "/tmp", "tmpfs"),
    ];
    for (source, at, kind) in mounts {
        if let Err(error) = fs::create_dir_all(at).and_then(|()| mount(source, at, kind)) {
            println!("vm: mount {kind} on {at}: {error}");
        }
    }
    if let Err(error) = load_modules() {
        println!("vm: load modules: {error}");
    }
    if let Err(error) = loopback_up() {
        println!("vm: bring lo up: {error}");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    println!(
        "vm: Linux {}, {} CPUs, {}",
        release.trim(),
        std::thread::available_parallelism().map_or(0, usize::from),
        command_line.trim()
    );
}

fn mount(source: &str, at: &str, kind: &str) -> std::io::Result<()> {
    let [source, at, kind] = [source, at, kind].map(|text| CString::new(text).expect("has no NUL"));
    // SAFETY: strings that end.
    match check(unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) }.into()) {
        // The kernel may have done it.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        result => result.map(drop),
    }
}

/// All that the initramfs has, by the order of their names.
fn load_modules() -> std::io::Result<()> {
    let files = fs::read_dir("/lib/modules")?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    for path in files {
        let module = fs::File::open(&path)?;
        let (no_parameters, flags) = (c"", 0);
        // SAFETY: a string that ends.
        let ret = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), no_parameters.as_ptr(), flags) };
        if let Err(error) = check(ret) {
            println!("vm: load {}: {error}", path.display());
        }
    }
    Ok(())
}

fn loopback_up() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let name: &CStr = c"lo";
    // SAFETY: all zeros is a value of ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the request lives until the call returns.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into()).map(drop)
}

/// The last line on the console, then the power goes.
pub fn power_off(code: u8) -> ! {
    println!("SPOOR-VM-EXIT {code}");
    let _ = std::io::stdout().flush();
    // SAFETY: takes no pointers. The console may be slower than the reboot.
    unsafe {
        libc::tcdrain(1);
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    // The kernel panics when PID 1 ends, so it does not.
    loop {
        std::thread::park();
    }
}
