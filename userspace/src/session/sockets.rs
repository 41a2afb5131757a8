//! What a report of losses shows in place of the keys that the kernel side keeps: the processes that hold a socket, and beside
//! the rows the kernel's own counters of the same time.
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Result;
use probes_common::account::{ACCOUNT_FAMILY, ACCOUNT_NAMESPACE};

use super::accounts::Accounts;
use super::buffers::Buffers;
use super::pace::Pace;
use super::sums::{At, Lost, Sums};
use crate::merge::functions;
use crate::merge::rows::{Merge, Rows};
use crate::merge::value::{Aggregation, KeyValue, Row, Value};
use crate::program::field::{Field, Kind, Owner};
use crate::program::layout::Layout;
use crate::program::scope::Scope;
use crate::program::tree::{Column, Key};
use crate::providers::{AtSocket, Counted, Holders};
use crate::render::report;
use crate::sockets::closed::Closed;
use crate::sockets::owners::{Owner as Holder, Owners};
use crate::sockets::survey::Survey;
use crate::symbolize::keys::{self, KeyReader};

/// What is shown, of sockets of whom, and whether nothing was filtered out.
pub struct View {
    pub shown: Vec<Key>,
    pub pids: Vec<u32>,
    pub is_whole: bool,
}

/// Who has which socket, as known so far; and the kernel's counters as they were.
pub struct Sockets {
    owners: Owners,
    /// The sockets that there are, of every namespace that can be looked into.
    survey: Survey,
    /// When, and how long it took.
    surveyed: Instant,
    took: Duration,
    /// Places that were asked for since.
    asked: HashSet<(u64, SocketAddr)>,
    /// Sockets of surveys before, which are there no more.
    closed: Closed,
    /// Sockets that rows named, which may be gone: by address and port, with their namespace. A later row may have no more.
    named: HashMap<SocketAddr, BTreeSet<(u64, u64)>>,
    /// None: the rows are a part of what the kernel counts.
    accounts: Option<Accounts>,
    /// Of [`Sockets::remember`], which needs the whole table.
    pub pace: Pace,
}

/// In place of a process.
const NO_SOCKET: &str = "(no socket)";
const GONE: &str = "(owner gone)";

impl Sockets {
    /// Before anything is attached: who is alive now may be gone at the report.
    pub fn now(view: &View) -> Result<Sockets> {
        let begun = Instant::now();
        let survey = if view.is_whole { Survey::with_counters()? } else { Survey::take()? };
        let took = begun.elapsed();
        let accounts = view.is_whole.then(|| Accounts::begin(&survey));
        let mut sockets = Sockets {
            owners: Owners::default(),
            survey,
            surveyed: Instant::now(),
            took,
            asked: HashSet::new(),
            closed: Closed::default(),
            named: HashMap::new(),
            accounts,
            pace: Pace::default(),
        };
        sockets.look_up();
        Ok(sockets)
    }

    /// When everything is attached, and again right before the tables are read: between this and the account before or
    /// behind it, it is not known on which side a loss was.
    pub fn mark(&mut self) {
        if let Some(accounts) = &mut self.accounts {
            accounts.mark(&self.survey.again());
        }
    }

    fn replace(&mut self, survey: Survey) {
        self.closed.note(&self.survey, &survey);
        self.survey = survey;
        self.look_up();
    }

    /// The owners of sockets that are new.
    fn look_up(&mut self) {
        self.owners.look_up(self.survey.sockets().map(|(_, socket)| socket.inode));
    }

    /// Looks for the owners of sockets that were not seen before, while they live.
    pub fn remember(&mut self, keys: &[Key], rows: &Rows) {
        let kept = |row| Kept::new(keys, row);
        let rows = || rows.iter().map(|(key, _)| kept(key)).filter(|kept| kept.socket() != 0);
        self.owners.look_up(rows().map(|kept| kept.socket()));
        for kept in rows() {
            if let Some(local) = kept.local() {
                self.named.entry(local).or_default().insert((kept.account.namespace, kept.socket()));
            }
        }
    }

