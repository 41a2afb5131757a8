//! Memory of other processes.
use std::io::Error;

/// Why nothing could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// By ptrace's rules.
    Forbidden,
    /// There is no memory, or no process.
    Nothing,
}

/// Fills `bytes` from `address` on as far as there is memory; how much that was.
pub fn read(pid: u32, address: u64, bytes: &mut [u8]) -> Result<usize, Unreadable> {
    const PAGE: u64 = 4096;
    // Up to the end of a page at first: a read that begins well and ends in a hole gives nothing.
    let first = ((PAGE - address % PAGE) as usize).min(bytes.len());
    let done = read_once(pid, address, &mut bytes[..first])?;
    if done < first || done == bytes.len() {
        return Ok(done);
    }
    Ok(done + read_once(pid, address + done as u64, &mut bytes[done..]).unwrap_or(0))
}

fn read_once(pid: u32, address: u64, bytes: &mut [u8]) -> Result<usize, Unreadable> {
    let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let there = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: `here` is ours and as long as said; the kernel checks the other one.
    let read = unsafe { libc::process_vm_readv(pid as libc::pid_t, &here, 1, &there, 1, 0) };
    usize::try_from(read).map_err(|_| match Error::last_os_error().raw_os_error() {
        Some(libc::EPERM) => Unreadable::Forbidden,
        _ => Unreadable::Nothing,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn own_memory_can_be_read_and_nowhere_cannot() {
        let words = [7u64; 600];
        let mut bytes = [0u8; 4800];
        let own = std::process::id();
        assert_eq!(super::read(own, words.as_ptr() as u64, &mut bytes), Ok(4800));
        assert_eq!(bytes, zerocopy::IntoBytes::as_bytes(&words));
        assert_eq!(super::read(own, 16, &mut bytes), Err(super::Unreadable::Nothing));
    }
}
