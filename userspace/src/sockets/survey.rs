//! The UDP sockets of all network namespaces that can be looked into: /proc and sock_diag in, [`Survey`] out, with what
//! could not be seen.
use std::io::Result;
use std::net::{IpAddr, SocketAddr};

use super::diag::{self, UdpSocket};
use super::namespaces::{self, Namespace, Namespaces};

#[derive(Debug)]
pub struct Survey {
    /// The own namespace first.
    pub seen: Vec<Seen>,
    /// Namespaces that say nothing, and why.
    pub refused: Vec<(Namespace, std::io::Error)>,
    /// Processes whose namespace we may not know.
    pub hidden: Vec<u32>,
}

#[derive(Debug)]
pub struct Seen {
    pub namespace: Namespace,
    pub sockets: Vec<UdpSocket>,
}

impl Survey {
    /// Errors: /proc is not there.
    pub fn take() -> Result<Survey> {
        let Namespaces { known, hidden } = namespaces::namespaces()?;
        let mut survey = Survey { seen: Vec::new(), refused: Vec::new(), hidden };
        for namespace in known {
            match namespaces::within_or_beside(&namespace, diag::udp_sockets, diag::of_proc) {
                Ok(sockets) => survey.seen.push(Seen { namespace, sockets }),
                // It ended in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => survey.refused.push((namespace, error)),
            }
        }
        Ok(survey)
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

/// Whether it is bound to this address, or to all of its kind: one of IPv6 takes IPv4, too, unless it was told not to.
fn is_at(socket: &UdpSocket, to: SocketAddr) -> bool {
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

    fn socket(local: &str) -> UdpSocket {
        UdpSocket {
            local: local.parse().unwrap(),
            remote: None,
            interface: None,
            inode: 0,
            cookie: None,
            uid: 0,
            rmem: None,
            rcvbuf: None,
            wmem: None,
            sndbuf: None,
            drops: 0,
            rx_queue: 0,
            tx_queue: 0,
        }
    }

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
            assert_eq!(is_at(&socket(local), to.parse().unwrap()), is_meant, "{local} {to}");
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
    }
}
