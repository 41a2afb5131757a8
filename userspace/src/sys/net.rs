//! Network namespaces, and questions to the kernel about the sockets in one of them.
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::thread;

use super::process::check;

/// Does something in a network namespace, on a thread of its own: the namespace is a thread's, and this one keeps its.
///
/// Errors: EPERM without CAP_SYS_ADMIN, here and where the namespace belongs; EINVAL where `namespace` is none.
pub fn within<T: Send>(namespace: BorrowedFd, act: impl FnOnce() -> T + Send) -> Result<T> {
    let inside = || {
        // SAFETY: takes no pointers, and changes nothing but this thread.
        check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
        Ok(act())
    };
    thread::scope(|scope| {
        let done = thread::Builder::new().spawn_scoped(scope, inside)?.join();
        // It panicked, which goes on here.
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A netlink socket of NETLINK_SOCK_DIAG, which belongs to the namespace that the thread is in.
pub struct SockDiag(File);

/// The kernel fills at most 32 KiB (v5.10 net/netlink/af_netlink.c, netlink_dump), more if the reader has more room.
const ANSWER_BYTES: usize = 64 << 10;

impl SockDiag {
    pub fn open() -> Result<SockDiag> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) })?;
        // SAFETY: it was just made for us alone.
        Ok(SockDiag(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Asks, and hands over answers, each with one message or several, until it is told that there are no more.
    ///
    /// Errors: those of the calls and of `each`; `InvalidData` for an answer that had no room.
    pub fn ask(&self, question: &[u8], mut each: impl FnMut(&[u8]) -> Result<Answered>) -> Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: as long as said. An address is not needed: 0 is the kernel.
        let sent = unsafe { libc::send(fd, question.as_ptr().cast(), question.len(), 0) };
        if sent < 0 {
            return Err(Error::last_os_error());
        }
        let mut answer = vec![0; ANSWER_BYTES];
        loop {
            // SAFETY: room for as much as said; MSG_TRUNC gives the length that it has, not that of what we got.
            let length = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), libc::MSG_TRUNC) };
            let length = match usize::try_from(length) {
                Ok(length) => length,
                Err(_) => match Error::last_os_error() {
                    error if error.kind() == ErrorKind::Interrupted => continue,
                    error => return Err(error),
                },
            };
            let whole = answer.get(..length).filter(|answer| !answer.is_empty());
            let whole = whole.ok_or_else(|| Error::new(ErrorKind::InvalidData, "an answer of the kernel was cut"))?;
            if each(whole)? == Answered::All {
                return Ok(());
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    Some,
    All,
}
