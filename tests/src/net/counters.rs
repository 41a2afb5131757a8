//! The kernel's own counters of a namespace.
use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{Family, Namespace};

/// By names as `nstat` has them: `UdpInErrors`, `Udp6InErrors`, `TcpExtIPReversePathFilter`.
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    pub fn of(namespace: &Namespace) -> Result<Counters> {
        let mut counters = BTreeMap::new();
        for file in ["snmp", "netstat"] {
            two_lines_each(&namespace.proc_net(file)?, &mut counters).with_context(|| format!("read {file}"))?;
        }
        for line in namespace.proc_net("snmp6")?.lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(value)) = (words.next(), words.next()) {
                counters.insert(name.to_owned(), value.parse().with_context(|| format!("read snmp6: {line}"))?);
            }
        }
        Ok(Counters(counters))
    }

    /// What has moved, and by how much.
    pub fn since(&self, before: &Counters) -> BTreeMap<String, u64> {
        let moved = self.0.iter().map(|(name, now)| (name.clone(), now.wrapping_sub(before.get(name))));
        moved.filter(|(_, by)| *by != 0).collect()
    }

    /// 0 where the kernel has none of this name.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// A line of names, then one of values, both with the same first word.
fn two_lines_each(text: &str, counters: &mut BTreeMap<String, u64>) -> Result<()> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (group, names) = names.split_once(": ").context("a line of names")?;
        let (_, values) = values.split_once(": ").context("a line of values")?;
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            // -1 is a value of Tcp's MaxConn.
            let value: i64 = value.parse().with_context(|| format!("{name} is {value}"))?;
            counters.insert(format!("{group}{name}"), value as u64);
        }
    }
    Ok(())
}

/// What the sockets of a port have dropped, in the order in which the kernel lists them.
pub fn socket_drops(namespace: &Namespace, family: Family, port: u16) -> Result<Vec<u64>> {
    drops_in(&namespace.proc_net(if family == Family::V4 { "udp" } else { "udp6" })?, port)
}

/// What raw sockets for UDP have dropped.
pub fn raw_socket_drops(namespace: &Namespace, family: Family) -> Result<Vec<u64>> {
    // In place of the port stands the protocol.
    const UDP: u16 = libc::IPPROTO_UDP as u16;
    drops_in(&namespace.proc_net(if family == Family::V4 { "raw" } else { "raw6" })?, UDP)
}

fn drops_in(table: &str, port: u16) -> Result<Vec<u64>> {
    let end = format!(":{port:04X}");
    let mut drops = Vec::new();
    for line in table.lines().skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        if words.get(1).is_some_and(|local| local.ends_with(&end)) {
            drops.push(words.last().context("a line of sockets")?.parse().with_context(|| line.to_owned())?);
        }
    }
    Ok(drops)
}
