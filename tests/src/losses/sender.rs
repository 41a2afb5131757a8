//! Lost before they leave A.
use std::net::SocketAddr;

use anyhow::{Result, ensure};

use super::{CLOSED, Loss, PORT, b, did, receiver, sender};
use crate::ensure_eq;
use crate::net::{Family, Net};

/// EMSGSIZE: 2000 bytes over an MTU of 1500, and no fragments wanted.
pub fn larger_than_mtu(net: &Net, family: Family) -> Result<Loss> {
    refused(net, b(family, CLOSED), 2000, "emsgsize", &["--df"])
}

/// ENETUNREACH.
pub fn no_route(net: &Net, family: Family) -> Result<Loss> {
    refused(net, SocketAddr::new(family.far(), CLOSED), 100, "enetunreach", &[])
}

/// Every send fails, with this error.
pub(super) fn refused(net: &Net, to: SocketAddr, bytes: u64, error: &str, options: &[&str]) -> Result<Loss> {
    const COUNT: u64 = 10;
    let mut sender = sender(net, to, COUNT, bytes, options)?;
    ensure_eq!(did(&sender.run()?, error)?, COUNT, "sends that end in {error}");
    Ok(Loss::new(to, COUNT, 0)?.from(sender))
}

/// EAGAIN: what was sent before is still on its way, at 1000 bytes a second.
pub fn send_buffer_full(net: &Net) -> Result<Loss> {
    net.slow_down(1000, 1_000_000)?;
    partly(net, "eagain", 100, &["--sndbuf", "4608"])
}

/// The queue before the device holds 3000 bytes. The sender asks to be told (ENOBUFS); others are not.
pub fn queue_full(net: &Net) -> Result<Loss> {
    net.slow_down(1000, 3000)?;
    partly(net, "enobufs", 1000, &["--recverr"])
}

/// What does get out has a receiver, who has room for it. Without waiting for that: it takes longer than the test.
fn partly(net: &Net, error: &str, bytes: u64, options: &[&str]) -> Result<Loss> {
    const COUNT: u64 = 30;
    let to = b(Family::V4, PORT);
    let receiver = receiver(net, Family::V4, &[])?;
    let mut sender = sender(net, to, COUNT, bytes, options)?;
    let ends = sender.run()?;
    let (sent, failed) = (did(&ends, "sent")?, did(&ends, error)?);
    ensure_eq!(sent + failed, COUNT, "sends that end well or in {error}: {ends}");
    ensure!(sent > 0 && failed > 0, "not both: {ends}");
    Ok(Loss { received: 0, ..Loss::new(to, COUNT, sent)? }.at(receiver).from(sender))
}
