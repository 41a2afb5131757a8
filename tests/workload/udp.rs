//! UDP sockets whose owner a tracer shall find: a receiver that reads when it is told to, a sender that says what the
//! kernel answered. In which network namespace is up to who starts them.
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use libc::c_int;
use socket2::{Domain, InterfaceIndexOrAddress, SockAddr, Socket, Type};

use crate::protocol::{Did, Protocol, fail, unsupported};
use crate::{Args, sys};

/// `--NAME VALUE` and `--NAME` behind the other arguments.
struct Options(&'static [&'static str]);

impl Options {
    /// Fails on a name that is not among these.
    fn new(args: &Args, at: usize, with_value: &[&str], without: &[&str]) -> Options {
        let words: &'static [&'static str] = Vec::leak(args.from(at).to_vec());
        let mut rest = words.iter();
        while let Some(name) = rest.next() {
            if with_value.contains(name) {
                rest.next().unwrap_or_else(|| fail(format_args!("{name} has no value")));
            } else if !without.contains(name) {
                fail(format_args!("no option `{name}`; see --help"));
            }
        }
        Options(words)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    fn text(&self, name: &str) -> Option<&'static str> {
        self.0.iter().position(|word| *word == name).map(|at| self.0[at + 1])
    }

    fn value<T: core::str::FromStr>(&self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        Some(text.parse().unwrap_or_else(|_| fail(format_args!("{name}: `{text}` is none"))))
    }
}

const SOCKETS: usize = 4;
const READ: [&str; SOCKETS] = ["received_0", "received_1", "received_2", "received_3"];

/// Prints `ready PID PORT`. Then, socket by socket, reads until there is nothing left, and says how much that was; what
/// is left unread goes when it ends.
pub fn receiver(args: &Args, protocol: &Protocol) -> Did {
    let options = Options::new(
        args,
        1,
        &["--rcvbuf", "--rcvbufforce", "--sockets", "--join", "--connect", "--read", "--room"],
        &["--filter-drop", "--reuse-port", "--reuse-address", "--gro", "--encap", "--poll", "--bad-address"],
    );
    let mut address: SocketAddr = args.number(0, "ADDR:PORT");
    let count = options.value("--sockets").unwrap_or(1);
    if count > SOCKETS {
        fail(format_args!("{count} sockets are more than {SOCKETS}"));
    }
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = bound(address, &options);
        address.set_port(port(&socket));
        sockets.push(socket);
    }
    let cookie = sockets.first().map_or(0, |socket| must(socket.cookie(), "SO_COOKIE"));
    let mut room = vec![0u8; options.value("--room").unwrap_or(65536)];
    let at_most = match options.text("--read") {
        Some("all") | None => u64::MAX,
        Some("none") => 0,
        Some(_) => options.value("--read").unwrap_or(0),
    };

    protocol.start_with(&[address.port().into()]);
    let (mut all, mut read) = (Read::default(), [0; SOCKETS]);
    for (socket, read) in sockets.iter().zip(&mut read) {
        if options.has("--poll") {
            poll(socket);
        }
        let to = if options.has("--bad-address") { To::Nowhere } else { To::Room(&mut room) };
        let of_this = read_all(socket, to, at_most);
        *read = of_this.received;
        all.received += of_this.received;
        all.bytes += of_this.bytes;
        all.failed += of_this.failed;
    }
    let did = Did::new().and("received", all.received).and("bytes", all.bytes).and("failed", all.failed);
    let did = did.and("cookie", cookie);
    // They end with the process, not before.
    core::mem::forget(sockets);
    if count == 1 { did } else { READ.iter().zip(read).take(count).fold(did, |did, (name, read)| did.and(name, read)) }
}

