//! The losses that `spoor udp` shall tell of are provoked exactly: the kernel's own counters say so too. No spoor in here.
use std::collections::BTreeMap;

use spoor_tests::losses::{self, Loss};
use spoor_tests::net::{Beyond, Counters, Family, Namespace, Net, socket_drops};
use spoor_tests::{Context, Result, ensure, ensure_eq};

crate::tests![
    a_namespace_of_its_own_is_gone_with_the_last_who_uses_it,
    what_is_sent_arrives,
    receive_buffer_full,
    no_socket,
    bad_checksum_small,
    bad_checksum_large,
    bad_checksum_polled,
    filtered,
    encapsulated,
    length_too_long,
    length_below_header,
    shorter_than_header,
    bad_address,
    closed_unread,
    truncated,
    connected_elsewhere,
    raw_socket_full,
    reuse_port_full,
    gro_buffer_full,
    multicast_full,
    multicast_unwanted,
    memory_exhausted,
    cpu_backlog,
    fragments_never_completed,
    fragments_overlapping,
    spoofed_source,
    firewall_input,
    firewall_output,
    neighbour_absent,
    neighbour_queue_full,
    larger_than_mtu,
    no_route,
    send_buffer_full,
    queue_full,
    too_large_to_forward,
];

/// What moved in a namespace while something was lost.
struct Moved {
    loss: Loss,
    counters: BTreeMap<String, u64>,
}

impl Moved {
    fn in_(namespace: &Namespace, provoke: impl FnOnce() -> Result<Loss>) -> Result<Moved> {
        let before = Counters::of(namespace)?;
        let loss = provoke()?;
        let counters = Counters::of(namespace)?.since(&before);
        ensure!(loss.lost + loss.truncated > 0, "nothing was lost of {}", loss.sent);
        Ok(Moved { loss, counters })
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Of the counters of UDP that stand for losses, these moved by this much, and no other did.
    fn udp_counters_are(&self, wanted: &[(String, u64)]) -> Result<()> {
        let traffic = ["InDatagrams", "OutDatagrams"];
        let is_loss = |name: &str| name.starts_with("Udp") && !traffic.iter().any(|end| name.ends_with(end));
        let moved: BTreeMap<_, _> = self.counters.clone().into_iter().filter(|(name, _)| is_loss(name)).collect();
        ensure_eq!(moved, wanted.iter().cloned().collect(), "counters that moved; all: {:?}", self.counters);
        Ok(())
    }
}

/// In both families: lost in B, where these counters moved by it, and the socket's own, if it has one, if `socket`.
fn in_b(provoke: fn(&Net, Family) -> Result<Loss>, names: &[&str], socket: bool) -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.b, || provoke(&net, family)).with_context(|| format!("{family:?}"))?;
        let lost = moved.loss.lost_packets;
        let wanted: Vec<_> = names.iter().map(|name| (family.counter(name), lost)).collect();
        moved.udp_counters_are(&wanted).with_context(|| format!("{family:?}, {lost} lost"))?;
        let drops: u64 = socket_drops(&net.b, family, moved.loss.to.port())?.iter().sum();
        ensure_eq!(drops, if socket { lost } else { 0 }, "drops of the socket, {family:?}");
    }
    Ok(())
}

fn a_namespace_of_its_own_is_gone_with_the_last_who_uses_it() -> Result<()> {
    let own = std::fs::read_link("/proc/self/ns/net")?;
    let namespace = Net::one()?;
    let (inside, devices) = namespace.run(|| {
        let devices = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        Ok((std::fs::read_link("/proc/thread-self/ns/net")?, devices))
    })?;
    ensure!(inside != own, "{} is ours", inside.display());
    ensure!(inside.display().to_string().contains(&namespace.inode()?.to_string()), "{}", inside.display());
    ensure!(devices.contains("lo:") && !devices.contains("eth"), "devices: {devices}");
    ensure_eq!(std::fs::read_link("/proc/thread-self/ns/net")?, own, "where the test is afterwards");
    Ok(())
}

/// Both families, and both ways: nothing is lost that nobody provoked.
fn what_is_sent_arrives() -> Result<()> {
    let net = Net::two()?;
    let before = [Counters::of(&net.a)?, Counters::of(&net.b)?];
    for family in Family::BOTH {
        for (from, to, address) in [(&net.a, &net.b, family.b()), (&net.b, &net.a, family.a())] {
            let receiver = to.run(|| Ok(std::net::UdpSocket::bind((address, 0))?))?;
            receiver.set_read_timeout(Some(spoor_tests::patience()))?;
            let sender = from.run(|| Ok(std::net::UdpSocket::bind((family.any(), 0))?))?;
            for number in 0..10u8 {
                sender.send_to(&[number], receiver.local_addr()?)?;
                let mut read = [0; 2];
                ensure_eq!(receiver.recv(&mut read)?, 1, "bytes");
                ensure_eq!(read[0], number, "what arrived at {address}");
            }
        }
    }
    net.settle()?;
    for (namespace, before) in [&net.a, &net.b].into_iter().zip(before) {
        let moved = Counters::of(namespace)?.since(&before);
        for (name, wanted) in [("UdpInDatagrams", 10), ("Udp6InDatagrams", 10), ("UdpOutDatagrams", 10)] {
            ensure_eq!(moved.get(name).copied(), Some(wanted), "{name} in {moved:?}");
        }
        ensure!(moved.keys().all(|name| !name.contains("Error") && !name.contains("NoPorts")), "{moved:?}");
    }
    Ok(())
}

