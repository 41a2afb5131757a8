//! The UDP sockets of all network namespaces that can be looked into: /proc and sock_diag in, [`Survey`] out, with what
//! could not be seen. Each namespace is entered once, whatever is read there.
use std::fs;
use std::io::{ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::counters::Account;
use super::devices::Devices;
use super::diag::{self, UdpSocket};
use super::namespaces::{self, Namespace, Namespaces};
use super::softnet::Softnet;

#[derive(Debug)]
pub struct Survey {
    /// The own namespace first.
    pub seen: Vec<Seen>,
    /// Namespaces that say nothing, and why.
    pub refused: Vec<(Namespace, std::io::Error)>,
    /// Processes whose namespace we may not know.
    pub hidden: Vec<u32>,
    /// Of the whole host. None where counters were not asked for, or cannot be read.
    pub softnet: Option<Softnet>,
    depth: Depth,
}

#[derive(Debug)]
pub struct Seen {
    pub namespace: Namespace,
    pub sockets: Vec<UdpSocket>,
    /// None where counters were not asked for, or cannot be read.
    pub counters: Option<Account>,
    pub devices: Option<Devices>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Sockets,
    Counters,
}

impl Survey {
    /// Sockets alone.
    ///
    /// Errors: /proc is not there.
    pub fn take() -> Result<Survey> {
        Ok(Survey::of(namespaces::namespaces()?, Depth::Sockets))
    }

    /// With the kernel's counters.
    ///
    /// Errors: /proc is not there.
    pub fn with_counters() -> Result<Survey> {
        Ok(Survey::of(namespaces::namespaces()?, Depth::Counters))
    }

    /// Of the namespaces that were seen, without looking for others.
    pub fn again(&self) -> Survey {
        let known = self.namespaces().cloned().collect();
        let namespaces = Namespaces { known, hidden: self.hidden.clone() };
        Survey::of(namespaces, self.depth)
    }

    fn of(Namespaces { known, hidden }: Namespaces, depth: Depth) -> Survey {
        let softnet = || fs::read_to_string("/proc/thread-self/net/softnet_stat").ok();
        let softnet = (depth == Depth::Counters).then(softnet).flatten().map(|text| Softnet::parse(&text));
        let mut survey = Survey { seen: Vec::new(), refused: Vec::new(), hidden, softnet, depth };
        for namespace in known {
            match Seen::read(&namespace, depth) {
                Ok(seen) => survey.seen.push(seen),
                // It ended in between.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => survey.refused.push((namespace, error)),
            }
        }
        survey
    }

    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.seen.iter().map(|seen| &seen.namespace)
    }

    pub fn sockets(&self) -> impl Iterator<Item = (&Namespace, &UdpSocket)> {
        self.seen.iter().flat_map(|seen| seen.sockets.iter().map(|socket| (&seen.namespace, socket)))
    }

    /// Sockets of a namespace that what is sent to this address may be meant for.
    pub fn at(&self, namespace: u64, to: SocketAddr) -> impl Iterator<Item = &UdpSocket> {
        let sockets = self.sockets().filter(move |(its, _)| its.inode == namespace);
        sockets.map(|(_, socket)| socket).filter(move |socket| is_at(socket, to))
    }
}

impl Seen {
    /// Errors: those of sockets alone, as [`namespaces::within_or_beside`] has them.
    fn read(namespace: &Namespace, depth: Depth) -> Result<Seen> {
        let seen = |folder: &Path, sockets: Vec<UdpSocket>| {
            let counted = depth == Depth::Counters;
            // A device's name may hold anything.
            let devices = || fs::read(folder.join("dev")).ok();
            Seen {
                namespace: namespace.clone(),
                sockets,
                counters: counted.then(|| Account::of_proc(folder).ok()).flatten(),
                devices: counted.then(devices).flatten().map(|text| Devices::parse(&String::from_utf8_lossy(&text))),
            }
        };
        namespaces::within_or_beside(
            namespace,
            || Ok(seen(Path::new("/proc/thread-self/net"), diag::udp_sockets()?)),
            |folder| Ok(seen(folder, diag::of_proc(folder)?)),
        )
    }
}

/// Whether it is bound to this address, or to all of its kind: one of IPv6 takes IPv4, too, unless it was told not to.
pub(super) fn is_at(socket: &UdpSocket, to: SocketAddr) -> bool {
    let bound = socket.local.ip();
    let same = bound.to_canonical() == to.ip().to_canonical();
    let any = match bound {
        IpAddr::V4(bound) => bound.is_unspecified() && to.ip().to_canonical().is_ipv4(),
        IpAddr::V6(bound) => bound.is_unspecified(),
    };
    socket.local.port() == to.port() && (same || any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_what_was_sent_to() {
        for (local, to, is_meant) in [
            ("127.0.0.1:53", "127.0.0.1:53", true),
            ("127.0.0.1:53", "127.0.0.1:54", false),
            ("127.0.0.1:53", "127.0.0.2:53", false),
            ("0.0.0.0:53", "127.0.0.2:53", true),
            ("0.0.0.0:53", "[::1]:53", false),
            ("[::]:53", "[::1]:53", true),
            ("[::]:53", "127.0.0.1:53", true),
            ("[::1]:53", "[::2]:53", false),
            ("[::ffff:127.0.0.1]:53", "127.0.0.1:53", true),
        ] {
            assert_eq!(is_at(&UdpSocket::bound(local), to.parse().unwrap()), is_meant, "{local} {to}");
        }
    }

    #[test]
    fn a_socket_of_ours_is_in_the_survey() {
        let ours = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let survey = Survey::take().unwrap();
        let own = survey.seen[0].namespace.inode;
        assert!(survey.seen[0].namespace.is_own());
        let found: Vec<_> = survey.at(own, ours.local_addr().unwrap()).map(|socket| socket.local).collect();
        assert_eq!(found, [ours.local_addr().unwrap()]);
        assert_eq!(survey.at(own + 1, ours.local_addr().unwrap()).count(), 0);
        assert!(survey.seen[0].counters.is_none() && survey.softnet.is_none());
    }

    /// Once more, it is the same namespaces that are read, and as much of them.
    #[test]
    fn counters_are_read_where_they_are_asked_for() {
        let survey = Survey::with_counters().unwrap();
        let again = survey.again();
        for survey in [&survey, &again] {
            assert!(survey.seen[0].counters.is_some() && survey.seen[0].devices.is_some() && survey.softnet.is_some());
        }
        assert!(again.namespaces().all(|namespace| survey.namespaces().any(|known| known == namespace)));
    }
}
