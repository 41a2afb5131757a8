//! Network namespaces of a test's own: one with loopback only, or two joined by a pair of devices, made by the kernel's
//! messages alone. Everything in them goes when they are dropped.
mod beyond;
mod counters;
mod family;
mod firewall;
mod links;
mod namespace;
mod netlink;
mod queue;
mod settle;
mod sysctl;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

pub use beyond::Beyond;
pub use counters::{Counters, raw_socket_drops, socket_drops};
pub use family::Family;
pub use firewall::Hook;
pub use links::INDEX;
pub use namespace::Namespace;
pub use sysctl::HostSysctl;

use settle::Marker;

use crate::patience;

/// Namespace A sends, namespace B receives. Addresses are those of [`Family`], on devices `va` and `vb`, both with
/// [`INDEX`]; each knows the other's hardware address.
pub struct Net {
    pub a: Namespace,
    pub b: Namespace,
    marker: Marker,
}

impl Net {
    /// A namespace with loopback only.
    pub fn one() -> Result<Namespace> {
        let namespace = Namespace::new()?;
        links::loopback_up(&namespace)?;
        Ok(namespace)
    }

    /// Two, with devices of 1500 bytes MTU.
    pub fn two() -> Result<Net> {
        Net::with_mtu(1500)
    }

    /// Errors: [`Skip`](crate::skip::Skip) where the kernel has no veth devices.
    pub fn with_mtu(mtu: u32) -> Result<Net> {
        let (a, b) = (Net::one()?, Net::one()?);
        for namespace in [&a, &b] {
            // Nothing is sent that nobody asked for.
            namespace.sysctl("net/ipv6/conf/default/addr_gen_mode", "1")?;
            namespace.sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
            namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        }
        links::join(&a, &b, mtu)?;
        for family in Family::BOTH {
            Marker::new(&a, &b, family.b())?.first()?;
            Marker::new(&b, &a, family.a())?.first()?;
        }
        let marker = Marker::new(&a, &b, Family::V4.b())?;
        Ok(Net { a, b, marker })
    }

    /// Returns once everything that A has sent before was handled in B, on whichever CPU.
    pub fn settle(&self) -> Result<()> {
        self.marker.settle()
    }

    /// What A sends goes out at `rate` bytes a second, and waits in a queue of `limit` bytes.
    ///
    /// Errors: [`Skip`](crate::skip::Skip) where the kernel has no tbf.
    pub fn slow_down(&self, rate: u32, limit: u32) -> Result<()> {
        queue::token_bucket(&self.a, rate, limit)
    }
}

impl Namespace {
    /// Of its device, and not of the one that it is joined to.
    pub fn set_mtu(&self, mtu: u32) -> Result<()> {
        links::set_mtu(self, mtu)
    }

    /// What is sent as one packet of several datagrams goes out as several packets at once.
    pub fn take_no_segments(&self) -> Result<()> {
        links::take_no_segments(self)
    }

    /// Until the counters are as they shall be.
    pub fn wait_for(&self, done: impl Fn(&Counters) -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !done(&Counters::of(self)?)? {
            ensure!(started.elapsed() < patience(), "the counters of a namespace do not move");
            // Timers of the kernel's are what this waits for.
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// All UDP datagrams end at this hook, in both families.
    ///
    /// Errors: [`Skip`](crate::skip::Skip) where the kernel has no nf_tables.
    pub fn drop_udp(&self, hook: Hook) -> Result<()> {
        firewall::drop_udp(self, hook)
    }
}
