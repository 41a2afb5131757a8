//! Datagrams lost on purpose: each function provokes one kind of loss in a [`Net`] that nobody else uses, and says how
//! many were sent, how many were read, and so how many must have been lost. All waiting is for something to have
//! happened; what is left behind (sockets and their owners) is in the [`Loss`], and goes with it.
mod arrival;
mod fragments;
mod packets;
mod path;
mod reader;
mod sender;
mod several;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};

pub use arrival::{
    bad_checksum_large, bad_checksum_polled, bad_checksum_small, cpu_backlog, cpu_backlog_told, encapsulated, filtered,
    length_below_header, length_too_long, memory_exhausted, no_socket, receive_buffer_full, shorter_than_header,
};
pub use fragments::{never_completed, overlapping};
pub use path::{
    firewall_input, firewall_output, neighbour_absent, neighbour_queue_full, spoofed_source, too_large_to_forward,
};
pub use reader::{bad_address, closed_unread, truncated};
pub use sender::{larger_than_mtu, no_route, queue_full, send_buffer_full};
pub use several::{
    connected_elsewhere, gro_buffer_full, multicast_full, multicast_unwanted, raw_socket_full, reuse_port_full,
};

use crate::net::{Family, Net};
use crate::{Work, ensure_eq};

/// Datagrams, unless said.
pub struct Loss {
    /// What the sender tried to send.
    pub sent: u64,
    /// What the receiver read. Fewer than were not lost where they are still on their way.
    pub received: u64,
    /// Copies of a multicast datagram count each.
    pub lost: u64,
    /// The same as the kernel counts them: segments that travel together are one, fragments are several.
    pub lost_packets: u64,
    /// Of those that were received, for their reader had too little room.
    pub truncated: u64,
    pub bytes_cut: u64,
    /// Where they were sent.
    pub to: SocketAddr,
    /// `workload udp-receiver`, with its sockets still open.
    pub receiver: Option<Work>,
    /// `workload udp-sender`, the same.
    pub sender: Option<Work>,
}

impl Loss {
    fn new(to: SocketAddr, sent: u64, received: u64) -> Result<Loss> {
        ensure!(received <= sent, "{received} received of {sent} sent to {to}");
        let lost = sent - received;
        let (truncated, bytes_cut) = (0, 0);
        Ok(Loss { sent, received, lost, lost_packets: lost, truncated, bytes_cut, to, receiver: None, sender: None })
    }

    fn from(self, sender: Work) -> Loss {
        Loss { sender: Some(sender), ..self }
    }

    fn at(self, receiver: Work) -> Loss {
        Loss { receiver: Some(receiver), ..self }
    }
}

/// Of the receivers; that of their own namespace is all they share.
const PORT: u16 = 7700;

/// Nobody has it.
const CLOSED: u16 = 7799;

/// A workload in B on `PORT`, of all addresses, that reads when it is released.
fn receiver(net: &Net, family: Family, options: &[&str]) -> Result<Work> {
    let address = SocketAddr::new(family.any(), PORT).to_string();
    net.b.run(|| Work::holding(&[&["udp-receiver", &address], options].concat()))
}

/// A workload in A that sends when it is released.
fn sender(net: &Net, to: SocketAddr, count: u64, bytes: u64, options: &[&str]) -> Result<Work> {
    let words = [to.to_string(), count.to_string(), bytes.to_string()];
    let words = words.each_ref().map(String::as_str);
    net.a.run(|| Work::holding(&[&["udp-sender"], words.as_slice(), options].concat()))
}

/// A socket of the test's own in A.
fn socket(net: &Net, address: IpAddr) -> Result<UdpSocket> {
    net.a.run(|| UdpSocket::bind((address, 0)).context("bind a sender"))
}

/// Each send succeeds, and everything has arrived when this returns.
fn send(net: &Net, to: SocketAddr, count: u64, bytes: usize) -> Result<()> {
    send_payload(net, to, count, &vec![b'x'; bytes])
}

fn send_payload(net: &Net, to: SocketAddr, count: u64, payload: &[u8]) -> Result<()> {
    let socket = socket(net, Family::of(to).any())?;
    // A CPU's queue of what arrives holds 1000 (net.core.netdev_max_backlog).
    const AT_ONCE: u64 = 200;
    let mut left = count;
    while left > 0 {
        for _ in 0..left.min(AT_ONCE) {
            let sent = socket.send_to(payload, to).with_context(|| format!("send to {to}"))?;
            ensure_eq!(sent, payload.len(), "bytes sent to {to}");
        }
        net.settle()?;
        left -= left.min(AT_ONCE);
    }
    Ok(())
}

/// Sends so much to a receiver with these options, which then reads what it has.
fn sent_to_receiver(net: &Net, family: Family, options: &[&str], count: u64, bytes: usize) -> Result<Loss> {
    let mut receiver = receiver(net, family, options)?;
    send(net, b(family, PORT), count, bytes)?;
    let received = did(&receiver.run()?, "received")?;
    Ok(Loss::new(b(family, PORT), count, received)?.at(receiver))
}

/// What a workload says that it did.
fn did(did: &serde_json::Value, what: &str) -> Result<u64> {
    did[what].as_u64().with_context(|| format!("no `{what}` in {did}"))
}

fn b(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(family.b(), port)
}
