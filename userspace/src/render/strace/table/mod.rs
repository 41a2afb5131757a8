//! Ids of calls in, the row that says how each prints out. One row per call; nothing about a call is said elsewhere.
mod file;
mod memory;
mod net;
mod process;
mod time;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::row::{Abi, Row};
use crate::symbolize::syscall::{NUMBERS, id, is_compat, number, plain_name};

static THEMES: [&[Row]; 7] =
    [file::CONTENTS, file::NAMES, memory::ROWS, net::SOCKETS, net::POLLING, process::ROWS, time::ROWS];

/// A call that has a name; most have a row, too.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    pub row: Option<&'static Row>,
}

/// By kind of call (native, compat), then by number. Made at the first call: about 1,000 look-ups.
static ENTRIES: LazyLock<[Vec<Option<Entry>>; 2]> = LazyLock::new(|| [entries(false), entries(true)]);

/// What is known about a call; nothing where its number has no name.
pub fn entry(id: u64) -> Option<&'static Entry> {
    ENTRIES[usize::from(is_compat(id))].get(number(id) as usize)?.as_ref()
}

fn entries(compat: bool) -> Vec<Option<Entry>> {
    let abi = if compat { Abi::Compat } else { Abi::Native };
    let rows = THEMES.iter().copied().flatten().filter(|row| row.abi == Abi::Both || row.abi == abi);
    let rows: HashMap<&str, &'static Row> = rows.map(|row| (row.name, row)).collect();
    let named = (0..NUMBERS).map(|number| plain_name(id(number, compat)));
    named.map(|name| name.map(|name| Entry { name, row: rows.get(name).copied() })).collect()
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn named(compat: bool) -> Vec<&'static Entry> {
        (0..NUMBERS).filter_map(|number| entry(id(number, compat))).collect()
    }

    /// `send` and `recv` are calls of arm; elsewhere they are library functions.
    #[test]
    fn every_row_is_for_a_call_that_exists() {
        let names: HashSet<_> = named(false).iter().chain(&named(true)).map(|entry| entry.name).collect();
        let rows = THEMES.iter().copied().flatten().map(|row| row.name);
        let strangers: Vec<_> = rows.filter(|name| !names.contains(name)).collect();
        assert_eq!(strangers, ["send", "recv"]);
    }

    #[test]
    fn no_call_has_two_rows() {
        for abi in [Abi::Native, Abi::Compat] {
            let rows = THEMES.iter().copied().flatten();
            let mut seen = HashSet::new();
            for row in rows.filter(|row| row.abi == Abi::Both || row.abi == abi) {
                assert!(seen.insert(row.name), "two rows for {}", row.name);
                assert!(row.args.len() <= 6, "{} has too many arguments", row.name);
            }
        }
    }

    #[test]
    fn most_native_calls_have_a_row() {
        let calls = named(false);
        let rows = calls.iter().filter(|entry| entry.row.is_some()).count();
        assert!(rows >= 250, "{rows} of {}", calls.len());
    }
}
