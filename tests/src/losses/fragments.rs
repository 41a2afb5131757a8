//! Datagrams of IPv4 of which a part is missing, or comes twice.
use anyhow::Result;

use super::packets::{Fragment, ip, send_as_ip};
use super::path::v4;
use super::{Loss, PORT, b};
use crate::net::{Counters, Family, Net};

/// 12 datagrams: of each comes the first fragment, of 4 the second one too, of none the last. B waits a second.
pub fn never_completed(net: &Net) -> Result<Loss> {
    net.b.sysctl("net/ipv4/ipfrag_time", "1")?;
    let before = Counters::of(&net.b)?;
    let (first, second) = (Place { offset: 0 }, Place { offset: 24 });
    let loss = send(net, 12, |id| if id <= 4 { vec![first, second] } else { vec![first] })?;
    net.b.wait_for(|now| Ok(now.since(&before).get("IpReasmTimeout") >= Some(&loss.lost)))?;
    Ok(loss)
}

/// 10 datagrams: their second fragment begins in their first one, which is wrong in IPv4 since 4.19 too.
pub fn overlapping(net: &Net) -> Result<Loss> {
    send(net, 10, |_| vec![Place { offset: 0 }, Place { offset: 16 }])
}

/// Of 24 bytes, and not the last.
#[derive(Clone, Copy)]
struct Place {
    offset: u16,
}

fn send(net: &Net, count: u16, fragments: impl Fn(u16) -> Vec<Place>) -> Result<Loss> {
    let to = b(Family::V4, PORT);
    let source = std::net::SocketAddr::new(Family::V4.a(), PORT);
    let whole = super::packets::datagram(source, to, 40);
    let (from, at) = (v4(source)?, v4(to)?);
    let mut packets = Vec::new();
    for id in 1..=count {
        for Place { offset } in fragments(id) {
            let bytes = &whole[offset.into()..usize::from(offset) + 24];
            packets.push(ip(from, at, &Fragment { id, offset, more: true, bytes })?);
        }
    }
    send_as_ip(net, at, &packets)?;
    let loss = Loss::new(to, count.into(), 0)?;
    Ok(Loss { lost_packets: packets.len() as u64, ..loss })
}
