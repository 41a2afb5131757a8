//! A network namespace: held by a descriptor, entered by threads that come and go.
use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use crate::sys;

pub struct Namespace(File);

/// Gone when it is dropped.
pub struct Mount(CString);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = sys::unmount(&self.0);
    }
}

impl Namespace {
    /// With nothing in it but a loopback device that is down.
    pub fn new() -> Result<Namespace> {
        let made = thread::scope(|scope| {
            let made = scope.spawn(|| {
                sys::unshare_net().context("make a network namespace")?;
                File::open("/proc/thread-self/ns/net").context("open a network namespace")
            });
            made.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        Ok(Namespace(made?))
    }

    /// Runs `what` in there, and waits. Sockets that it makes and processes that it starts stay there.
    /// `/proc/net` is the first thread's: `/proc/thread-self/net` is this one's.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let ran = scope.spawn(|| {
                sys::enter_net(&self.0).context("enter a network namespace")?;
                what()
            });
            ran.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Writes below /proc/sys: what the namespace has of its own there, which is most of `net`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| fs::write(format!("/proc/sys/{name}"), value).with_context(|| format!("write {value} to {name}")))
    }

    /// A file of /proc/net, as it is in there.
    pub fn proc_net(&self, name: &str) -> Result<String> {
        self.run(|| fs::read_to_string(format!("/proc/thread-self/net/{name}")).with_context(|| format!("read {name}")))
    }

    /// Held by a file of this name, too, as `ip netns` and container engines do it.
    pub fn mount(&self, at: &Path) -> Result<Mount> {
        File::create(at)?;
        let at = CString::new(at.as_os_str().as_bytes())?;
        let from = CString::new(format!("/proc/self/fd/{}", self.fd()))?;
        sys::bind_mount(&from, &at).context("mount a network namespace")?;
        Ok(Mount(at))
    }

    /// The number that `/proc/PID/ns/net` of its processes shows.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.0.metadata()?.ino())
    }

    /// For messages that name it.
    pub(super) fn fd(&self) -> u32 {
        use std::os::fd::AsRawFd;
        self.0.as_raw_fd() as u32
    }
}
