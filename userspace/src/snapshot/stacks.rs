//! Copies stacks out of the kernel: ids in, addresses out.
use std::collections::HashMap;
use std::mem::size_of;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use probes_common::stack::{FRAMES_MAX, LOST_STACK, NO_STACK, Stack};
use probes_common::text::{TEXT_CUT, TEXT_OWNER};

use crate::sys::bpf;

/// A stack as the kernel side kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawStack {
    /// 0 for the kernel's.
    pub tgid: u32,
    /// Leaf first.
    pub addresses: Vec<u64>,
}

const WORDS: usize = size_of::<Stack>() / 8;

impl RawStack {
    /// As deep as what the kernel gives.
    pub fn is_cut(&self) -> bool {
        self.addresses.len() == FRAMES_MAX
    }

    /// A walk by frame pointers that found nothing but the leaf, or ended at an address that no process has code at.
    pub fn is_broken(&self) -> bool {
        const LOWEST: u64 = 4096;
        self.tgid != 0 && (self.addresses.len() == 1 || self.addresses.iter().any(|address| *address < LOWEST))
    }
}

/// Reads the stacks that exist of these ids.
pub fn read(map: BorrowedFd, ids: &[u64]) -> Result<HashMap<u64, RawStack>> {
    let mut found = HashMap::with_capacity(ids.len());
    let mut words = [0u64; WORDS];
    for id in ids.iter().filter(|id| **id != NO_STACK && **id != LOST_STACK) {
        if bpf::map_lookup(map, &id.to_ne_bytes(), super::bytes_mut(&mut words))? {
            // The first word: the process in its low half, the number of frames in its high half.
            let [tgid, frames] = [words[0] as u32, (words[0] >> 32) as u32];
            let addresses = words[1..=FRAMES_MAX][..(frames as usize).min(FRAMES_MAX)].to_vec();
            found.insert(*id, RawStack { tgid, addresses });
        }
    }
    Ok(found)
}

/// A text as the kernel side kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawText {
    Whole(Vec<u8>),
    /// It goes on behind these.
    Cut(Vec<u8>),
    Unreadable,
}

/// Reads the texts that exist of these ids.
pub fn texts(map: BorrowedFd, ids: &[u64]) -> Result<HashMap<u64, RawText>> {
    let text = |(id, raw): (u64, RawStack)| {
        let mut words = raw.addresses.into_iter();
        let length = words.next().map_or(-1, |word| word as i64);
        if length < 0 {
            return (id, RawText::Unreadable);
        }
        let mut bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        bytes.truncate((length & (TEXT_CUT - 1)) as usize);
        (id, if length & TEXT_CUT == 0 { RawText::Whole(bytes) } else { RawText::Cut(bytes) })
    };
    Ok(read(map, ids)?.into_iter().filter(|(_, raw)| raw.tgid == TEXT_OWNER).map(text).collect())
}

/// The processes whose stacks were taken, each with a number that is another one after an exec.
pub fn processes(seen: BorrowedFd) -> Result<Vec<(u32, u64)>> {
    let mut found = Vec::new();
    let mut key: Option<[u8; 4]> = None;
    loop {
        let mut next = [0; 4];
        let before = key.as_ref().map(<[u8; 4]>::as_slice);
        if !bpf::map_next_key(seen, before, &mut next).context("look whose stacks were taken")? {
            return Ok(found);
        }
        let mut image = [0u64; 1];
        if bpf::map_lookup(seen, &next, super::bytes_mut(&mut image))? {
            found.push((u32::from_ne_bytes(next), image[0]));
        }
        key = Some(next);
    }
}
