//! UDP sockets that stay open: one that is full, one that was full and is read, one that two processes hold, two on a port.
use std::io::Result;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd};

use crate::children::child;
use crate::protocol::{Did, Protocol, fail};
use crate::{Args, sys};

/// The kernel doubles it: few datagrams have room.
const BUFFER_BYTES: i32 = 4096;

/// All of them are there, and as they stay, when it says what it did.
pub fn sockets(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    let shared = must(UdpSocket::bind("[::1]:0"), "bind");
    let first = reuseport(0);
    let second = reuseport(port(&first) as u16);
    let [from, to] = sys::pipe();
    let holder = child(|| {
        sys::close(to as i64);
        sys::close(first.as_raw_fd().into());
        sys::close(second.as_raw_fd().into());
        // Until its parent ends.
        sys::readv(from, &mut [0]);
    });
    protocol.start_with(&[holder]);
    let (full, read) = (small(), small());
    let writers = [&full, &read].map(|reader| send(reader, n));
    let kept = drain(&read);
    let did = Did::new()
        .and("full_port", port(&full))
        .and("full_rcvbuf", rcvbuf(&full))
        .and("read_port", port(&read))
        .and("kept", kept)
        .and("shared_port", port(&shared))
        .and("shared_rcvbuf", rcvbuf(&shared))
        .and("pair_port", port(&first));
    std::mem::forget((shared, first, second, full, read, writers));
    did
}

fn must<T>(result: Result<T>, what: &str) -> T {
    result.unwrap_or_else(|error| fail(format_args!("{what}: {error}")))
}

fn small() -> UdpSocket {
    let socket = must(UdpSocket::bind("127.0.0.1:0"), "bind");
    set(&socket, libc::SO_RCVBUF, BUFFER_BYTES);
    socket
}

/// One more on a port of 127.0.0.1, or on any.
fn reuseport(port: u16) -> UdpSocket {
    // SAFETY: takes no pointers.
    let fd = must_libc(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }, "socket");
    // SAFETY: it was just made for us alone.
    let socket = unsafe { UdpSocket::from_raw_fd(fd) };
    set(&socket, libc::SO_REUSEPORT, 1);
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: an address, as long as said.
    must_libc(unsafe { libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as u32) }, "bind");
    socket
}

/// N datagrams of 512 bytes to a socket, from one that stays connected to it; none and no such socket without a network.
fn send(to: &UdpSocket, n: u64) -> Option<UdpSocket> {
    if n == 0 {
        return None;
    }
    let from = must(UdpSocket::bind("127.0.0.1:0"), "bind");
    must(to.local_addr().and_then(|to| from.connect(to)), "connect");
    for _ in 0..n {
        must(from.send(&[0; 512]), "send");
    }
    Some(from)
}

/// How many datagrams waited.
fn drain(socket: &UdpSocket) -> u64 {
    must(socket.set_nonblocking(true), "O_NONBLOCK");
    (0..).take_while(|_| socket.recv(&mut [0; 512]).is_ok()).count() as u64
}

fn port(socket: &UdpSocket) -> u64 {
    must(socket.local_addr(), "getsockname").port().into()
}

fn rcvbuf(socket: &UdpSocket) -> u64 {
    let mut bytes = 0i32;
    let mut length = size_of_val(&bytes) as libc::socklen_t;
    let (fd, to) = (socket.as_raw_fd(), (&raw mut bytes).cast());
    // SAFETY: room for one number, as long as said.
    must_libc(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, to, &mut length) }, "SO_RCVBUF");
    bytes as u64
}

fn set(socket: &UdpSocket, option: i32, value: i32) {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: one number, as long as said.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), length) };
    must_libc(set, "setsockopt");
}

fn must_libc(result: i32, what: &str) -> i32 {
    must(if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }, what)
}