    /// Keys of the kernel side into those that are shown, and the kernel's own account.
    pub fn aggregation(
        &mut self,
        (view, scope): (&View, &Scope),
        (keys, columns): (&[Key], &[Column]),
        (rows, other): (&Rows, &Rows),
        counted: fn(u16) -> Counted,
    ) -> Result<(Aggregation, report::Accounts)> {
        self.remember(keys, rows);
        self.replace(if self.accounts.is_some() { Survey::with_counters()? } else { Survey::take()? });
        let (layout, reader) = (Layout::of(columns), KeyReader::new(keys, |name| scope.field(name)));
        let mut shown = Shown { keys: Vec::new(), numbers: HashMap::new() };
        let mut merge = Merge::regrouping(&layout, 1);
        let open: HashMap<u64, Option<u32>> =
            self.survey.sockets().map(|(_, socket)| (socket.inode, socket.rcvbuf)).collect();
        let mut buffers = Buffers::new(columns);
        let mut sums = Sums::new(other.firings());
        for (key, row) in rows.iter() {
            let (values, mut kept) = (reader.read(key), Kept::new(keys, key));
            let counted = counted(kept.account.class);
            kept.had_socket = counted.at_socket() != AtSocket::Never;
            if kept.account.namespace == 0 {
                kept.account.namespace = self.namespace(&kept);
            }
            let Place { namespace, class, .. } = kept.account;
            let at = self.at(&kept, &open);
            sums.add(Lost { namespace, class, counted, packets: row[0], at });
            if !view.pids.is_empty() && !self.is_of(&view.pids, &kept) {
                continue;
            }
            let values =
                view.shown.iter().map(|key| self.value(key, scope.field(key.name()), &kept, &values)).collect();
            let number = shown.number(values);
            if buffers.are_shown() {
                buffers.note(number, self.inodes(&kept).iter().filter_map(|inode| *open.get(inode)?));
            }
            merge.add(&[number], row);
        }
        let values = |number: Option<u64>, row: &[u64]| {
            let mut values: Vec<Value> =
                columns.iter().map(|column| functions::value(&column.function, &layout, row)).collect();
            buffers.complete(number, &mut values);
            values
        };
        let rows = merge.finish();
        let named = rows
            .iter()
            .map(|(key, row)| Row { keys: shown.keys[key[0] as usize].clone(), values: values(Some(key[0]), row) });
        let accounts = self
            .accounts
            .as_mut()
            .map(|accounts| accounts.since(&self.survey, &sums, |class| class_name(scope, class)));
        let other = other.iter().next().map(|(_, row)| values(None, row));
        Ok((Aggregation { rows: named.collect(), other }, accounts.unwrap_or_default()))
    }

    fn value(&self, key: &Key, field: Option<&'static Field>, kept: &Kept, values: &[KeyValue]) -> KeyValue {
        match field.map(|field| (field.name, field.kind)) {
            Some((_, Kind::Owner(what))) => self.owner(what, kept),
            Some(("reason", Kind::Enumeration(names))) => {
                let value = u64::from(kept.account.class);
                KeyValue::Named { value, name: names.name(value).into_owned() }
            }
            Some(("family", _)) => KeyValue::Unsigned(kept.account.family.into()),
            Some(("netns", _)) => KeyValue::Unsigned(kept.account.namespace),
            _ => kept.place(key.name()).map_or(KeyValue::Unsigned(0), |at| values[at].clone()),
        }
    }

    fn is_of(&self, pids: &[u32], kept: &Kept) -> bool {
        self.owners(&self.inodes(kept)).iter().any(|owner| pids.contains(&owner.pid))
    }

    /// The socket that the kernel named, else those that are or were bound to the address and port: several may share them.
    fn inodes(&self, kept: &Kept) -> Vec<u64> {
        match kept.socket() {
            0 => self.bound_to(kept, kept.account.namespace).map_or_else(Vec::new, |(_, inodes)| inodes),
            inode => vec![inode],
        }
    }

    /// The same, with those that were opened since the last survey. It is repeated, but takes no more than half of the time
    /// where there are always others that nobody has.
    fn now_at(&mut self, namespace: u64, local: SocketAddr) -> Vec<u64> {
        const AGAIN: Duration = Duration::from_millis(200);
        let found = self.inodes_at(namespace, local);
        let is_new = self.asked.insert((namespace, local)) && self.surveyed.elapsed() > self.took;
        if !found.is_empty() || !is_new && self.surveyed.elapsed() < AGAIN {
            return found;
        }
        let begun = Instant::now();
        let Ok(survey) = Survey::take() else { return found };
        self.replace(survey);
        (self.surveyed, self.took) = (Instant::now(), begun.elapsed());
        self.asked = HashSet::from([(namespace, local)]);
        self.inodes_at(namespace, local)
    }

    /// Whether the socket that lost it is one of those that are open.
    fn at(&self, kept: &Kept, open: &HashMap<u64, Option<u32>>) -> At {
        match kept.socket() {
            0 => match self.bound_to(kept, kept.account.namespace) {
                Some((_, inodes)) if inodes.iter().all(|inode| open.contains_key(inode)) => At::Similar,
                _ => At::Unknown,
            },
            inode if open.contains_key(&inode) => At::Open,
            inode => At::Closed(inode),
        }
    }

    /// The only namespace that has such a socket, where the packet was not in any any more; 0: none, or several.
    fn namespace(&self, kept: &Kept) -> u64 {
        self.bound_to(kept, 0).map_or(0, |(namespace, _)| namespace)
    }

