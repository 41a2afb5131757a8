//! The tables of a run into an aggregation: snapshot, merge, symbolize.
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;

use crate::attach::tables::{Table, Tables};
use crate::merge::functions;
use crate::merge::rows::{Merge, Rows};
use crate::merge::value::{Aggregation, Row};
use crate::program::field::Kind;
use crate::program::layout::Layout;
use crate::program::scope::Scope;
use crate::program::tree::{Column, Key};
use crate::snapshot::{self, Chunk};
use crate::symbolize::keys::KeyReader;

/// Rows by key, and the row of the keys that found no room. With `exchange` the tables are empty afterwards.
pub fn read(
    tables: &mut Tables,
    keys: &[Key],
    columns: &[Column],
    possible_cpus: u32,
    exchange: bool,
) -> Result<(Rows, Rows)> {
    let layout = Layout::of(columns);
    let key_words = keys.iter().map(Key::words).sum::<usize>().max(1);
    let mut merge = Merge::new(&layout, key_words, text_words(keys));
    let snapshot = |table: &mut Table, take: &mut dyn FnMut(Chunk)| -> Result<()> {
        let full: Option<OwnedFd> = if exchange { Some(table.exchange()?) } else { None };
        let map = full.as_ref().map_or_else(|| table.map(), AsFd::as_fd);
        snapshot::read(map, table, possible_cpus, take)
    };
    let read = |table: &mut Table, merge: &mut Merge| {
        snapshot(table, &mut |chunk| chunk.rows().for_each(|(key, copies)| merge.add(key, copies)))
    };
    if let Some((front, table)) = &mut tables.front {
        snapshot(table, &mut |chunk| front.rows(chunk.values).for_each(|(key, row)| merge.add_part(key, row)))?;
    }
    if let Some(dense) = &mut tables.dense {
        read(dense, &mut merge)?;
    }
    read(&mut tables.hash, &mut merge)?;
    let mut other = Merge::new(&layout, 1, Vec::new());
    read(&mut tables.other, &mut other)?;
    Ok((merge.finish(), other.finish()))
}

/// Where the strings in a key begin, in words.
fn text_words(keys: &[Key]) -> Vec<usize> {
    let mut at = 0;
    let mut texts = Vec::new();
    for key in keys {
        if matches!(key, Key::Text { field } if matches!(field.kind, Kind::Text) && !field.is_copied()) {
            texts.push(at);
        }
        at += key.words();
    }
    texts
}

/// Words into values and names.
pub fn aggregation(scope: &Scope, keys: &[Key], columns: &[Column], rows: Rows, other: &Rows) -> Aggregation {
    let layout = Layout::of(columns);
    let reader = KeyReader::new(keys, |name| scope.field(name));
    let values = |row: &[u64]| columns.iter().map(|column| functions::value(&column.function, &layout, row)).collect();
    let mut named = Vec::with_capacity(rows.len());
    rows.give(|key, row| named.push(Row { keys: reader.read(key), values: values(row) }));
    Aggregation { rows: named, other: other.iter().next().map(|(_, row)| values(row)) }
}
