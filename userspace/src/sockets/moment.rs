//! What the kernel had counted when a [`Survey`] was taken, and what it counted between two of them.
use std::collections::{HashMap, HashSet};

use super::counters::Account;
use super::devices::Devices;
use super::diag::UdpSocket;
use super::softnet::Softnet;
use super::survey::{Seen, Survey};

#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// By the namespace's inode.
    namespaces: HashMap<u64, Told>,
    softnet: Option<Softnet>,
}

/// Of one namespace.
#[derive(Debug, Clone, Default)]
pub struct Told {
    counters: Option<Account>,
    devices: Option<Devices>,
    drops: HashMap<Identity, u32>,
}

/// A socket from survey to survey: its inode, else, for one that no process has as a file, its cookie or its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(u64, u64);

impl Identity {
    fn of(socket: &UdpSocket) -> Identity {
        match socket.inode {
            0 => Identity(0, socket.cookie.unwrap_or(socket.local.port().into())),
            inode => Identity::of_inode(inode),
        }
    }

    pub fn of_inode(inode: u64) -> Identity {
        Identity(inode, 0)
    }
}

impl Moment {
    pub fn of(survey: &Survey) -> Moment {
        let told = |seen: &Seen| Told {
            counters: seen.counters.clone(),
            devices: seen.devices.clone(),
            drops: seen.sockets.iter().map(|socket| (Identity::of(socket), socket.drops)).collect(),
        };
        let namespaces = survey.seen.iter().map(|seen| (seen.namespace.inode, told(seen))).collect();
        Moment { namespaces, softnet: survey.softnet.clone() }
    }

    /// None where it could not be looked into, or was not there.
    pub fn told(&self, namespace: u64) -> Option<&Told> {
        self.namespaces.get(&namespace)
    }

    /// Packets that CPUs had no room for, of the whole host. None where that cannot be read.
    pub fn softnet_since(&self, before: &Moment) -> Option<u64> {
        Some(self.softnet.as_ref()?.since(before.softnet.as_ref()?))
    }
}

impl Told {
    /// None where the counters cannot be read. A namespace that was not there before has counted from 0 on.
    pub fn counters_since(&self, before: Option<&Told>) -> Option<Account> {
        let now = self.counters.as_ref()?;
        match before {
            Some(before) => Some(now.since(before.counters.as_ref()?)),
            None => Some(now.clone()),
        }
    }

    /// As [`Devices::since`].
    pub fn devices_since(&self, before: Option<&Told>) -> Vec<(String, u64)> {
        let before = before.and_then(|before| before.devices.as_ref());
        self.devices.as_ref().zip(before).map_or_else(Vec::new, |(now, before)| now.since(before))
    }

    pub fn has(&self, socket: Identity) -> bool {
        self.drops.contains_key(&socket)
    }

    /// Dropped at these sockets, which have counted from 0 on where they were not there before. Counters may pass their
    /// end: the kernel's are 32 bits wide.
    pub fn drops_since<'a>(&self, before: Option<&Told>, sockets: impl Iterator<Item = &'a Identity>) -> u64 {
        let before = |socket| before.and_then(|before| before.drops.get(socket)).copied().unwrap_or(0);
        let each = sockets.filter_map(|socket| Some(self.drops.get(socket)?.wrapping_sub(before(socket))));
        each.map(u64::from).sum()
    }

    pub fn sockets(&self) -> impl Iterator<Item = &Identity> {
        self.drops.keys()
    }

    /// Sockets that were there and are no more: what they dropped nobody can tell any more.
    pub fn closed_since<'a>(&'a self, earlier: impl Iterator<Item = &'a Told>) -> HashSet<Identity> {
        earlier.flat_map(Told::sockets).filter(|socket| !self.has(**socket)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(drops: &[(u64, u32)]) -> Told {
        let drops = drops.iter().map(|(inode, drops)| (Identity::of_inode(*inode), *drops)).collect();
        Told { drops, ..Told::default() }
    }

    #[test]
    fn drops_of_sockets_are_since_they_were_made_or_seen() {
        let before = told(&[(1, 5), (2, u32::MAX), (3, 100)]);
        let now = told(&[(1, 5), (2, 3), (4, 7)]);
        assert_eq!(now.drops_since(Some(&before), now.sockets()), 4 + 7);
        assert_eq!(now.drops_since(None, [Identity::of_inode(4), Identity::of_inode(3)].iter()), 7);
        assert_eq!(now.closed_since([&before].into_iter()), HashSet::from([Identity::of_inode(3)]));
    }

    /// Two tunnels of the kernel's, which no process has.
    #[test]
    fn sockets_without_a_file_are_told_apart() {
        let cookies = [Some(1), Some(2), None];
        let sockets = cookies.map(|cookie| UdpSocket { cookie, ..UdpSocket::bound("0.0.0.0:4789") });
        let identities: HashSet<Identity> = sockets.iter().map(Identity::of).collect();
        assert_eq!(identities.len(), 3);
    }

    #[test]
    fn counters_that_cannot_be_read_are_unknown() {
        let account = Account::parse("Udp: NoPorts\nUdp: 7\n", "", "");
        let known = Told { counters: Some(account.clone()), ..Told::default() };
        assert_eq!(known.counters_since(None), Some(account));
        assert_eq!(known.counters_since(Some(&Told::default())), None);
        assert_eq!(Told::default().counters_since(Some(&known)), None);
    }
}