    /// Of the place where a row's packets were lost. Where a socket took part, it may be closed by now.
    fn bound_to(&self, kept: &Kept, namespace: u64) -> Option<(u64, Vec<u64>)> {
        self.bound(namespace, kept.local()?, kept.had_socket)
    }

    /// The inodes of the sockets that are, or were, bound to an address and port of a namespace.
    fn inodes_at(&self, namespace: u64, local: SocketAddr) -> Vec<u64> {
        self.bound(namespace, local, false).map_or_else(Vec::new, |(_, inodes)| inodes)
    }

    /// The only namespace that has, or had, sockets with that address and port, and their inodes. `wanted`: it is this one.
    /// `or_closed`: what earlier surveys saw there counts, too.
    fn bound(&self, wanted: u64, local: SocketAddr, or_closed: bool) -> Option<(u64, Vec<u64>)> {
        let there = self.survey.seen.iter().flat_map(|seen| {
            let namespace = seen.namespace.inode;
            self.survey.at(namespace, local).map(move |socket| (namespace, socket.inode))
        });
        let named = self.named.get(&local).into_iter().flatten().copied();
        let closed = or_closed.then(|| self.closed.at(local)).into_iter().flatten();
        let found: BTreeSet<(u64, u64)> =
            there.chain(named).chain(closed).filter(|(namespace, _)| wanted == 0 || *namespace == wanted).collect();
        let (first, _) = *found.first()?;
        let is_only = found.iter().all(|(namespace, _)| *namespace == first);
        is_only.then(|| (first, found.into_iter().map(|(_, inode)| inode).collect()))
    }

    /// All processes that hold one of these, by number.
    fn owners(&self, inodes: &[u64]) -> Vec<&Holder> {
        let mut owners: Vec<&Holder> = inodes.iter().flat_map(|inode| self.owners.of(*inode)).collect();
        owners.sort_unstable_by_key(|owner| owner.pid);
        owners.dedup_by_key(|owner| owner.pid);
        owners
    }

    fn owner(&self, what: Owner, kept: &Kept) -> KeyValue {
        self.named(what, &self.inodes(kept))
    }

    fn named(&self, what: Owner, inodes: &[u64]) -> KeyValue {
        if inodes.is_empty() {
            return KeyValue::Text(NO_SOCKET.into());
        }
        let owners = self.owners(inodes);
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

/// The sockets of these processes, or of all.
pub struct Meant<'a> {
    pub sockets: Option<&'a mut Sockets>,
    pub pids: &'a [u32],
}

impl Holders for Meant<'_> {
    fn of(&mut self, account: u64, inode: u64, local: SocketAddr) -> Option<(Vec<u8>, u64)> {
        let sockets = self.sockets.as_mut()?;
        let place = Place::of(account);
        let inodes = match inode {
            0 => sockets.now_at(place.namespace, local),
            inode => {
                sockets.owners.look_up([inode]);
                vec![inode]
            }
        };
        let is_meant =
            self.pids.is_empty() || sockets.owners(&inodes).iter().any(|owner| self.pids.contains(&owner.pid));
        let namespace = match place.namespace {
            0 => sockets.bound(0, local, false).map_or(0, |(namespace, _)| namespace),
            namespace => namespace,
        };
        let KeyValue::Text(process) = sockets.named(Owner::Process, &inodes) else {
            unreachable!("a text in any case")
        };
        is_meant.then_some((process, namespace))
    }
}

fn class_name(scope: &Scope, class: u16) -> String {
    match scope.field("reason").map(|field| field.kind) {
        Some(Kind::Enumeration(names)) => names.name(class.into()).into_owned(),
        _ => class.to_string(),
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
    words: &'a [u64],
    /// There was a socket that counted it, or may have.
    had_socket: bool,
}

impl<'a> Kept<'a> {
    fn new(keys: &'a [Key], words: &'a [u64]) -> Kept<'a> {
        Kept { account: Place::of(words[0]), keys, words, had_socket: false }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.keys.iter().position(|key| key.name() == name)
    }

    fn words(&self, name: &str) -> Option<&[u64]> {
        let at = self.place(name)?;
        let from: usize = self.keys[..at].iter().map(Key::words).sum();
        self.words.get(from..from + self.keys[at].words())
    }

    /// Its inode; 0: not known.
    fn socket(&self) -> u64 {
        self.words("socket").map_or(0, |words| words[0])
    }

    /// Address and port of this side.
    fn local(&self) -> Option<SocketAddr> {
        let address: IpAddr = keys::internet_address(self.words("laddr")?);
        Some(SocketAddr::new(address, u16::try_from(self.words("lport")?[0]).ok()?))
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
