//! Files of tracefs, mounted or not.
use std::fs::{self, File};
use std::io::{Error, Read, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MOUNTED: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const FSCONFIG_CMD_CREATE: u32 = 6;

/// Reads a file such as `events/raw_syscalls/sys_exit/id`. Where nobody has mounted tracefs, from a mount of our own that
/// has no place in the file system.
///
/// Errors: ENOENT where it has no such file. Kernel: 5.2 for the mount without a place.
pub fn read(path: &str) -> Result<String> {
    for root in MOUNTED {
        if fs::exists(format!("{root}/events")).unwrap_or(false) {
            return fs::read_to_string(format!("{root}/{path}"));
        }
    }
    let root = mount()?;
    let path = std::ffi::CString::new(path)?;
    // SAFETY: a NUL-terminated path; `root` is open.
    let fd = check(unsafe { libc::openat(root.as_raw_fd(), path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) }.into())?;
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text)?;
    Ok(text)
}

fn mount() -> Result<OwnedFd> {
    // SAFETY: a NUL-terminated name; 1 is FSOPEN_CLOEXEC.
    let context = check(unsafe { libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), 1) })?;
    // SAFETY: this command takes no key and no value.
    let created = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            std::ptr::null::<u8>(),
            std::ptr::null::<u8>(),
            0,
        )
    };
    if created < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: takes numbers; 1 is FSMOUNT_CLOEXEC.
    check(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) })
}

fn check(fd: libc::c_long) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