fn bound(address: SocketAddr, options: &Options) -> Socket {
    let socket = udp(address);
    if let Some(bytes) = options.value("--rcvbuf") {
        must(socket.set_recv_buffer_size(bytes), "SO_RCVBUF");
    }
    if let Some(bytes) = options.value("--rcvbufforce") {
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes);
    }
    if options.has("--reuse-port") {
        must(socket.set_reuse_port(true), "SO_REUSEPORT");
    }
    if options.has("--reuse-address") {
        must(socket.set_reuse_address(true), "SO_REUSEADDR");
    }
    if options.has("--filter-drop") {
        let take_nothing = socket2::SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
        must(socket.attach_filter(&[take_nothing]), "SO_ATTACH_FILTER");
    }
    if options.has("--gro") {
        const UDP_GRO: c_int = 104;
        set(&socket, libc::IPPROTO_UDP, UDP_GRO, 1);
    }
    if options.has("--encap") {
        const UDP_ENCAP: c_int = 100;
        const ESP_IN_UDP: c_int = 2;
        try_set(&socket, libc::IPPROTO_UDP, UDP_ENCAP, ESP_IN_UDP, "no ESP in UDP in this kernel");
    }
    must(socket.bind(&address.into()), "bind");
    if let Some(group) = options.text("--join") {
        join(&socket, group);
    }
    if let Some(peer) = options.value::<SocketAddr>("--connect") {
        must(socket.connect(&peer.into()), "connect");
    }
    socket
}

/// `GROUP%INDEX`: a multicast group on the interface of that number.
fn join(socket: &Socket, text: &str) {
    let wrong = || -> ! { fail(format_args!("--join: `{text}` is not GROUP%INDEX")) };
    let (group, index) = text.split_once('%').unwrap_or_else(|| wrong());
    let index = index.parse().unwrap_or_else(|_| wrong());
    let joined = match group.parse() {
        Ok(IpAddr::V4(group)) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
        Ok(IpAddr::V6(group)) => socket.join_multicast_v6(&group, index),
        Err(_) => wrong(),
    };
    must(joined, "join a group");
}

#[derive(Default)]
struct Read {
    received: u64,
    bytes: u64,
    failed: u64,
}

enum To<'a> {
    Room(&'a mut [u8]),
    /// Address 8, where nobody has memory.
    Nowhere,
}

/// Without waiting. What fails with EFAULT is gone all the same.
fn read_all(socket: &Socket, mut to: To, at_most: u64) -> Read {
    let mut read = Read::default();
    while read.received + read.failed < at_most {
        match recv(socket, &mut to) {
            bytes @ 0.. => {
                read.received += 1;
                read.bytes += bytes as u64;
            }
            error if -error == libc::EFAULT.into() => read.failed += 1,
            error if -error == libc::EAGAIN.into() => break,
            error => fail(format_args!("recvfrom: errno {}", -error)),
        }
    }
    read
}

fn recv(socket: &Socket, to: &mut To) -> i64 {
    use std::os::fd::AsRawFd;
    let (at, bytes) = match to {
        To::Room(room) => (room.as_mut_ptr() as u64, room.len() as u64),
        To::Nowhere => (8, 4096),
    };
    let fd = socket.as_raw_fd() as u64;
    // SAFETY: writable and as long as said, or no memory at all, which is an error and nothing worse.
    unsafe { sys::call(libc::SYS_recvfrom, [fd, at, bytes, libc::MSG_DONTWAIT as u64, 0, 0]) }
}

/// Once, without waiting: the kernel throws away the datagrams at the head whose checksum is wrong.
fn poll(socket: &Socket) {
    use std::os::fd::AsRawFd;
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry.
    sys::must(unsafe { sys::call(libc::SYS_poll, [&raw mut poll as u64, 1, 0, 0, 0, 0]) }, "poll");
}

/// How each send ended, by errno.
const ENDS: [(&str, i32); 8] = [
    ("sent", 0),
    ("eagain", libc::EAGAIN),
    ("emsgsize", libc::EMSGSIZE),
    ("enetunreach", libc::ENETUNREACH),
    ("ehostunreach", libc::EHOSTUNREACH),
    ("enobufs", libc::ENOBUFS),
    ("eperm", libc::EPERM),
    ("econnrefused", libc::ECONNREFUSED),
];

