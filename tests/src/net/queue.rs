//! A token bucket before a device: what goes too fast waits, what has no room to wait is dropped.
//! Source: v6.12 include/uapi/linux/{rtnetlink,pkt_sched}.h.
use anyhow::{Context, Result};

use super::netlink::{Body, Messages, REPLACE};
use super::{INDEX, Namespace};
use crate::skip::skip;

const ROOT: u32 = u32::MAX;

/// One datagram of 1500 bytes goes at once.
const BURST: u32 = 1600;

pub fn token_bucket(namespace: &Namespace, rate: u32, limit: u32) -> Result<()> {
    const TCA_TBF_PARMS: u16 = 1;
    const TCA_TBF_BURST: u16 = 6;
    // struct tcmsg: family, index, handle, parent, info.
    let message = [libc::AF_UNSPEC as u32, INDEX, 0x1_0000, ROOT, 0].map(u32::to_ne_bytes).concat();
    // struct tc_tbf_qopt: the ratespecs of the rate and of the peak, each three words of which the first names the link
    // and the last is the rate; limit, buffer, mtu. The burst stands for the buffer.
    const ETHERNET: u32 = 1;
    let link = u32::from_ne_bytes([0, ETHERNET as u8, 0, 0]);
    let parameters = [link, 0, rate, 0, 0, 0, limit, 0, 0].map(u32::to_ne_bytes).concat();
    let options = Body::default().bytes(TCA_TBF_PARMS, &parameters).number(TCA_TBF_BURST, BURST);
    let body = Body::of(&message).text(libc::TCA_KIND, "tbf").nest(libc::TCA_OPTIONS, options);
    let flags = REPLACE | libc::NLM_F_ACK as u16;
    match Messages::one(libc::RTM_NEWQDISC, flags, body).send(namespace, libc::NETLINK_ROUTE)? {
        // No such discipline, or none at all.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {
            skip("not supported: queueing discipline tbf")
        }
        result => result.context("add queueing discipline tbf"),
    }
}