fn receive_buffer_full() -> Result<()> {
    in_b(losses::receive_buffer_full, &["InErrors", "RcvbufErrors"], true)
}

fn no_socket() -> Result<()> {
    in_b(losses::no_socket, &["NoPorts"], false)
}

fn bad_checksum_small() -> Result<()> {
    in_b(losses::bad_checksum_small, &["InErrors", "InCsumErrors"], false)
}

fn bad_checksum_large() -> Result<()> {
    in_b(losses::bad_checksum_large, &["InErrors", "InCsumErrors"], true)
}

/// The kernel has one place for both families, and counts there what it finds in the counters of IPv4.
fn bad_checksum_polled() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.b, || losses::bad_checksum_polled(&net, family))?;
        let lost = moved.loss.lost;
        moved.udp_counters_are(&[("UdpInErrors".into(), lost), ("UdpInCsumErrors".into(), lost)])?;
        ensure_eq!(socket_drops(&net.b, family, moved.loss.to.port())?, [lost], "drops of the socket, {family:?}");
    }
    Ok(())
}

fn filtered() -> Result<()> {
    in_b(losses::filtered, &["InErrors"], true)
}

/// The kernel has taken them for its own, and counts them as received.
fn encapsulated() -> Result<()> {
    in_b(losses::encapsulated, &[], false)
}

fn length_too_long() -> Result<()> {
    in_b(losses::length_too_long, &["InErrors"], false)
}

fn length_below_header() -> Result<()> {
    in_b(losses::length_below_header, &["InErrors"], false)
}

fn shorter_than_header() -> Result<()> {
    in_b(losses::shorter_than_header, &["InErrors"], false)
}

fn bad_address() -> Result<()> {
    in_b(losses::bad_address, &["InErrors"], true)
}

fn closed_unread() -> Result<()> {
    in_b(losses::closed_unread, &[], false)
}

fn truncated() -> Result<()> {
    in_b(losses::truncated, &[], false)
}

fn connected_elsewhere() -> Result<()> {
    in_b(losses::connected_elsewhere, &["NoPorts"], false)
}

/// Nothing of UDP's is lost.
fn raw_socket_full() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let before = Counters::of(&net.b)?;
        let loss = losses::raw_socket_full(&net, family)?;
        ensure_eq!((loss.sent, loss.received), (100, 100), "sent and received, {family:?}");
        let moved = Counters::of(&net.b)?.since(&before);
        ensure!(!moved.contains_key(&family.counter("InErrors")), "{moved:?}");
    }
    Ok(())
}

fn reuse_port_full() -> Result<()> {
    in_b(losses::reuse_port_full, &["InErrors", "RcvbufErrors"], true)
}

/// The kernel counts packets, of ten datagrams each where they travel together.
fn gro_buffer_full() -> Result<()> {
    in_b(losses::gro_buffer_full, &["InErrors", "RcvbufErrors"], true)
}

/// Each of the three sockets counts what it lost.
fn multicast_full() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.b, || losses::multicast_full(&net))?;
    let lost = moved.loss.lost;
    moved.udp_counters_are(&[("UdpInErrors".into(), lost), ("UdpRcvbufErrors".into(), lost)])?;
    let drops = socket_drops(&net.b, Family::V4, moved.loss.to.port())?;
    ensure_eq!(drops, [lost / 3; 3], "drops of the sockets, {lost} lost");
    Ok(())
}

fn multicast_unwanted() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.b, || losses::multicast_unwanted(&net))?;
    moved.udp_counters_are(&[("UdpIgnoredMulti".into(), moved.loss.lost)])
}

/// Which counters move is different from kernel to kernel: none in 6.18.
fn memory_exhausted() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.b, || losses::memory_exhausted(&net, family))?;
        let lost = moved.loss.lost;
        ensure_eq!(socket_drops(&net.b, family, moved.loss.to.port())?, [lost], "drops of the socket");
        let of = |name: &str| moved.counter(&family.counter(name));
        let (errors, memory) = (of("InErrors"), of("MemErrors"));
        ensure!([0, lost].contains(&errors), "InErrors {errors} of {lost}");
        ensure!([0, errors].contains(&memory), "MemErrors {memory} of {lost}");
        ensure_eq!(of("RcvbufErrors"), 0, "RcvbufErrors of {lost}");
    }
    Ok(())
}

fn cpu_backlog() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.b, || losses::cpu_backlog(&net, family))?;
        moved.udp_counters_are(&[])?;
        ensure_eq!(socket_drops(&net.b, family, moved.loss.to.port())?, [0], "drops of the socket");
    }
    Ok(())
}

