//! Devices and their addresses.
//! Source: v6.12 include/uapi/linux/{if_link,if_addr,neighbour,veth}.h.
use std::io;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::netlink::{Body, CREATE, Messages, REPLACE};
use super::{Family, Namespace};
use crate::skip::skip;

/// Of `va` in A and of `vb` in B. Those of the link behind B have the next.
pub const INDEX: u32 = 10;

const LOOPBACK: u32 = 1;
const ACK: u16 = libc::NLM_F_ACK as u16;

pub fn loopback_up(namespace: &Namespace) -> Result<()> {
    up(namespace, LOOPBACK)
}

/// One end of a pair of devices: its name and number, its hardware's last byte, its host's number on the link.
struct End<'a> {
    namespace: &'a Namespace,
    name: &'static str,
    index: u32,
    hardware: u8,
    host: u8,
}

/// A pair of devices that are up, with addresses, and know each other.
pub fn join(a: &Namespace, b: &Namespace, mtu: u32) -> Result<()> {
    let a = End { namespace: a, name: "va", index: INDEX, hardware: 1, host: 1 };
    let b = End { namespace: b, name: "vb", index: INDEX, hardware: 2, host: 2 };
    join_by([a, b], mtu, Family::host)
}

/// The same behind B.
pub fn join_beyond(b: &Namespace, c: &Namespace, mtu: u32) -> Result<()> {
    let b = End { namespace: b, name: "vc", index: INDEX + 1, hardware: 3, host: 1 };
    let c = End { namespace: c, name: "vd", index: INDEX + 1, hardware: 4, host: 2 };
    join_by([b, c], mtu, Family::beyond)
}

fn join_by(ends: [End; 2], mtu: u32, at: fn(Family, u8) -> IpAddr) -> Result<()> {
    pair(&ends, mtu)?;
    for end in &ends {
        up(end.namespace, end.index)?;
    }
    for family in Family::BOTH {
        for (end, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
            address(end, at(family, end.host))?;
            neighbour(end, at(family, other.host), hardware(other.hardware))?;
        }
    }
    Ok(())
}

fn pair([a, b]: &[End; 2], mtu: u32) -> Result<()> {
    const INFO_KIND: u16 = 1;
    const INFO_DATA: u16 = 2;
    const VETH_INFO_PEER: u16 = 1;
    let device = |end: &End| {
        let device = Body::of(&interface(end.index, 0)).text(libc::IFLA_IFNAME, end.name);
        device.bytes(libc::IFLA_ADDRESS, &hardware(end.hardware)).number(libc::IFLA_MTU, mtu)
    };
    let peer = device(b).number(libc::IFLA_NET_NS_FD, b.namespace.fd());
    let veth = Body::default().text(INFO_KIND, "veth").nest(INFO_DATA, Body::default().nest(VETH_INFO_PEER, peer));
    let made = ask(a.namespace, libc::RTM_NEWLINK, CREATE, device(a).nest(libc::IFLA_LINKINFO, veth))?;
    match made {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => skip("not supported: veth devices"),
        made => made.context("make a pair of devices"),
    }
}

/// What is larger, the device does not take in either.
pub fn set_mtu(namespace: &Namespace, mtu: u32) -> Result<()> {
    let body = Body::of(&interface(INDEX, 0)).number(libc::IFLA_MTU, mtu);
    ask(namespace, libc::RTM_NEWLINK, 0, body)?.with_context(|| format!("set a device's MTU to {mtu}"))
}

/// Of packets that are several datagrams long, the device takes each datagram alone, one right behind the other.
pub fn take_no_segments(namespace: &Namespace) -> Result<()> {
    // include/uapi/linux/if_link.h
    const IFLA_GSO_MAX_SEGS: u16 = 40;
    let body = Body::of(&interface(INDEX, 0)).number(IFLA_GSO_MAX_SEGS, 1);
    ask(namespace, libc::RTM_NEWLINK, 0, body)?.context("set how many segments a device takes")
}

fn up(namespace: &Namespace, index: u32) -> Result<()> {
    let body = Body::of(&interface(index, libc::IFF_UP as u32));
    ask(namespace, libc::RTM_NEWLINK, 0, body)?.with_context(|| format!("bring device {index} up"))
}

fn address(end: &End, address: IpAddr) -> Result<()> {
    let (family, bytes, prefix) = parts(address);
    const IFA_F_NODAD: u8 = 2;
    let mut body = vec![family, prefix, IFA_F_NODAD, libc::RT_SCOPE_UNIVERSE];
    body.extend(end.index.to_ne_bytes());
    let body = Body::of(&body).bytes(libc::IFA_LOCAL, &bytes).bytes(libc::IFA_ADDRESS, &bytes);
    ask(end.namespace, libc::RTM_NEWADDR, CREATE, body)?.with_context(|| format!("add address {address}"))
}

fn neighbour(end: &End, address: IpAddr, hardware: [u8; 6]) -> Result<()> {
    let (family, bytes, _) = parts(address);
    let mut body = vec![family, 0, 0, 0];
    body.extend(end.index.to_ne_bytes());
    body.extend(libc::NUD_PERMANENT.to_ne_bytes());
    body.extend([0, 0]);
    let body = Body::of(&body).bytes(libc::NDA_DST, &bytes).bytes(libc::NDA_LLADDR, &hardware);
    ask(end.namespace, libc::RTM_NEWNEIGH, REPLACE, body)?.with_context(|| format!("add neighbour {address}"))
}

/// Everything that is not on a link goes to `via`.
pub fn default_route(namespace: &Namespace, via: IpAddr) -> Result<()> {
    let (family, bytes, _) = parts(via);
    const RTPROT_STATIC: u8 = 4;
    // struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags.
    let mut body =
        vec![family, 0, 0, 0, libc::RT_TABLE_MAIN, RTPROT_STATIC, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST];
    body.extend(0u32.to_ne_bytes());
    let body = Body::of(&body).bytes(libc::RTA_GATEWAY, &bytes);
    ask(namespace, libc::RTM_NEWROUTE, CREATE, body)?.with_context(|| format!("add a route by {via}"))
}

fn ask(namespace: &Namespace, kind: u16, flags: u16, body: Body) -> Result<io::Result<()>> {
    Messages::one(kind, flags | ACK, body).send(namespace, libc::NETLINK_ROUTE)
}

/// struct ifinfomsg: family and type, index, flags and which of them count.
fn interface(index: u32, flags: u32) -> Vec<u8> {
    [0, index, flags, flags].map(u32::to_ne_bytes).concat()
}

/// Locally administered.
fn hardware(host: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0x77, host]
}

fn parts(address: IpAddr) -> (u8, Vec<u8>, u8) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec(), 24),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec(), 64),
    }
}
