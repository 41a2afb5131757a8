//! Lost when they arrive in B, or at the copy to their reader for what is wrong with them.
use std::net::SocketAddr;

use anyhow::{Result, ensure};

use super::packets::{datagram, send_as_udp, with_bad_checksum, with_length};
use super::{CLOSED, Loss, PORT, b, did, receiver, send, send_payload, sender, sent_to_receiver};
use crate::ensure_eq;
use crate::net::{Family, HostSysctl, Net};

const COUNT: u64 = 20;

/// 100 x 512 bytes for a buffer of 4096; then it is read.
pub fn receive_buffer_full(net: &Net, family: Family) -> Result<Loss> {
    sent_to_receiver(net, family, &["--rcvbuf", "4096"], 100, 512)
}

/// The socket takes nothing.
pub fn filtered(net: &Net, family: Family) -> Result<Loss> {
    sent_to_receiver(net, family, &["--filter-drop"], COUNT, 100)
}

/// The kernel takes ESP out of the socket's datagrams, and throws away what only keeps a way open (0xff alone). 10 that are
/// too short to be either come through.
pub fn encapsulated(net: &Net, family: Family) -> Result<Loss> {
    const SHORT: u64 = 10;
    let mut receiver = receiver(net, family, &["--encap"])?;
    send_payload(net, b(family, PORT), COUNT, &[0xff])?;
    send_payload(net, b(family, PORT), SHORT, b"1234")?;
    let received = did(&receiver.run()?, "received")?;
    ensure_eq!(received, SHORT, "short ones received");
    Ok(Loss::new(b(family, PORT), COUNT + SHORT, received)?.at(receiver))
}

/// The memory of all UDP sockets together is used up: a buffer of 80 MB takes not all of 4000 x 1000 bytes. The
/// settings are the whole machine's, for the time in which this runs. Call it where the machine's own namespace is.
pub fn memory_exhausted(net: &Net, family: Family) -> Result<Loss> {
    let few_pages = HostSysctl::set("net/ipv4/udp_mem", "1 1 2")?;
    let loss = sent_to_receiver(net, family, &["--rcvbufforce", "40000000"], 4000, 1000);
    drop(few_pages);
    loss
}

/// A CPU's queue of what has come in has room for few, and 40 come before it is looked at. The setting is the whole
/// machine's, for the time in which this runs. Call it where the machine's own namespace is.
pub fn cpu_backlog(net: &Net, family: Family) -> Result<Loss> {
    cpu_backlog_by(net, family, &[])
}

/// The same, and the sender asks to be told (ENOBUFS), which not every kernel's devices do.
pub fn cpu_backlog_told(net: &Net, family: Family) -> Result<Loss> {
    cpu_backlog_by(net, family, &["--recverr"])
}

fn cpu_backlog_by(net: &Net, family: Family, options: &[&str]) -> Result<Loss> {
    const SEGMENTS: u64 = 40;
    net.a.take_no_segments()?;
    let mut receiver = receiver(net, family, &[])?;
    let options = [&["--segment", "100"], options].concat();
    let mut sender = sender(net, b(family, PORT), 1, SEGMENTS * 100, &options)?;
    let few = HostSysctl::set("net/core/netdev_max_backlog", "4")?;
    let did_send = sender.run();
    drop(few);
    let ends = did_send?;
    ensure_eq!(did(&ends, "sent")? + did(&ends, "enobufs")?, 1, "sends that end well or in ENOBUFS: {ends}");
    net.settle()?;
    let loss = Loss::new(b(family, PORT), SEGMENTS, did(&receiver.run()?, "received")?)?;
    ensure!(loss.lost > 0, "a queue of 4 took {SEGMENTS} at once");
    Ok(loss.at(receiver).from(sender))
}

pub fn no_socket(net: &Net, family: Family) -> Result<Loss> {
    send(net, b(family, CLOSED), COUNT, 100)?;
    Loss::new(b(family, CLOSED), COUNT, 0)
}

/// 40 bytes: the checksum is looked at when they arrive.
pub fn bad_checksum_small(net: &Net, family: Family) -> Result<Loss> {
    raw(net, family, &[], |whole| with_bad_checksum(whole(32)))
}

/// 400 bytes: the checksum is looked at when they are read.
pub fn bad_checksum_large(net: &Net, family: Family) -> Result<Loss> {
    raw(net, family, &[], |whole| with_bad_checksum(whole(392)))
}

/// The same, and nobody reads: the kernel looks when it is asked whether there is something to read.
pub fn bad_checksum_polled(net: &Net, family: Family) -> Result<Loss> {
    raw(net, family, &["--poll", "--read", "none"], |whole| with_bad_checksum(whole(392)))
}

/// UDP's length says more than there is.
pub fn length_too_long(net: &Net, family: Family) -> Result<Loss> {
    raw(net, family, &[], |whole| with_length(whole(100), 208))
}

/// UDP's length says less than its header has.
pub fn length_below_header(net: &Net, family: Family) -> Result<Loss> {
    raw(net, family, &[], |whole| with_length(whole(100), 4))
}

/// Half a header of UDP.
pub fn shorter_than_header(net: &Net, family: Family) -> Result<Loss> {
    raw(net, family, &[], |whole| whole(0)[..4].to_vec())
}

/// Not a socket's datagrams; `packet` makes one of a whole one with so many bytes of payload.
fn raw(
    net: &Net,
    family: Family,
    options: &[&str],
    packet: impl Fn(&dyn Fn(usize) -> Vec<u8>) -> Vec<u8>,
) -> Result<Loss> {
    let to = b(family, PORT);
    let mut receiver = receiver(net, family, options)?;
    let packet = packet(&|bytes| datagram(SocketAddr::new(family.a(), PORT), to, bytes));
    send_as_udp(net, to.ip(), &packet, COUNT)?;
    let received = did(&receiver.run()?, "received")?;
    Ok(Loss::new(to, COUNT, received)?.at(receiver))
}
