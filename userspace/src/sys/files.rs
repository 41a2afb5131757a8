//! What std's files lack: a name for one that has none yet.
use std::ffi::CString;
use std::io::Result;
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
