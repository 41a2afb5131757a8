//! Files of tracefs, mounted or not.
use std::fs;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

const MOUNTED: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const FSCONFIG_CMD_CREATE: u32 = 6;

/// Where tracefs is. Kept while many files are read: a mount of our own is then made once.
pub struct Tracefs {
    root: PathBuf,
    /// What keeps a mount without a place alive; `root` leads to it through /proc.
    own: Option<OwnedFd>,
}

impl Tracefs {
    /// Where nobody has mounted tracefs, a mount of our own that has no place in the file system.
    ///
    /// Kernel: 5.2 for the mount without a place.
    pub fn open() -> Result<Tracefs> {
        let mounted = |root: &&&str| fs::exists(format!("{root}/events")).unwrap_or(false);
        if let Some(root) = MOUNTED.iter().find(mounted) {
            return Ok(Tracefs { root: PathBuf::from(root), own: None });
        }
        Tracefs::unplaced()
    }

    /// Where it is mounted. None: it is a mount of our own.
    pub fn mounted(&self) -> Option<&std::path::Path> {
        self.own.is_none().then_some(&self.root)
    }

    fn unplaced() -> Result<Tracefs> {
        let mount = mount()?;
        Ok(Tracefs { root: format!("/proc/self/fd/{}", mount.as_raw_fd()).into(), own: Some(mount) })
    }

    /// Errors: ENOENT where it has no such file, EPERM where the kernel is locked down.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root.join(path))
    }

    /// Names of the folders in a folder such as `events`, sorted.
    pub fn folders(&self, path: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(path))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Reads one file, such as `events/raw_syscalls/sys_exit/id`.
pub fn read(path: &str) -> Result<String> {
    Tracefs::open()?.read(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs root for the mount; who may not mount is told so.
    #[test]
    fn amount_of_ours_without_a_place_has_what_themount_of_oursed_one_has() {
        let path = "events/sched/sched_switch/id";
        match Tracefs::unplaced() {
            Ok(unplaced) => {
                assert_eq!(unplaced.read(path).unwrap(), read(path).unwrap());
                assert_eq!(
                    unplaced.folders("events/sched").unwrap(),
                    Tracefs::open().unwrap().folders("events/sched").unwrap()
                );
            }
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)), "{error}"),
        }
    }
}
