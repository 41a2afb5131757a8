//! Texts by their ids into what they say: as the kernel side kept them, beside the stacks.
use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use probes_common::stack::LOST_STACK;

use crate::merge::value::{Aggregation, KeyValue};
use crate::program::tree::Key;
use crate::snapshot::stacks;

/// In the place of a text that is not known.
const LOST: &str = "[lost]";
const UNREADABLE: &str = "[unreadable]";
const CUT: &str = "...";

/// Puts texts in the place of ids.
pub fn name(map: BorrowedFd, keys: &[Key], aggregation: &mut Aggregation) -> Result<()> {
    let is_copied = |key: &Key| matches!(key, Key::Text { field } if field.is_copied());
    let places: Vec<usize> = keys.iter().enumerate().filter(|(_, key)| is_copied(key)).map(|(at, _)| at).collect();
    if places.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<u64> = Vec::new();
    for row in &aggregation.rows {
        ids.extend(places.iter().filter_map(|at| id_of(&row.keys[*at])));
    }
    ids.sort_unstable();
    ids.dedup();
    let texts: HashMap<u64, Vec<u8>> =
        stacks::texts(map, &ids).context("read the texts")?.into_iter().map(said).collect();
    for row in &mut aggregation.rows {
        for at in &places {
            let Some(id) = id_of(&row.keys[*at]) else { continue };
            let text = match id {
                LOST_STACK => LOST.into(),
                id => texts.get(&id).cloned().unwrap_or_else(|| LOST.into()),
            };
            row.keys[*at] = KeyValue::Text(text);
        }
    }
    Ok(())
}

fn said((id, text): (u64, stacks::RawText)) -> (u64, Vec<u8>) {
    let text = match text {
        stacks::RawText::Whole(bytes) => bytes,
        stacks::RawText::Cut(mut bytes) => {
            bytes.extend_from_slice(CUT.as_bytes());
            bytes
        }
        stacks::RawText::Unreadable => UNREADABLE.into(),
    };
    (id, text)
}

fn id_of(key: &KeyValue) -> Option<u64> {
    match key {
        KeyValue::Unsigned(id) => Some(*id),
        _ => None,
    }
}
