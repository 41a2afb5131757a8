//! Datagrams that no UDP socket would send.
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::Net;

/// UDP's header and a payload of `bytes`, with the right length and the right checksum.
pub fn datagram(from: SocketAddr, to: SocketAddr, bytes: usize) -> Vec<u8> {
    let length = (8 + bytes) as u16;
    let mut datagram = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    datagram.resize(length.into(), b'x');
    let sum = checksum(from.ip(), to.ip(), &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

pub fn with_bad_checksum(mut datagram: Vec<u8>) -> Vec<u8> {
    let right = u16::from_be_bytes([datagram[6], datagram[7]]);
    // Not 0, which means that there is none.
    let wrong = if right == 1 { 2 } else { right ^ 1 };
    datagram[6..8].copy_from_slice(&wrong.to_be_bytes());
    datagram
}

pub fn with_length(mut datagram: Vec<u8>, length: u16) -> Vec<u8> {
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    datagram
}

/// RFC 768, RFC 8200: over addresses, protocol and length too. Never 0.
fn checksum(from: IpAddr, to: IpAddr, datagram: &[u8]) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut bytes = [octets(from), octets(to), vec![0, libc::IPPROTO_UDP as u8]].concat();
    bytes.extend((datagram.len() as u16).to_be_bytes());
    bytes.extend(datagram);
    match fold(&bytes) {
        0 => 0xffff,
        sum => sum,
    }
}

fn fold(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Sends from A what follows the IP header, `count` times, as it is; everything has arrived when this returns.
pub fn send_as_udp(net: &Net, to: IpAddr, packet: &[u8], count: u64) -> Result<()> {
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = net.a.run(|| Socket::new(domain, Type::RAW, Some(Protocol::UDP)).context("a raw socket"))?;
    send_all(net, &socket, to, packet, count)
}

/// Sends from A fragments of IPv6, each with the header of its kind.
pub fn send_as_fragments(net: &Net, to: Ipv6Addr, fragments: &[Vec<u8>]) -> Result<()> {
    let fragment = Protocol::from(libc::IPPROTO_FRAGMENT);
    let socket = net.a.run(|| Socket::new(Domain::IPV6, Type::RAW, Some(fragment)).context("a raw socket"))?;
    fragments.iter().try_for_each(|packet| send_one(&socket, to.into(), packet).context("send a fragment"))?;
    net.settle()
}

/// Sends from A packets of IPv4 with their headers.
pub fn send_as_ip(net: &Net, to: Ipv4Addr, packets: &[Vec<u8>]) -> Result<()> {
    // IPPROTO_RAW: the header comes with it.
    let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW))).context("a raw socket");
    let socket = net.a.run(raw)?;
    packets.iter().try_for_each(|packet| send_one(&socket, to.into(), packet).context("send a raw packet"))?;
    net.settle()
}

fn send_all(net: &Net, socket: &Socket, to: IpAddr, packet: &[u8], count: u64) -> Result<()> {
    (0..count).try_for_each(|_| send_one(socket, to, packet).context("send a raw packet"))?;
    net.settle()
}

fn send_one(socket: &Socket, to: IpAddr, packet: &[u8]) -> io::Result<()> {
    // The port is none: IPv6 takes it for a protocol.
    let sent = socket.send_to(packet, &SocketAddr::new(to, 0).into())?;
    if sent == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// A part of a datagram: `offset` and length in bytes, the offset a multiple of 8; `more` come.
pub struct Fragment<'a> {
    pub id: u16,
    pub offset: u16,
    pub more: bool,
    pub bytes: &'a [u8],
}

/// A packet of IPv4 with its header, whose checksum the kernel fills in.
pub fn ip(from: Ipv4Addr, to: Ipv4Addr, fragment: &Fragment) -> Result<Vec<u8>> {
    ensure!(fragment.offset.is_multiple_of(8), "offset {} is no multiple of 8", fragment.offset);
    let length = (20 + fragment.bytes.len()) as u16;
    const MORE: u16 = 0x2000;
    let flag = if fragment.more { MORE } else { 0 };
    let place = flag | (fragment.offset / 8);
    let mut packet = vec![0x45, 0];
    for word in [length, fragment.id, place] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend([64, libc::IPPROTO_UDP as u8, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(fragment.bytes);
    Ok(packet)
}

/// The header of a fragment in IPv6, and what it carries.
pub fn fragment(fragment: &Fragment) -> Result<Vec<u8>> {
    ensure!(fragment.offset.is_multiple_of(8), "offset {} is no multiple of 8", fragment.offset);
    let place = fragment.offset | u16::from(fragment.more);
    let mut packet = vec![libc::IPPROTO_UDP as u8, 0];
    packet.extend(place.to_be_bytes());
    packet.extend(u32::from(fragment.id).to_be_bytes());
    packet.extend(fragment.bytes);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_datagram_that_the_kernel_sent() {
        let from: SocketAddr = "10.77.0.1:1000".parse().unwrap();
        let to: SocketAddr = "10.77.0.2:2000".parse().unwrap();
        let datagram = datagram(from, to, 2);
        // Words: a4d 1 a4d 2 11 a | 3e8 7d0 a 7878 = 9d12, and their complement.
        let words = [0x0a4d, 1, 0x0a4d, 2, 0x11, 10, 0x3e8, 0x7d0, 10, 0x7878u32];
        assert_eq!(u32::from(u16::from_be_bytes([datagram[6], datagram[7]])), 0xffff - words.iter().sum::<u32>());
        assert_ne!(with_bad_checksum(datagram.clone()), datagram);
    }
}
