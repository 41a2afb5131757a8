//! The UDP sockets of one network namespace: nothing in, one [`UdpSocket`] each out.
//! By sock_diag(7), else from /proc/net/udp and udp6, which know less. Both leave out what is bound to no port.
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::nlas::{MemInfo, Nla};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};

use super::proc_udp;
use crate::sys::net::{Answered, SockDiag};

/// Bytes are as the kernel accounts them: a datagram takes its buffer and what describes it (`skb->truesize`), several
/// times its length where it is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpSocket {
    /// Of the socket's family: IPv4 in an IPv6 socket is `::ffff:127.0.0.1`. Without a zone, whatever `interface` is.
    pub local: SocketAddr,
    /// None where it is not connected.
    pub remote: Option<SocketAddr>,
    /// The index of the device that it is bound to. None: to none, or from /proc, which does not say.
    pub interface: Option<u32>,
    /// As in /proc/PID/fd; 0 where no process has it as a file (a tunnel of the kernel's).
    pub inode: u64,
    /// None from /proc.
    pub cookie: Option<u64>,
    pub uid: u32,
    /// What is held against `rcvbuf`, bytes: what waits, and what was read and not yet given back. None from /proc.
    pub rmem: Option<u32>,
    /// The limit, bytes: as getsockopt(SO_RCVBUF) says. None from /proc.
    pub rcvbuf: Option<u32>,
    /// On its way out, bytes. None from /proc.
    pub wmem: Option<u32>,
    /// Its limit, bytes. None from /proc.
    pub sndbuf: Option<u32>,
    /// Datagrams that found no room, did not pass a filter or had a wrong checksum, since the socket was made.
    pub drops: u32,
    /// What waits to be read, bytes.
    pub rx_queue: u32,
    pub tx_queue: u32,
}

/// The sockets of the namespace that the calling thread is in.
///
/// Errors: of /proc, where sock_diag does not answer either (no module udp_diag, a filter of system calls).
/// Kernel: 3.3.
pub fn udp_sockets() -> Result<Vec<UdpSocket>> {
    asked().or_else(|_| of_proc(Path::new("/proc/thread-self/net")))
}

/// The same of the namespace that a folder such as /proc/PID/net tells of, which needs no privilege.
pub fn of_proc(folder: &Path) -> Result<Vec<UdpSocket>> {
    let mut sockets = proc_udp::parse(&std::fs::read_to_string(folder.join("udp"))?);
    match std::fs::read_to_string(folder.join("udp6")) {
        Ok(text) => sockets.extend(proc_udp::parse(&text)),
        // A kernel without IPv6.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(sockets)
}

fn asked() -> Result<Vec<UdpSocket>> {
    let kernel = SockDiag::open()?;
    let mut sockets = Vec::new();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        kernel.ask(&question(family, any), |answer| read(answer, &mut sockets))?;
    }
    Ok(sockets)
}

fn question(family: u8, socket_id: SocketId) -> Vec<u8> {
    let request = InetRequest {
        family,
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::SKMEMINFO,
        states: StateFlags::all(),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// One answer: messages one after the other, each from a multiple of 4 on.
fn read(mut answer: &[u8], sockets: &mut Vec<UdpSocket>) -> Result<Answered> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidData, format!("sock_diag: {what}"));
    while !answer.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer).map_err(|e| wrong(&e.to_string()))?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                sockets.push(socket(&response).ok_or_else(|| wrong("a socket without its memory"))?);
            }
            // Without a handler for UDP the list ends with ENOENT.
            NetlinkPayload::Done(done) if done.code != 0 => return Err(Error::from_raw_os_error(-done.code)),
            NetlinkPayload::Done(_) => return Ok(Answered::All),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::Noop => {}
            _ => return Err(wrong("not an answer to what was asked")),
        }
        let length = (message.header.length as usize).next_multiple_of(4);
        answer = answer.get(length..).unwrap_or_default();
    }
    Ok(Answered::Some)
}

fn socket(response: &InetResponse) -> Option<UdpSocket> {
    let InetResponse { header, nlas } = response;
    let id = &header.socket_id;
    let memory: &MemInfo = nlas.iter().find_map(|nla| match nla {
        Nla::MemInfo(memory) => Some(memory),
        _ => None,
    })?;
    Some(UdpSocket {
        local: SocketAddr::new(id.source_address, id.source_port),
        remote: (id.destination_port != 0).then(|| SocketAddr::new(id.destination_address, id.destination_port)),
        interface: Some(id.interface_id).filter(|index| *index != 0),
        inode: header.inode.into(),
        // Two halves, the lower first (v5.10 net/core/sock_diag.c, sock_diag_save_cookie).
        cookie: Some(u64::from_le_bytes(id.cookie)),
        uid: header.uid,
        rmem: Some(memory.receive_queue),
        rcvbuf: Some(memory.receive_queue_max),
        wmem: Some(memory.bottom_send_queues),
        sndbuf: Some(memory.send_queue_max),
        drops: memory.drops,
        rx_queue: header.recv_queue,
        tx_queue: header.send_queue,
    })
}

#[cfg(test)]
#[path = "diag_tests.rs"]
mod tests;