/// Prints `ready PID PORT`. Then sends, without ever waiting.
pub fn sender(args: &Args, protocol: &Protocol) -> Did {
    let options = Options::new(args, 3, &["--sndbuf", "--segment"], &["--df", "--probe", "--recverr", "--connect"]);
    let to: SocketAddr = args.number(0, "ADDR:PORT");
    let (count, bytes): (u64, usize) = (args.number(1, "N"), args.number(2, "BYTES"));
    let socket = udp(to);
    if let Some(bytes) = options.value("--sndbuf") {
        must(socket.set_send_buffer_size(bytes), "SO_SNDBUF");
    }
    if let Some(bytes) = options.value("--segment") {
        const UDP_SEGMENT: c_int = 103;
        set(&socket, libc::IPPROTO_UDP, UDP_SEGMENT, bytes);
    }
    if options.has("--df") {
        match to {
            SocketAddr::V4(_) => set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
            SocketAddr::V6(_) => set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
        }
    }
    if options.has("--probe") {
        match to {
            SocketAddr::V4(_) => set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
            SocketAddr::V6(_) => set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
        }
    }
    if options.has("--recverr") {
        match to {
            SocketAddr::V4(_) => set(&socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
            SocketAddr::V6(_) => set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        }
    }
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => SocketAddrV6::new(0.into(), 0, 0, 0).into(),
    };
    must(socket.bind(&any.into()), "bind");
    if options.has("--connect") {
        must(socket.connect(&to.into()), "connect");
    }
    let (payload, address) = (vec![b'x'; bytes], SockAddr::from(to));

    protocol.start_with(&[port(&socket).into()]);
    let mut ends = [0; ENDS.len()];
    for _ in 0..count {
        let error = match send(&socket, &payload, (!options.has("--connect")).then_some(&address)) {
            0.. => 0,
            error => -error as i32,
        };
        match ENDS.iter().position(|(_, errno)| *errno == error) {
            Some(end) => ends[end] += 1,
            None => fail(format_args!("sendto: errno {error}")),
        }
    }
    core::mem::forget(socket);
    ENDS.iter().zip(ends).fold(Did::new(), |did, ((name, _), count)| did.and(name, count))
}

fn send(socket: &Socket, payload: &[u8], to: Option<&SockAddr>) -> i64 {
    use std::os::fd::AsRawFd;
    let (fd, at, bytes) = (socket.as_raw_fd() as u64, payload.as_ptr() as u64, payload.len() as u64);
    let (to, length) = to.map_or((0, 0), |to| (to.as_ptr() as u64, to.len().into()));
    // SAFETY: both are as long as said; the kernel only reads them.
    unsafe { sys::call(libc::SYS_sendto, [fd, at, bytes, libc::MSG_DONTWAIT as u64, to, length]) }
}

fn udp(like: SocketAddr) -> Socket {
    match Socket::new(Domain::for_address(like), Type::DGRAM, None) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => unsupported("no IPv6 in this kernel"),
        socket => must(socket, "socket"),
    }
}

fn port(socket: &Socket) -> u16 {
    must(socket.local_addr(), "getsockname").as_socket().map_or(0, |address| address.port())
}

/// An option that socket2 does not know, or not for this family.
fn set(socket: &Socket, level: c_int, name: c_int, value: c_int) {
    if let Err(error) = setsockopt(socket, level, name, value) {
        fail(format_args!("setsockopt {level} {name}: {error}"));
    }
}

/// One that this kernel may not have.
fn try_set(socket: &Socket, level: c_int, name: c_int, value: c_int, otherwise: &str) {
    match setsockopt(socket, level, name, value) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            unsupported(otherwise);
        }
        set => must(set, "setsockopt"),
    }
}

fn setsockopt(socket: &Socket, level: c_int, name: c_int, value: c_int) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: as long as said; the kernel only reads it.
    let ret = unsafe {
        let (fd, value, length) = (socket.as_raw_fd(), (&raw const value).cast(), size_of_val(&value) as u32);
        libc::setsockopt(fd, level, name, value, length)
    };
    if ret == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn must<T>(result: std::io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|error| fail(format_args!("{what}: {error}")))
}
