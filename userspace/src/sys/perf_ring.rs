//! The ring that a perf event writes records to, mapped: an event in, the bytes of whole records out.
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// An exec of a program with two libraries is some 600 B: 100 of them, on each CPU, before records are lost.
const DATA_BYTES: usize = 64 << 10;
/// A record with a path of PATH_MAX.
const LONGEST: usize = 4096 + 128;
/// struct perf_event_mmap_page (v5.10 include/uapi/linux/perf_event.h).
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// Keeps its event alive, also when the descriptor is closed.
pub struct Ring {
    start: NonNull<u8>,
    page: usize,
    data: usize,
}

impl Ring {
    /// Errors: EPERM where more memory would be locked than perf_event_mlock_kb allows.
    pub fn map(event: BorrowedFd) -> Result<Ring> {
        // SAFETY: plain library call.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let data = DATA_BYTES.max(page);
        // Writable, or the kernel overwrites what was not read and does not say so.
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel likes.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), page + data, access, libc::MAP_SHARED, event.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(Ring { start: NonNull::new(start.cast()).expect("nothing is mapped at 0"), page, data })
    }

    /// Appends what came since the last time, and makes room for more. False where something may not have found room: the
    /// kernel's own record of that comes with the next one that does, which may be never.
    pub fn take(&mut self, to: &mut Vec<u8>) -> bool {
        // Acquire, with the kernel's barrier before it moves the head: the records are there before it.
        let head = self.position(DATA_HEAD).load(Ordering::Acquire);
        let tail = self.position(DATA_TAIL).load(Ordering::Relaxed);
        let (at, count) = (tail as usize % self.data, (head.wrapping_sub(tail) as usize).min(self.data));
        let first = count.min(self.data - at);
        for (at, count) in [(at, first), (0, count - first)] {
            // SAFETY: inside the mapping, and the kernel writes nothing between tail and head.
            to.extend_from_slice(unsafe { std::slice::from_raw_parts(self.start.add(self.page + at).as_ptr(), count) });
        }
        // Release: they were copied before the kernel may overwrite them.
        self.position(DATA_TAIL).store(head, Ordering::Release);
        count + LONGEST <= self.data
    }

    fn position(&self, at: usize) -> &AtomicU64 {
        // SAFETY: aligned, in the mapping's first page, which lives as long as we do; shared with the kernel, hence atomic.
        unsafe { AtomicU64::from_ptr(self.start.add(at).as_ptr().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: our mapping, to which nothing points any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.page + self.data) };
    }
}
