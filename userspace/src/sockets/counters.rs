//! The kernel's own account of one network namespace: /proc/net/snmp, snmp6 and netstat in, [`Account`] out.
//! Columns are found by their names: kernels differ in which they have, and in their order.
use std::fs;
use std::io::{ErrorKind, Result};
use std::path::Path;

/// As the kernel writes them: the line's name and the column's. In snmp6 they are one word, `Udp6InDatagrams`.
pub const COUNTERS: [&str; 34] = [
    "Udp InDatagrams",
    "Udp NoPorts",
    "Udp InErrors",
    "Udp OutDatagrams",
    "Udp RcvbufErrors",
    "Udp SndbufErrors",
    "Udp InCsumErrors",
    "Udp IgnoredMulti",
    "Udp MemErrors",
    "Udp6 InDatagrams",
    "Udp6 NoPorts",
    "Udp6 InErrors",
    "Udp6 OutDatagrams",
    "Udp6 RcvbufErrors",
    "Udp6 SndbufErrors",
    "Udp6 InCsumErrors",
    "Udp6 IgnoredMulti",
    "Udp6 MemErrors",
    "Ip ReasmFails",
    "Ip ReasmTimeout",
    "Ip InDiscards",
    "Ip OutDiscards",
    "Ip OutNoRoutes",
    "Ip FragFails",
    "Ip InHdrErrors",
    "Ip6 ReasmFails",
    "Ip6 ReasmTimeout",
    "Ip6 InDiscards",
    "Ip6 OutDiscards",
    "Ip6 OutNoRoutes",
    "Ip6 FragFails",
    "Ip6 InHdrErrors",
    "IpExt ReasmOverlaps",
    "TcpExt IPReversePathFilter",
];

/// What each of [`COUNTERS`] is, since the namespace began or between two accounts. What this kernel does not count is
/// not known, and never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account([Option<u64>; COUNTERS.len()]);

impl Account {
    /// Of the namespace that a folder such as /proc/PID/net tells of.
    ///
    /// Errors: of /proc. A file that is not there (snmp6 of a kernel without IPv6) leaves its counters unknown.
    pub fn of_proc(folder: &Path) -> Result<Account> {
        let text = |name: &str| match fs::read_to_string(folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            text => text,
        };
        Ok(Account::parse(&text("snmp")?, &text("snmp6")?, &text("netstat")?))
    }

    /// The texts of the three files.
    pub fn parse(snmp: &str, snmp6: &str, netstat: &str) -> Account {
        let mut account = Account([None; COUNTERS.len()]);
        account.read_tables(snmp);
        account.read_tables(netstat);
        for line in snmp6.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some(name), Some(number)) = (words.next(), words.next()) {
                account.set(
                    |counter| {
                        counter.split_once(' ').is_some_and(|(line, column)| name.strip_prefix(line) == Some(column))
                    },
                    number,
                );
            }
        }
        account
    }

    /// By a name of [`COUNTERS`]. None where this kernel has no such counter.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0[COUNTERS.iter().position(|counter| *counter == name)?]
    }

    /// All of them, known or not, in the order of [`COUNTERS`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> {
        COUNTERS.iter().copied().zip(self.0)
    }

    /// What was counted between an earlier account and this one. Counters may pass their end: the kernel's are 64 bits
    /// wide.
    pub fn since(&self, before: &Account) -> Account {
        let difference =
            |(now, before): (&Option<u64>, &Option<u64>)| Some(now.as_ref()?.wrapping_sub(*before.as_ref()?));
        let mut deltas = self.0.iter().zip(&before.0).map(difference);
        Account(std::array::from_fn(|_| deltas.next().flatten()))
    }

    /// Two lines each, that begin with the same name: the columns' names, and their numbers.
    fn read_tables(&mut self, text: &str) {
        let mut lines = text.lines();
        while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
            let (Some((table, names)), Some((same, numbers))) = (names.split_once(':'), numbers.split_once(':')) else {
                return;
            };
            if table != same {
                return;
            }
            for (name, number) in names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace()) {
                self.set(|counter| counter.split_once(' ') == Some((table, name)), number);
            }
        }
    }

    fn set(&mut self, is_meant: impl Fn(&str) -> bool, number: &str) {
        if let Some(at) = COUNTERS.iter().position(|counter| is_meant(counter)) {
            self.0[at] = number.parse().ok();
        }
    }
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
