//! A third namespace behind B, which forwards.
use anyhow::Result;

use super::{Family, Namespace, Net, links};

/// C has the second address of [`Family::beyond`], B the first.
pub struct Beyond {
    pub net: Net,
    pub c: Namespace,
}

impl Beyond {
    /// `mtu`: of the link from B to C. That from A to B has 1500.
    pub fn with_mtu(mtu: u32) -> Result<Beyond> {
        let (net, c) = (Net::two()?, Net::one()?);
        for namespace in [&net.b, &c] {
            namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        }
        links::join_beyond(&net.b, &c, mtu)?;
        net.b.sysctl("net/ipv4/ip_forward", "1")?;
        net.b.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        for family in Family::BOTH {
            links::default_route(&net.a, family.b())?;
            links::default_route(&c, family.beyond(1))?;
        }
        Ok(Beyond { net, c })
    }
}
