//! What the rows of a report say of each network namespace, sorted by which of the kernel's counters should say it, too.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::providers::{AtSocket, Counted};
use crate::sockets::moment::Identity;

/// In packets, as the kernel counts.
#[derive(Default)]
pub struct Sums {
    namespaces: HashMap<u64, Sum>,
    /// By class: what none of UDP's counters records, and what no counter records at all.
    pub elsewhere: BTreeMap<u16, u64>,
    pub nowhere: BTreeMap<u16, u64>,
    /// Of what found no room in the table, nothing is known.
    other: u64,
}

/// One row.
pub struct Lost {
    /// 0: not known.
    pub namespace: u64,
    pub class: u16,
    pub counted: Counted,
    pub packets: u64,
    pub at: At,
}

/// Where the socket is that should have counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The kernel named it, and it is still there.
    Open,
    /// One is there that has the address and port.
    Similar,
    /// The kernel named it, and it is gone.
    Closed(u64),
    /// None has the address and port.
    Unknown,
}

#[derive(Default)]
struct Sum {
    counted: u64,
    memory: u64,
    open: u64,
    similar: u64,
    /// At sockets that are gone or were not found.
    missing: u64,
    /// In the counters of sockets, or not.
    perhaps: u64,
    closed: HashSet<Identity>,
}

/// What rows explain of a counter: so much, if all is as it seems; so much at least and at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub packets: u64,
    pub bounds: RangeInclusive<u64>,
}

impl Sums {
    /// `other` is in no row.
    pub fn new(other: u64) -> Sums {
        Sums { other, ..Sums::default() }
    }

    pub fn add(&mut self, lost: Lost) {
        let Lost { namespace, class, counted, packets, at } = lost;
        let sum = self.namespaces.entry(namespace).or_default();
        match counted {
            Counted::Namespace(_) => sum.counted += packets,
            Counted::Memory => sum.memory += packets,
            Counted::Elsewhere => *self.elsewhere.entry(class).or_default() += packets,
            Counted::Nowhere => *self.nowhere.entry(class).or_default() += packets,
        }
        match (counted.at_socket(), at) {
            (AtSocket::Never, _) => {}
            (AtSocket::Perhaps, _) => sum.perhaps += packets,
            (AtSocket::Always, At::Open) => sum.open += packets,
            (AtSocket::Always, At::Similar) => sum.similar += packets,
            (AtSocket::Always, At::Unknown) => sum.missing += packets,
            (AtSocket::Always, At::Closed(inode)) => {
                sum.missing += packets;
                sum.closed.insert(Identity::of_inode(inode));
            }
        }
    }

    /// Of the namespace's own counters, which have losses for want of memory among them or not.
    pub fn of_namespace(&self, namespace: u64, with_memory: bool) -> Explained {
        let known = |sum: &Sum| sum.counted + if with_memory { sum.memory } else { 0 };
        let packets = self.of(namespace).map_or(0, known);
        Explained { packets, bounds: packets..=packets + self.unplaced(namespace, known) }
    }

    /// Of the counters that sockets have which are still there. Where others were closed, what a socket lost that the kernel
    /// did not name may be theirs.
    pub fn of_sockets(&self, namespace: u64, has_closed: bool) -> Explained {
        let all = |sum: &Sum| sum.open + sum.similar + sum.missing + sum.perhaps;
        let unplaced = self.unplaced(namespace, all);
        let Some(sum) = self.of(namespace) else { return Explained { packets: 0, bounds: 0..=unplaced } };
        let packets = sum.open + sum.similar;
        let least = if has_closed { sum.open } else { packets };
        Explained { packets, bounds: least..=all(sum) + unplaced }
    }

    /// Packets whose socket is gone or was not found.
    pub fn missing(&self, namespace: u64) -> u64 {
        self.of(namespace).map_or(0, |sum| sum.missing)
    }

    /// Sockets that rows name and that are gone.
    pub fn closed(&self, namespace: u64) -> impl Iterator<Item = Identity> {
        self.of(namespace).into_iter().flat_map(|sum| sum.closed.iter().copied())
    }

