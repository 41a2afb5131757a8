//! Devices and their addresses.
//! Source: v6.12 include/uapi/linux/{if_link,if_addr,neighbour,veth}.h.
use std::io;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::netlink::{Body, CREATE, Messages, REPLACE};
use super::{Family, Namespace};
use crate::skip::skip;

/// Of `va` in A and of `vb` in B.
pub const INDEX: u32 = 10;

const LOOPBACK: u32 = 1;
const ACK: u16 = libc::NLM_F_ACK as u16;

pub fn loopback_up(namespace: &Namespace) -> Result<()> {
    up(namespace, LOOPBACK)
}

/// A pair of devices that are up, with addresses, and know each other.
pub fn join(a: &Namespace, b: &Namespace, mtu: u32) -> Result<()> {
    pair(a, b, mtu)?;
    up(a, INDEX)?;
    up(b, INDEX)?;
    for family in Family::BOTH {
        address(a, family.a())?;
        address(b, family.b())?;
        neighbour(a, family.b(), hardware(2))?;
        neighbour(b, family.a(), hardware(1))?;
    }
    Ok(())
}

fn pair(a: &Namespace, b: &Namespace, mtu: u32) -> Result<()> {
    const INFO_KIND: u16 = 1;
    const INFO_DATA: u16 = 2;
    const VETH_INFO_PEER: u16 = 1;
    let device = |name: &str, host: u8| {
        let device = Body::of(&interface(INDEX, 0)).text(libc::IFLA_IFNAME, name);
        device.bytes(libc::IFLA_ADDRESS, &hardware(host)).number(libc::IFLA_MTU, mtu)
    };
    let peer = device("vb", 2).number(libc::IFLA_NET_NS_FD, b.fd());
    let veth = Body::default().text(INFO_KIND, "veth").nest(INFO_DATA, Body::default().nest(VETH_INFO_PEER, peer));
    let made = ask(a, libc::RTM_NEWLINK, CREATE, device("va", 1).nest(libc::IFLA_LINKINFO, veth))?;
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

fn up(namespace: &Namespace, index: u32) -> Result<()> {
    let body = Body::of(&interface(index, libc::IFF_UP as u32));
    ask(namespace, libc::RTM_NEWLINK, 0, body)?.with_context(|| format!("bring device {index} up"))
}

fn address(namespace: &Namespace, address: IpAddr) -> Result<()> {
    let (family, bytes, prefix) = parts(address);
    const IFA_F_NODAD: u8 = 2;
    let mut body = vec![family, prefix, IFA_F_NODAD, libc::RT_SCOPE_UNIVERSE];
    body.extend(INDEX.to_ne_bytes());
    let body = Body::of(&body).bytes(libc::IFA_LOCAL, &bytes).bytes(libc::IFA_ADDRESS, &bytes);
    ask(namespace, libc::RTM_NEWADDR, CREATE, body)?.with_context(|| format!("add address {address}"))
}

fn neighbour(namespace: &Namespace, address: IpAddr, hardware: [u8; 6]) -> Result<()> {
    let (family, bytes, _) = parts(address);
    let mut body = vec![family, 0, 0, 0];
    body.extend(INDEX.to_ne_bytes());
    body.extend(libc::NUD_PERMANENT.to_ne_bytes());
    body.extend([0, 0]);
    let body = Body::of(&body).bytes(libc::NDA_DST, &bytes).bytes(libc::NDA_LLADDR, &hardware);
    ask(namespace, libc::RTM_NEWNEIGH, REPLACE, body)?.with_context(|| format!("add neighbour {address}"))
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
