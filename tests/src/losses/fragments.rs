//! Datagrams of which a part is missing, or comes twice.
use std::net::SocketAddr;

use anyhow::Result;

use super::packets::{Fragment, datagram, fragment, ip, send_as_fragments, send_as_ip};
use super::{Loss, PORT, b};
use crate::net::{Counters, Family, Net};

/// 12 datagrams: of each comes the first fragment, of 4 the second one too, of none the last. B waits a second.
pub fn never_completed(net: &Net, family: Family) -> Result<Loss> {
    let (time, timeout) = match family {
        Family::V4 => ("net/ipv4/ipfrag_time", "IpReasmTimeout"),
        Family::V6 => ("net/ipv6/ip6frag_time", "Ip6ReasmTimeout"),
    };
    net.b.sysctl(time, "1")?;
    let before = Counters::of(&net.b)?;
    let (first, second) = (Place { offset: 0 }, Place { offset: 24 });
    let loss = send(net, family, 12, |id| if id <= 4 { vec![first, second] } else { vec![first] })?;
    net.b.wait_for(|now| Ok(now.since(&before).get(timeout) >= Some(&loss.lost)))?;
    Ok(loss)
}

/// 10 datagrams of IPv4: their second fragment begins in their first one, which is wrong since 4.19.
pub fn overlapping(net: &Net) -> Result<Loss> {
    send(net, Family::V4, 10, |_| vec![Place { offset: 0 }, Place { offset: 16 }])
}

/// Of 24 bytes, and not the last.
#[derive(Clone, Copy)]
struct Place {
    offset: u16,
}

fn send(net: &Net, family: Family, count: u16, fragments: impl Fn(u16) -> Vec<Place>) -> Result<Loss> {
    let to = b(family, PORT);
    let from = SocketAddr::new(family.a(), PORT);
    let whole = datagram(from, to, 40);
    let mut packets = Vec::new();
    for id in 1..=count {
        for Place { offset } in fragments(id) {
            let bytes = &whole[offset.into()..usize::from(offset) + 24];
            let part = Fragment { id, offset, more: true, bytes };
            packets.push(match (from, to) {
                (SocketAddr::V4(from), SocketAddr::V4(to)) => ip(*from.ip(), *to.ip(), &part)?,
                _ => fragment(&part)?,
            });
        }
    }
    match to {
        SocketAddr::V4(to) => send_as_ip(net, *to.ip(), &packets)?,
        SocketAddr::V6(to) => send_as_fragments(net, *to.ip(), &packets)?,
    }
    let loss = Loss::new(to, count.into(), 0)?;
    Ok(Loss { lost_packets: packets.len() as u64, ..loss })
}
