//! What a report of losses shows in place of the keys that the kernel side keeps: the processes that hold a socket, and beside
//! the rows the kernel's own counters of the same time.
use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::Result;
use probes_common::account::{ACCOUNT_FAMILY, ACCOUNT_NAMESPACE};

use super::accounts::{Accounts, Sums};
use crate::merge::functions;
use crate::merge::rows::{Merge, Rows};
use crate::merge::value::{Aggregation, KeyValue, Row};
use crate::program::field::{Field, Kind, Owner};
use crate::program::layout::Layout;
use crate::program::scope::Scope;
use crate::program::tree::{Column, Key};
use crate::providers::Counted;
use crate::render::report::Account;
use crate::sockets::diag::{self, UdpSocket};
use crate::sockets::namespaces::{self, Namespace};
use crate::sockets::owners::{Owner as Holder, Owners};
use crate::symbolize::keys::{self, KeyReader};

/// What is shown, of sockets of whom, and whether nothing was filtered out.
pub struct View {
    pub shown: Vec<Key>,
    pub pids: Vec<u32>,
    pub is_whole: bool,
}

/// Who has which socket, as known so far; and the kernel's counters as they were.
#[derive(Default)]
pub struct Sockets {
    owners: Owners,
    /// Of every namespace that can be entered, by its inode.
    tables: HashMap<u64, Vec<UdpSocket>>,
    /// Sockets that rows named, by address and port: a later row may have no more than these.
    named: HashMap<(IpAddr, u64), u64>,
    accounts: Accounts,
}

/// In place of a process.
const NO_SOCKET: &str = "(no socket)";
const GONE: &str = "(owner gone)";

impl Sockets {
    /// Before anything is attached: who is alive now may be gone at the report.
    pub fn now() -> Result<Sockets> {
        let mut sockets = Sockets::default();
        let namespaces = namespaces::namespaces()?.known;
        sockets.look(&namespaces);
        sockets.accounts.begin(&namespaces);
        Ok(sockets)
    }

    /// When everything is attached, and again right before the tables are read: between this and the account before or
    /// behind it, it is not known on which side a loss was.
    pub fn mark(&mut self) {
        self.accounts.mark();
    }

    /// Sockets that are new since, and their owners.
    fn look(&mut self, namespaces: &[Namespace]) {
        for namespace in namespaces {
            if let Ok(Ok(table)) = namespaces::within(namespace, diag::udp_sockets) {
                self.owners.look_up(table.iter().map(|socket| socket.inode));
                self.tables.insert(namespace.inode, table);
            }
        }
    }

    /// Looks for the owners of sockets that were not seen before, while they live.
    pub fn remember(&mut self, keys: &[Key], rows: &Rows) {
        let Some(socket) = word(keys, "socket") else { return };
        self.owners.look_up(rows.iter().map(|(key, _)| key[socket]));
        let (Some(address), Some(port)) = (word(keys, "laddr"), word(keys, "lport")) else { return };
        for (key, _) in rows.iter().filter(|(key, _)| key[socket] != 0) {
            let address = keys::internet_address(&key[address..address + 2]);
            self.named.insert((address, key[port]), key[socket]);
        }
    }

    /// Keys of the kernel side into those that are shown, and the kernel's own account.
    pub fn aggregation(
        &mut self,
        (view, scope): (&View, &Scope),
        (keys, columns): (&[Key], &[Column]),
        (rows, other): (&Rows, &Rows),
        counted: fn(u16) -> Counted,
    ) -> Result<(Aggregation, Vec<Account>)> {
        self.remember(keys, rows);
        let namespaces = namespaces::namespaces()?.known;
        self.look(&namespaces);
        let (layout, reader) = (Layout::of(columns), KeyReader::new(keys, |name| scope.field(name)));
        let mut shown = Shown { keys: Vec::new(), numbers: HashMap::new() };
        let mut merge = Merge::regrouping(&layout, 1);
        let mut sums = Sums::default();
        for (key, row) in rows.iter() {
            let values = reader.read(key);
            let mut kept = Kept { account: Place::of(key[0]), keys, values: &values };
            if kept.account.namespace == 0 {
                kept.account.namespace = self.namespace(&kept);
            }
            sums.add(kept.account.namespace, counted(kept.account.class), row[0]);
            if !view.pids.is_empty() && !self.is_of(&view.pids, &kept) {
                continue;
            }
            let values = view.shown.iter().map(|key| self.value(key, scope.field(key.name()), &kept)).collect();
            merge.add(&[shown.number(values)], row);
        }
        let values =
            |row: &[u64]| columns.iter().map(|column| functions::value(&column.function, &layout, row)).collect();
        let rows = merge.finish();
        let named =
            rows.iter().map(|(key, row)| Row { keys: shown.keys[key[0] as usize].clone(), values: values(row) });
        let accounts = if view.is_whole { self.accounts.since(&namespaces, &sums) } else { Vec::new() };
        Ok((Aggregation { rows: named.collect(), other: other.iter().next().map(|(_, row)| values(row)) }, accounts))
    }

