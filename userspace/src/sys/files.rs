//! What std's files lack: a name for one that has none yet, which file system one is on, code that is only looked at.
use std::ffi::{CString, c_void};
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::process::check;

/// Gives a file of O_TMPFILE its name. Errors: EEXIST where something has it. Needs /proc: the other way,
/// AT_EMPTY_PATH, is for CAP_DAC_READ_SEARCH only.
pub fn link(file: BorrowedFd, name: &Path) -> Result<()> {
    let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let to = CString::new(name.as_os_str().as_bytes())?;
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: NUL-terminated paths.
    check(unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), follow) }).map(drop)
}

/// Whether a file is on an overlay of other file systems, as in most containers. Not known: false.
pub fn is_overlaid(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a NUL-terminated path, and room for the answer, which is there if the kernel says so.
    let answered =
        check(unsafe { libc::statfs(path.as_ptr(), about.as_mut_ptr()) }).map(|_| unsafe { about.assume_init() });
    answered.is_ok_and(|about| about.f_type as u64 == libc::OVERLAYFS_SUPER_MAGIC as u64)
}

/// A file in our memory as code, of which not a byte is read or run.
pub struct MappedCode {
    start: *mut c_void,
    bytes: usize,
}

impl MappedCode {
    /// Errors: EPERM on a file system that is mounted noexec.
    pub fn of(path: &Path) -> Result<MappedCode> {
        let file = File::open(path)?;
        let bytes = usize::try_from(file.metadata()?.len()).map_err(Error::other)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        // SAFETY: a place of the kernel's choice, which nobody else uses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(MappedCode { start, bytes }) }
    }
}

impl Drop for MappedCode {
    fn drop(&mut self) {
        // SAFETY: what was mapped, and nothing refers to it.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}
