//! Calls whose arguments point to known texts, once each, in this order (DIR is the argument):
//!
//!     open("DIR/missing", O_RDONLY) = ENOENT                    (x86_64 only)
//!     openat(AT_FDCWD, "DIR/file", O_RDWR|O_CREAT|O_TRUNC, 0644)
//!     write(fd, "hello spoor\n", 12)
//!     write(fd, "\33[31m\7\0\377", 8)
//!     lseek(fd, 0, SEEK_SET)
//!     read(fd, "hello spoor\n", 12)
//!     rename("DIR/file", "DIR/file2")                           (x86_64 only)
//!     connect(udp, 127.0.0.1:9)
//!     sendto(udp, "datagram", 8, 0, 127.0.0.1:9)
//!     connect(unix, "DIR/socket") = ENOENT
//!     openat(AT_FDCWD, "DIR/\33[2J\n", O_RDONLY) = ENOENT
//!     execve("DIR/program", ["program", "argument"], []) = ENOENT
use std::ffi::CString;

use crate::protocol::{Did, Protocol};
use crate::{Args, sys};

pub fn strings(args: &Args, protocol: &Protocol) -> Did {
    let dir = args.text(0, "DIR");
    let path = |name: &str| CString::new(format!("{dir}/{name}")).expect("came from a C string");
    let (missing, file, file2, hostile) = (path("missing"), path("file"), path("file2"), path("\x1b[2J\n"));
    let (program, socket) = (path("program"), path("socket"));
    let udp = socket_of(libc::AF_INET);
    let unix = socket_of(libc::AF_UNIX);
    let inet = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 9u16.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() },
        sin_zero: [0; 8],
    };
    let mut local = [0u8; 110];
    local[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    local[2..2 + socket.as_bytes().len()].copy_from_slice(socket.as_bytes());
    let local_len = 2 + socket.as_bytes_with_nul().len();
    let argv = [c"program".as_ptr() as u64, c"argument".as_ptr() as u64, 0];
    let envp = [0u64];
    let address = (&raw const inet as u64, size_of_val(&inet) as u64);

    protocol.start();
    // SAFETY, for every call below: strings that end, and buffers as long as said.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        sys::call(libc::SYS_open, [missing.as_ptr() as u64, libc::O_RDONLY as u64, 0, 0, 0, 0])
    };
    let fd = sys::must(sys::openat(&file, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o644), "openat") as i32;
    sys::write(fd, b"hello spoor\n");
    sys::write(fd, b"\x1b[31m\x07\0\xff");
    sys::lseek(fd, 0, libc::SEEK_SET);
    sys::read(fd, &mut [0; 12]);
    #[cfg(target_arch = "x86_64")]
    unsafe {
        sys::call(libc::SYS_rename, [file.as_ptr() as u64, file2.as_ptr() as u64, 0, 0, 0, 0])
    };
    unsafe {
        sys::must(sys::call(libc::SYS_connect, [udp, address.0, address.1, 0, 0, 0]), "connect");
        sys::call(libc::SYS_sendto, [udp, b"datagram".as_ptr() as u64, 8, 0, address.0, address.1]);
        sys::call(libc::SYS_connect, [unix, local.as_ptr() as u64, local_len as u64, 0, 0, 0]);
    }
    sys::openat(&hostile, libc::O_RDONLY, 0);
    unsafe {
        sys::call(libc::SYS_execve, [program.as_ptr() as u64, argv.as_ptr() as u64, envp.as_ptr() as u64, 0, 0, 0])
    };

    let x86 = cfg!(target_arch = "x86_64") as u64;
    let did =
        Did::new().and("open", x86).and("openat", 2).and("write", 2).and("lseek", 1).and("read", 1).and("rename", x86);
    let _ = (&missing, &file2);
    did.and("connect", 2).and("sendto", 1).and("execve", 1).and("fd", fd as u64).and("udp", udp).and("unix", unix)
}

fn socket_of(family: i32) -> u64 {
    // SAFETY: takes no pointers.
    sys::must(unsafe { sys::call(libc::SYS_socket, [family as u64, libc::SOCK_DGRAM as u64, 0, 0, 0, 0]) }, "socket")
        as u64
}

/// Longer than any tracer keeps, or as long as is asked for.
pub fn long(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    let bytes: usize = args.optional(1, "BYTES").unwrap_or(1000);
    let path = CString::new(format!("/{}", "x".repeat(bytes - 1))).expect("has no NUL");
    protocol.start();
    for _ in 0..n {
        sys::openat(&path, libc::O_RDONLY, 0);
    }
    Did::new().and("openat", n)
}
