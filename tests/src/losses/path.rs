//! Lost between the sockets: for addresses, neighbours and rules.
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, bail};

use super::packets::{Fragment, datagram, ip, send_as_ip};
use super::sender::refused;
use super::{CLOSED, Loss, PORT, b, did, receiver, sender, sent_to_receiver};
use crate::ensure_eq;
use crate::net::{Beyond, Counters, Family, Hook, Net};
use crate::patience;

/// B would not send to where they say that they come from.
pub fn spoofed_source(net: &Net) -> Result<Loss> {
    for device in ["all", "vb"] {
        net.b.sysctl(&format!("net/ipv4/conf/{device}/rp_filter"), "1")?;
    }
    const COUNT: u16 = 20;
    let (from, to) = (v4(SocketAddr::new(Family::V4.far(), PORT))?, v4(b(Family::V4, PORT))?);
    let bytes = datagram(SocketAddr::new(from.into(), PORT), SocketAddr::new(to.into(), PORT), 100);
    let packet = |id| ip(from, to, &Fragment { id, offset: 0, more: false, bytes: &bytes });
    let mut receiver = receiver(net, Family::V4, &[])?;
    send_as_ip(net, to, &(1..=COUNT).map(packet).collect::<Result<Vec<_>>>()?)?;
    let received = did(&receiver.run()?, "received")?;
    Ok(Loss::new(b(Family::V4, PORT), COUNT.into(), received)?.at(receiver))
}

/// A rule of B's drops what comes in.
pub fn firewall_input(net: &Net, family: Family) -> Result<Loss> {
    net.b.drop_udp(Hook::Input)?;
    sent_to_receiver(net, family, &[], 20, 100)
}

/// EPERM: a rule of A's drops what goes out.
pub fn firewall_output(net: &Net, family: Family) -> Result<Loss> {
    net.a.drop_udp(Hook::Output)?;
    refused(net, b(family, PORT), 100, "eperm", &[])
}

/// The link behind B has an MTU of 1280, and who sends 1400 bytes does not care what is known of the way: B tells A of it.
/// Who does care is told so (EMSGSIZE), and loses none.
pub fn too_large_to_forward(way: &Beyond, family: Family) -> Result<Loss> {
    const COUNT: u64 = 20;
    const BYTES: u64 = 1400;
    let (net, to) = (&way.net, SocketAddr::new(family.beyond(2), PORT));
    // What has room comes through.
    let receiver = way.c.run(|| UdpSocket::bind(to).context("bind beyond"))?;
    receiver.set_read_timeout(Some(patience()))?;
    let mut small = sender(net, to, 1, 100, &[])?;
    ensure_eq!(did(&small.run()?, "sent")?, 1, "sends that end well");
    ensure_eq!(receiver.recv(&mut [0; 200])?, 100, "bytes that came through");
    let before = Counters::of(&net.a)?;
    let mut large = sender(net, to, COUNT, BYTES, &["--probe"])?;
    ensure_eq!(did(&large.run()?, "sent")?, COUNT, "sends that end well");
    let told = if family == Family::V4 { "IcmpInDestUnreachs" } else { "Icmp6InPktTooBigs" };
    net.a.wait_for(|now| Ok(now.since(&before).get(told) == Some(&COUNT)))?;
    let mut careful = sender(net, to, COUNT, BYTES, &["--df"])?;
    ensure_eq!(did(&careful.run()?, "emsgsize")?, COUNT, "sends that end in emsgsize");
    Loss::new(to, COUNT, 0)
}

/// Nobody answers to an address on the link: three wait for it until A gives it up, three questions later.
pub fn neighbour_absent(net: &Net) -> Result<Loss> {
    unresolved(net, 3)
}

/// So many wait that most are dropped at once for lack of room, and the others when A gives the address up.
pub fn neighbour_queue_full(net: &Net) -> Result<Loss> {
    // 4 datagrams of 1500 bytes would have room, as the kernel counts.
    net.a.sysctl("net/ipv4/neigh/va/unres_qlen", "4")?;
    unresolved(net, 20)
}

fn unresolved(net: &Net, count: u64) -> Result<Loss> {
    net.a.sysctl("net/ipv4/neigh/va/retrans_time_ms", "100")?;
    let to = SocketAddr::new(Family::V4.absent(), CLOSED);
    let before = Counters::of(&net.a)?;
    let mut sender = sender(net, to, count, 100, &[])?;
    ensure_eq!(did(&sender.run()?, "sent")?, count, "sends that end well");
    // A answers to itself for each that waited: the last of it is that nobody waits.
    net.a.wait_for(|now| Ok(now.since(&before).contains_key("IcmpOutDestUnreachs")))?;
    Ok(Loss::new(to, count, 0)?.from(sender))
}

fn v4(address: SocketAddr) -> Result<Ipv4Addr> {
    match address {
        SocketAddr::V4(address) => Ok(*address.ip()),
        SocketAddr::V6(_) => bail!("{address} is not IPv4"),
    }
}