fn fragments_never_completed() -> Result<()> {
    for (family, names) in
        [(Family::V4, ["IpReasmTimeout", "IpReasmFails"]), (Family::V6, ["Ip6ReasmTimeout", "Ip6ReasmFails"])]
    {
        let net = Net::two()?;
        let moved = Moved::in_(&net.b, || losses::never_completed(&net, family))?;
        ensure_eq!((moved.loss.lost, moved.loss.lost_packets), (12, 16), "datagrams and fragments");
        for name in names {
            ensure_eq!(moved.counter(name), 12, "{name} in {:?}", moved.counters);
        }
        moved.udp_counters_are(&[])?;
    }
    Ok(())
}

fn fragments_overlapping() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.b, || losses::overlapping(&net))?;
    ensure_eq!((moved.loss.lost, moved.loss.lost_packets), (10, 20), "datagrams and fragments");
    for name in ["TcpExtReasmOverlaps", "IpExtReasmOverlaps", "IpReasmFails"] {
        let exists = moved.counters.contains_key(name);
        ensure!(!exists || moved.counter(name) == 10, "{name} in {:?}", moved.counters);
    }
    ensure_eq!(moved.counter("IpReasmFails"), 10, "{:?}", moved.counters);
    moved.udp_counters_are(&[])
}

fn spoofed_source() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.b, || losses::spoofed_source(&net))?;
    ensure_eq!(moved.counter("TcpExtIPReversePathFilter"), moved.loss.lost, "{:?}", moved.counters);
    moved.udp_counters_are(&[])
}

fn firewall_input() -> Result<()> {
    in_b(losses::firewall_input, &[], false)
}

/// In A: sends that fail, and IP's count of what it did not send.
fn firewall_output() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.a, || losses::firewall_output(&net, family))?;
        ensure_eq!(moved.counter(out_discards(family)), moved.loss.lost, "{family:?}: {:?}", moved.counters);
        moved.udp_counters_are(&[])?;
    }
    Ok(())
}

fn out_discards(family: Family) -> &'static str {
    if family == Family::V4 { "IpOutDiscards" } else { "Ip6OutDiscards" }
}

fn neighbour_absent() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.a, || losses::neighbour_absent(&net))?;
    for name in ["UdpOutDatagrams", "IcmpInDestUnreachs"] {
        ensure_eq!(moved.counter(name), moved.loss.lost, "{name} in {:?}", moved.counters);
    }
    moved.udp_counters_are(&[])
}

/// A tells itself of those that waited; of the others nobody is told.
fn neighbour_queue_full() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.a, || losses::neighbour_queue_full(&net))?;
    ensure_eq!(moved.counter("UdpOutDatagrams"), moved.loss.lost, "{:?}", moved.counters);
    let waited = moved.counter("IcmpInDestUnreachs");
    ensure!(waited > 0 && waited < moved.loss.lost, "{:?}", moved.counters);
    moved.udp_counters_are(&[])
}

/// Lost in A, for which only the sender's errno is to be had.
fn larger_than_mtu() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.a, || losses::larger_than_mtu(&net, family))?;
        moved.udp_counters_are(&[])?;
    }
    Ok(())
}

fn no_route() -> Result<()> {
    for family in Family::BOTH {
        let net = Net::two()?;
        let moved = Moved::in_(&net.a, || losses::no_route(&net, family))?;
        let name = if family == Family::V4 { "IpOutNoRoutes" } else { "Ip6OutNoRoutes" };
        ensure_eq!(moved.counter(name), moved.loss.lost, "{name} in {:?}", moved.counters);
        moved.udp_counters_are(&[])?;
    }
    Ok(())
}

fn send_buffer_full() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.a, || losses::send_buffer_full(&net))?;
    moved.udp_counters_are(&[("UdpSndbufErrors".into(), moved.loss.lost)])
}

/// Not a send buffer, for all that the counter says.
fn queue_full() -> Result<()> {
    let net = Net::two()?;
    let moved = Moved::in_(&net.a, || losses::queue_full(&net))?;
    ensure_eq!(moved.counter("IpOutDiscards"), moved.loss.lost, "{:?}", moved.counters);
    moved.udp_counters_are(&[("UdpSndbufErrors".into(), moved.loss.lost)])
}

/// B counts what it could not forward, and what of that it may not take apart.
fn too_large_to_forward() -> Result<()> {
    for (family, names) in [(Family::V4, &["IpFragFails"][..]), (Family::V6, &["Ip6FragFails", "Ip6InTooBigErrors"])] {
        let way = Beyond::with_mtu(1280)?;
        let moved = Moved::in_(&way.net.b, || losses::too_large_to_forward(&way, family))?;
        for name in names {
            ensure_eq!(moved.counter(name), moved.loss.lost, "{name} in {:?}", moved.counters);
        }
        moved.udp_counters_are(&[])?;
    }
    Ok(())
}