    fn value(&self, key: &Key, field: Option<&'static Field>, kept: &Kept) -> KeyValue {
        match field.map(|field| (field.name, field.kind)) {
            Some((_, Kind::Owner(what))) => self.owner(what, kept),
            Some(("reason", Kind::Enumeration(names))) => {
                let value = u64::from(kept.account.class);
                KeyValue::Named { value, name: names.name(value).into_owned() }
            }
            Some(("family", _)) => KeyValue::Unsigned(kept.account.family.into()),
            Some(("netns", _)) => KeyValue::Unsigned(kept.account.namespace),
            _ => kept.value(key.name()).cloned().unwrap_or(KeyValue::Unsigned(0)),
        }
    }

    fn is_of(&self, pids: &[u32], kept: &Kept) -> bool {
        self.owners(&self.inodes(kept)).iter().any(|owner| pids.contains(&owner.pid))
    }

    /// The socket that the kernel named, else those that are bound to the address and port: several may share them.
    fn inodes(&self, kept: &Kept) -> Vec<u64> {
        match kept.value("socket") {
            Some(KeyValue::Unsigned(inode)) if *inode != 0 => return vec![*inode],
            _ => {}
        }
        if let Some(inode) = kept.local().and_then(|local| self.named.get(&local)) {
            return vec![*inode];
        }
        self.bound(kept).map_or_else(Vec::new, |(_, inodes)| inodes)
    }

    /// The only namespace that has such a socket, where the packet was not in any any more; 0: none, or several.
    fn namespace(&self, kept: &Kept) -> u64 {
        self.bound(kept).map_or(0, |(namespace, _)| namespace)
    }

    /// The only namespace that has sockets with that address and port, and their inodes.
    fn bound(&self, kept: &Kept) -> Option<(u64, Vec<u64>)> {
        let (address, port) = kept.local()?;
        let is_it = |socket: &&UdpSocket| {
            let its = socket.local.ip().to_canonical();
            u64::from(socket.local.port()) == port && (its == address || its.is_unspecified())
        };
        let namespace = kept.account.namespace;
        let tables = self.tables.iter().filter(|(inode, _)| namespace == 0 || **inode == namespace);
        let bound = tables.map(|(namespace, table)| {
            (*namespace, table.iter().filter(is_it).map(|socket| socket.inode).collect::<Vec<_>>())
        });
        let mut found = bound.filter(|(_, inodes)| !inodes.is_empty());
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// All processes that hold one of these, by number.
    fn owners(&self, inodes: &[u64]) -> Vec<&Holder> {
        let mut owners: Vec<&Holder> = inodes.iter().flat_map(|inode| self.owners.of(*inode)).collect();
        owners.sort_unstable_by_key(|owner| owner.pid);
        owners.dedup_by_key(|owner| owner.pid);
        owners
    }

    fn owner(&self, what: Owner, kept: &Kept) -> KeyValue {
        let inodes = self.inodes(kept);
        if inodes.is_empty() {
            return KeyValue::Text(NO_SOCKET.into());
        }
        let owners = self.owners(&inodes);
        match (what, &owners[..]) {
            (_, []) => KeyValue::Text(GONE.into()),
            (Owner::Pid, [owner]) => KeyValue::Unsigned(owner.pid.into()),
            _ => {
                let word = |owner: &&Holder| match what {
                    Owner::Process => [&owner.comm[..], format!("({})", owner.pid).as_bytes()].concat(),
                    Owner::Pid => owner.pid.to_string().into_bytes(),
                    Owner::Comm => owner.comm.clone(),
                };
                let mut words: Vec<Vec<u8>> = owners.iter().map(word).collect();
                words.dedup();
                KeyValue::Text(words.join(&b","[..]))
            }
        }
    }
}

/// What a row is counted by.
#[derive(Debug, Clone, Copy)]
struct Place {
    namespace: u64,
    family: u16,
    class: u16,
}

impl Place {
    fn of(word: u64) -> Place {
        Place { namespace: word >> ACCOUNT_NAMESPACE, family: (word >> ACCOUNT_FAMILY) as u16, class: word as u16 }
    }
}

/// A row's keys as the kernel side kept them.
struct Kept<'a> {
    account: Place,
    keys: &'a [Key],
    values: &'a [KeyValue],
}

impl Kept<'_> {
    fn value(&self, name: &str) -> Option<&KeyValue> {
        self.keys.iter().position(|key| key.name() == name).map(|at| &self.values[at])
    }

    /// Address and port of this side.
    fn local(&self) -> Option<(IpAddr, u64)> {
        let (KeyValue::Text(address), KeyValue::Unsigned(port)) = (self.value("laddr")?, self.value("lport")?) else {
            return None;
        };
        Some((std::str::from_utf8(address).ok()?.parse().ok()?, *port))
    }
}

/// Shown keys with a number each.
struct Shown {
    keys: Vec<Vec<KeyValue>>,
    numbers: HashMap<Vec<KeyValue>, u64>,
}

impl Shown {
    fn number(&mut self, values: Vec<KeyValue>) -> u64 {
        *self.numbers.entry(values).or_insert_with_key(|values| {
            self.keys.push(values.clone());
            self.keys.len() as u64 - 1
        })
    }
}

/// Where a key begins in a row, in words.
fn word(keys: &[Key], name: &str) -> Option<usize> {
    let at = keys.iter().position(|key| key.name() == name)?;
    Some(keys[..at].iter().map(Key::words).sum())
}
