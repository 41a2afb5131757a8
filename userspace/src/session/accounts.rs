//! The kernel's own counters before and after, beside what the rows say. The two are not read at one moment: what was
//! counted while they were being read may be on either side.
use std::collections::HashMap;

use crate::providers::Counted;
use crate::render::report;
use crate::sockets::counters::Account;
use crate::sockets::namespaces::Namespace;

pub struct Accounts {
    namespaces: Vec<Namespace>,
    /// At the beginning: before programs counted, and when they did.
    before: HashMap<u64, Account>,
    begun: Option<HashMap<u64, Account>>,
    /// At the end, before the tables were read.
    ended: Option<HashMap<u64, Account>>,
}

/// What the rows say, by namespace.
#[derive(Default)]
pub struct Sums(HashMap<u64, HashMap<Counted, u64>>);

/// Losses that have a row each.
const LOSSES: [&str; 6] =
    ["Udp InErrors", "Udp NoPorts", "Udp IgnoredMulti", "Udp6 InErrors", "Udp6 NoPorts", "Udp6 IgnoredMulti"];
/// Among the errors where the kernel has such a column and uses it.
const MEMORY: [&str; 2] = ["Udp MemErrors", "Udp6 MemErrors"];
/// Counters of what went well.
const GOOD: [&str; 4] = ["Udp InDatagrams", "Udp OutDatagrams", "Udp6 InDatagrams", "Udp6 OutDatagrams"];

impl Sums {
    pub fn add(&mut self, namespace: u64, counted: Counted, packets: u64) {
        *self.0.entry(namespace).or_default().entry(counted).or_default() += packets;
    }

    fn of(&self, namespace: u64, counted: Counted) -> u64 {
        self.0.get(&namespace).and_then(|sums| sums.get(&counted)).copied().unwrap_or(0)
    }
}

impl Accounts {
    pub fn begin<'a>(namespaces: impl Iterator<Item = &'a Namespace>) -> Accounts {
        let namespaces: Vec<Namespace> = namespaces.cloned().collect();
        Accounts { before: read(&namespaces), namespaces, begun: None, ended: None }
    }

    /// The first time: programs count from here on. Later: tables are read from here on.
    pub fn mark(&mut self) {
        let now = Some(read(&self.namespaces));
        if self.begun.is_none() { self.begun = now } else { self.ended = now }
    }

    /// What moved since the last report.
    pub fn since<'a>(&mut self, namespaces: impl Iterator<Item = &'a Namespace>, sums: &Sums) -> Vec<report::Account> {
        let namespaces: Vec<Namespace> = namespaces.cloned().collect();
        let now = read(&namespaces);
        let ended = self.ended.take().unwrap_or_default();
        let begun = self.begun.take().unwrap_or_default();
        let lines = namespaces.iter().filter_map(|namespace| {
            let inode = namespace.inode;
            let last = now.get(&inode)?;
            // One that was not there before has counted from 0 on.
            let most = self.before.get(&inode).map_or_else(|| last.clone(), |before| last.since(before));
            let least = match (ended.get(&inode), begun.get(&inode)) {
                (Some(ended), Some(begun)) => ended.since(begun),
                _ => most.clone(),
            };
            line(namespace, &least, &most, sums)
        });
        let lines = lines.collect();
        self.before = if ended.is_empty() { now.clone() } else { ended };
        self.begun = Some(now);
        self.namespaces = namespaces;
        lines
    }
}

fn read(namespaces: &[Namespace]) -> HashMap<u64, Account> {
    let account = |namespace: &Namespace| Some((namespace.inode, Account::of(namespace).ok()?));
    namespaces.iter().filter_map(account).collect()
}

/// None: nothing was lost there.
fn line(namespace: &Namespace, least: &Account, most: &Account, sums: &Sums) -> Option<report::Account> {
    let sum = |account: &Account, names: &[&str]| names.iter().filter_map(|name| account.get(name)).sum::<u64>();
    let (low, high) = (sum(least, &LOSSES), sum(most, &LOSSES));
    let mut explained = sums.of(namespace.inode, Counted::Namespace);
    if sum(most, &MEMORY) > 0 {
        explained += sums.of(namespace.inode, Counted::Memory);
    }
    let unexplained = match explained {
        explained if explained < low => (low - explained) as i64,
        explained if explained > high => -((explained - high) as i64),
        _ => 0,
    };
    let moved = most.iter().filter_map(|(name, count)| Some((name, count.filter(|count| *count > 0)?)));
    let counters: Vec<_> = moved.filter(|(name, _)| !GOOD.contains(name)).collect();
    let is_worth_it = explained > 0 || !counters.is_empty();
    is_worth_it.then(|| report::Account {
        namespace: namespace.to_string(),
        counters,
        explained,
        unexplained,
        bracket: high - low,
    })
}