    /// Namespaces of rows.
    pub fn namespaces(&self) -> impl Iterator<Item = u64> {
        self.namespaces.keys().copied().filter(|namespace| *namespace != 0)
    }

    fn of(&self, namespace: u64) -> Option<&Sum> {
        self.namespaces.get(&namespace)
    }

    /// What may be of any namespace.
    fn unplaced(&self, namespace: u64, part: impl Fn(&Sum) -> u64) -> u64 {
        let nobodys = self.of(0).filter(|_| namespace != 0);
        self.other + nobodys.map_or(0, part)
    }
}

impl Explained {
    /// What counters say beyond the rows, below 0: less than they do. They counted between `low` and `high`.
    pub fn unexplained(&self, low: u64, high: u64) -> i64 {
        let (least, most) = (*self.bounds.start(), *self.bounds.end());
        if most < low {
            (low - most) as i64
        } else if least > high {
            -((least - high) as i64)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Counted = Counted::Namespace(AtSocket::Always);

    fn lost(namespace: u64, counted: Counted, packets: u64, at: At) -> Lost {
        Lost { namespace, class: 1, counted, packets, at }
    }

    fn explained(packets: u64, bounds: RangeInclusive<u64>) -> Explained {
        Explained { packets, bounds }
    }

    #[test]
    fn losses_are_summed_where_the_kernel_counts_them() {
        let mut sums = Sums::new(0);
        sums.add(lost(7, FULL, 94, At::Open));
        sums.add(lost(7, Counted::Namespace(AtSocket::Never), 11, At::Unknown));
        sums.add(lost(7, Counted::Memory, 3, At::Open));
        sums.add(lost(7, Counted::Nowhere, 12, At::Unknown));
        sums.add(lost(8, Counted::Elsewhere, 16, At::Unknown));
        assert_eq!(sums.of_namespace(7, false), explained(105, 105..=105));
        assert_eq!(sums.of_namespace(7, true), explained(108, 108..=108));
        assert_eq!(sums.of_namespace(8, true), explained(0, 0..=0));
        assert_eq!(sums.of_sockets(7, false), explained(97, 97..=97));
        assert_eq!((sums.nowhere, sums.elsewhere), (BTreeMap::from([(1, 12)]), BTreeMap::from([(1, 16)])));
    }

    /// A socket that is gone took its counter with it; where the kernel named none, the one at the address may be another.
    #[test]
    fn sockets_that_are_gone_make_the_bounds_wider() {
        let mut sums = Sums::new(0);
        sums.add(lost(7, FULL, 10, At::Open));
        sums.add(lost(7, FULL, 20, At::Similar));
        sums.add(lost(7, FULL, 40, At::Closed(5)));
        sums.add(lost(7, Counted::Namespace(AtSocket::Perhaps), 80, At::Similar));
        assert_eq!(sums.of_sockets(7, true), explained(30, 10..=150));
        assert_eq!(sums.of_sockets(7, false), explained(30, 30..=150));
        assert_eq!((sums.missing(7), sums.closed(7).collect::<Vec<_>>()), (40, vec![Identity::of_inode(5)]));
    }

    #[test]
    fn what_is_of_no_known_namespace_may_be_of_any() {
        let mut sums = Sums::new(5);
        sums.add(lost(0, FULL, 2, At::Unknown));
        sums.add(lost(7, FULL, 10, At::Open));
        assert_eq!(sums.of_namespace(7, false), explained(10, 10..=17));
        assert_eq!(sums.of_sockets(9, false), explained(0, 0..=7));
        assert_eq!(sums.namespaces().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn a_difference_is_what_lies_outside_of_both_brackets() {
        let rows = explained(10, 8..=12);
        for ((low, high), unexplained) in
            [((12, 20), 0), ((13, 20), 1), ((0, 8), 0), ((0, 7), -1), ((9, 9), 0), ((20, 30), 8)]
        {
            assert_eq!(rows.unexplained(low, high), unexplained, "{low}..={high}");
        }
    }
}
