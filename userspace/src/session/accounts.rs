//! The kernel's own counters before and after, beside what the rows say. The two are not read at one moment: what was
//! counted while they were being read may be on either side.
use std::collections::BTreeMap;

use super::sums::Sums;
use crate::render::report::{self, Account, AtSockets};
use crate::sockets::counters;
use crate::sockets::moment::{Identity, Moment, Told};
use crate::sockets::namespaces::Namespace;
use crate::sockets::survey::Survey;

pub struct Accounts {
    /// At the beginning: before programs counted, and when they did.
    before: Moment,
    begun: Option<Moment>,
    /// At the end, before the tables were read.
    ended: Option<Moment>,
}

/// Losses that have a row each.
const LOSSES: [&str; 6] =
    ["Udp InErrors", "Udp NoPorts", "Udp IgnoredMulti", "Udp6 InErrors", "Udp6 NoPorts", "Udp6 IgnoredMulti"];
/// Among the errors where the kernel has no such column, or uses it.
const MEMORY: [&str; 2] = ["Udp MemErrors", "Udp6 MemErrors"];
/// Counters of what went well.
const GOOD: [&str; 4] = ["Udp InDatagrams", "Udp OutDatagrams", "Udp6 InDatagrams", "Udp6 OutDatagrams"];

impl Accounts {
    pub fn begin(survey: &Survey) -> Accounts {
        Accounts { before: Moment::of(survey), begun: None, ended: None }
    }

    /// The first time: programs count from here on. Later: tables are read from here on.
    pub fn mark(&mut self, now: &Survey) {
        let now = Some(Moment::of(now));
        if self.begun.is_none() { self.begun = now } else { self.ended = now }
    }

    /// What moved since the last report. `name` is that of a class.
    pub fn since(&mut self, survey: &Survey, sums: &Sums, name: impl Fn(u16) -> String) -> report::Accounts {
        let now = Moment::of(survey);
        let times = Times { before: &self.before, begun: self.begun.as_ref(), ended: self.ended.as_ref(), now: &now };
        let namespaces = survey.namespaces().filter_map(|namespace| times.account(namespace, sums)).collect();
        let mut unseen: Vec<u64> = sums.namespaces().filter(|inode| now.told(*inode).is_none()).collect();
        unseen.sort_unstable();
        let named = |losses: &BTreeMap<u16, u64>| losses.iter().map(|(class, count)| (name(*class), *count)).collect();
        let (nowhere, elsewhere) = (named(&sums.nowhere), named(&sums.elsewhere));
        self.before = self.ended.take().unwrap_or_else(|| now.clone());
        self.begun = Some(now);
        report::Accounts { namespaces, nowhere, elsewhere, unseen }
    }
}

struct Times<'a> {
    before: &'a Moment,
    begun: Option<&'a Moment>,
    ended: Option<&'a Moment>,
    now: &'a Moment,
}

/// One namespace at these times. None: it was not there, or could not be looked into.
struct There<'a> {
    before: Option<&'a Told>,
    begun: Option<&'a Told>,
    ended: Option<&'a Told>,
    now: &'a Told,
}

impl Times<'_> {
    /// None: nothing was lost there.
    fn account(&self, namespace: &Namespace, sums: &Sums) -> Option<Account> {
        let inode = namespace.inode;
        let there = There {
            before: self.before.told(inode),
            begun: self.begun.and_then(|begun| begun.told(inode)),
            ended: self.ended.and_then(|ended| ended.told(inode)),
            now: self.now.told(inode)?,
        };
        let mut account = there.account(inode, sums)?;
        account.namespace = namespace.to_string();
        // Of the whole host, so it is told once.
        if namespace.is_own() {
            let dropped = self.now.softnet_since(self.before).filter(|dropped| *dropped > 0);
            account.all_protocols.extend(dropped.map(|dropped| ("softnet dropped".to_owned(), dropped)));
        }
        let is_worth_it = account.explained > 0
            || account.sockets.is_some()
            || !account.counters.is_empty()
            || !account.all_protocols.is_empty();
        is_worth_it.then_some(account)
    }
}

impl There<'_> {
    fn account(&self, inode: u64, sums: &Sums) -> Option<Account> {
        let most = self.now.counters_since(self.before)?;
        let least = match (self.ended, self.begun) {
            (Some(ended), begun @ Some(_)) => ended.counters_since(begun)?,
            _ => most.clone(),
        };
        let sum = |account: &counters::Account, names: &[&str]| {
            names.iter().filter_map(|name| account.get(name)).sum::<u64>()
        };
        let (low, high) = (sum(&least, &LOSSES), sum(&most, &LOSSES));
        let with_memory = most.get(MEMORY[0]).is_none() || sum(&most, &MEMORY) > 0;
        let explained = sums.of_namespace(inode, with_memory);
        let moved = most.iter().filter_map(|(name, count)| Some((name, count.filter(|count| *count > 0)?)));
        Some(Account {
            namespace: String::new(),
            counters: moved.filter(|(name, _)| !GOOD.contains(name)).collect(),
            explained: explained.packets,
            unexplained: explained.unexplained(low, high),
            bracket: high - low,
            sockets: self.sockets(inode, sums),
            all_protocols: self.now.devices_since(self.before),
        })
    }

    /// None: nothing was lost at sockets.
    fn sockets(&self, inode: u64, sums: &Sums) -> Option<AtSockets> {
        let open: Vec<Identity> = self.now.sockets().copied().collect();
        let high = self.now.drops_since(self.before, open.iter());
        // Those that came later had none yet.
        let low = match (self.ended, self.begun) {
            (Some(ended), begun @ Some(_)) => ended.drops_since(begun, open.iter()),
            _ => high,
        };
        let mut closed = self.now.closed_since([self.before, self.begun, self.ended].into_iter().flatten());
        closed.extend(sums.closed(inode));
        let explained = sums.of_sockets(inode, !closed.is_empty());
        let missing = sums.missing(inode);
        (high > 0 || explained.packets > 0 || missing > 0).then(|| AtSockets {
            dropped: high,
            explained: explained.packets,
            unexplained: explained.unexplained(low, high),
            bracket: high.saturating_sub(low),
            closed: closed.len() as u64,
            missing,
        })
    }
}
