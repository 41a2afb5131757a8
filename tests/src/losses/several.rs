//! Datagrams that several sockets might have got, or none for whom else it is connected to; and several in one packet.
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Loss, PORT, b, did, receiver, send, sender, sent_to_receiver, socket};
use crate::ensure_eq;
use crate::net::{Family, INDEX, Net, raw_socket_drops};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 0, 1);
const COUNT: u64 = 20;

/// 20 datagrams for three sockets, each of which has room for less.
pub fn multicast_full(net: &Net) -> Result<Loss> {
    const SOCKETS: u64 = 3;
    let join = format!("{GROUP}%{INDEX}");
    let options = ["--sockets", "3", "--reuse-address", "--rcvbuf", "4096", "--join", &join];
    let mut receiver = receiver(net, Family::V4, &options)?;
    send_to_group(net, PORT)?;
    let received = did(&receiver.run()?, "received")?;
    let loss = Loss::new((GROUP, PORT).into(), SOCKETS * COUNT, received)?;
    Ok(Loss { sent: COUNT, ..loss }.at(receiver))
}

/// B listens to the group, but at another port.
pub fn multicast_unwanted(net: &Net) -> Result<Loss> {
    let mut receiver = receiver(net, Family::V4, &["--join", &format!("{GROUP}%{INDEX}")])?;
    send_to_group(net, PORT + 1)?;
    ensure_eq!(did(&receiver.run()?, "received")?, 0, "datagrams at another port");
    Ok(Loss::new((GROUP, PORT + 1).into(), COUNT, 0)?.at(receiver))
}

fn send_to_group(net: &Net, port: u16) -> Result<()> {
    let socket = socket(net, Family::V4.a())?;
    let from = Family::V4.a().to_string().parse().context("an address of IPv4")?;
    SockRef::from(&socket).set_multicast_if_v4(&from).context("IP_MULTICAST_IF")?;
    for _ in 0..COUNT {
        socket.send_to(&[b'x'; 512], (GROUP, port)).context("send to a group")?;
    }
    net.settle()
}

/// A raw socket for packets of UDP has room for few of the copies that it gets, and is closed with those unread. The
/// receiver has room for all of them.
pub fn raw_socket_full(net: &Net, family: Family) -> Result<Loss> {
    let domain = Domain::for_address(b(family, PORT));
    let raw = net.b.run(|| Socket::new(domain, Type::RAW, Some(Protocol::UDP)).context("a raw socket"))?;
    raw.set_recv_buffer_size(4096).context("SO_RCVBUF")?;
    let loss = sent_to_receiver(net, family, &[], 100, 517)?;
    let drops = raw_socket_drops(&net.b, family)?;
    ensure!(matches!(drops[..], [1..100]), "drops of the raw socket: {drops:?} of 100");
    drop(raw);
    ensure_eq!(loss.lost, 0, "lost by the receiver");
    Ok(loss)
}

/// Two sockets have the port; the kernel picks one by who sends.
pub fn reuse_port_full(net: &Net, family: Family) -> Result<Loss> {
    let mut receiver = receiver(net, family, &["--sockets", "2", "--reuse-port", "--rcvbuf", "4096"])?;
    let senders = 20;
    for _ in 0..senders {
        send(net, b(family, PORT), 10, 512)?;
    }
    let read = receiver.run()?;
    // Of 20 senders one socket gets all in 2 of a million runs.
    ensure!(did(&read, "received_0")? > 0 && did(&read, "received_1")? > 0, "one socket got all: {read}");
    Ok(Loss::new(b(family, PORT), 10 * senders, did(&read, "received")?)?.at(receiver))
}

/// The receiver is connected to somebody else.
pub fn connected_elsewhere(net: &Net, family: Family) -> Result<Loss> {
    let peer = SocketAddr::new(family.a(), 1).to_string();
    sent_to_receiver(net, family, &["--connect", &peer], COUNT, 100)
}

/// 30 packets of 10 segments of 100 bytes each, for a buffer with room for less. Either all segments of a packet are
/// read, at once, or none; but on kernels whose veth devices take no such packets (5.10) each segment travels alone.
pub fn gro_buffer_full(net: &Net, family: Family) -> Result<Loss> {
    const PACKETS: u64 = 30;
    let mut receiver = receiver(net, family, &["--gro", "--rcvbuf", "4096"])?;
    let mut sender = sender(net, b(family, PORT), PACKETS, 1000, &["--segment", "100"])?;
    ensure_eq!(did(&sender.run()?, "sent")?, PACKETS, "sends that end well");
    net.settle()?;
    let read = receiver.run()?;
    let (packets, segments) = (did(&read, "received")?, did(&read, "bytes")? / 100);
    let loss = Loss::new(b(family, PORT), PACKETS * 10, segments)?;
    let lost_packets = match segments {
        _ if segments == packets * 10 => PACKETS - packets,
        _ if segments == packets => loss.lost,
        _ => bail!("{segments} segments in {packets} packets"),
    };
    Ok(Loss { lost_packets, ..loss }.at(receiver).from(sender))
}
