//! Sockets that one survey saw and the next did not: what they lost in between has their address, and may have no more.
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::diag::UdpSocket;
use super::survey::{Survey, is_at};

/// By port, with their namespace.
#[derive(Debug, Default)]
pub struct Closed {
    sockets: HashMap<u16, Vec<(u64, UdpSocket)>>,
    count: usize,
}

/// Some 3 MB. Of a host that opens one for each question the first are known.
const SOCKETS_MAX: usize = 16_384;

impl Closed {
    pub fn note(&mut self, before: &Survey, now: &Survey) {
        let open: HashSet<u64> = now.sockets().map(|(_, socket)| socket.inode).collect();
        for (namespace, socket) in before.sockets().filter(|(_, socket)| !open.contains(&socket.inode)) {
            if self.count == SOCKETS_MAX {
                return;
            }
            self.count += 1;
            let at = self.sockets.entry(socket.local.port()).or_default();
            at.push((namespace.inode, socket.clone()));
        }
    }

    /// Namespaces and inodes of those that what was sent to this address may have been meant for.
    pub fn at(&self, to: SocketAddr) -> impl Iterator<Item = (u64, u64)> {
        let there = self.sockets.get(&to.port()).into_iter().flatten();
        there.filter(move |(_, socket)| is_at(socket, to)).map(|(namespace, socket)| (*namespace, socket.inode))
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Open;

    use super::*;

    #[test]
    fn a_socket_that_is_closed_between_two_surveys_is_remembered() {
        let (ours, others) = (Open::bind("0.0.0.0:0").unwrap(), Open::bind("127.0.0.1:0").unwrap());
        let to = |socket: &Open| SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
        let (to_ours, to_others) = (to(&ours), to(&others));
        let before = Survey::take().unwrap();
        let own = before.seen[0].namespace.inode;
        let (_, socket) = before.sockets().find(|(_, socket)| is_at(socket, to_ours)).unwrap();
        let inode = socket.inode;
        drop(ours);
        let mut closed = Closed::default();
        closed.note(&before, &before.again());
        assert_eq!(closed.at(to_ours).collect::<Vec<_>>(), [(own, inode)]);
        assert_eq!(closed.at(to_others).count(), 0);
    }
}
