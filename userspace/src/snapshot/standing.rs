//! User stacks of threads that sleep when tracing begins: only a thread itself can be walked by the kernel side, and these
//! may sleep to the end. Walked from here, by frame pointers as the kernel does it, and kept where the others are.
use std::collections::BTreeSet;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use probes_common::stack::{BLOCK_WORDS, FRAMES_MAX, ID_OF_NOTHING, PROBES, STACK_WORDS, finished_id, id_with};
use probes_common::walk::Standing;

use crate::attach::STACKS;
use crate::attach::object::Maps;
use crate::sys::bpf;
use crate::sys::memory::{self, Unreadable};

/// Puts the stacks into the map of stacks, and their ids where the programs look for them. One that has no room there
/// is counted by the program that misses it. How many processes do not let us look at their stacks: of those there is no
/// more than the innermost frame.
pub fn keep(threads: &[Standing], maps: &Maps) -> Result<usize> {
    let mut closed = BTreeSet::new();
    for thread in threads {
        let tgid = (thread.pid_tgid >> 32) as u32;
        let addresses = walk(thread, |address, bytes| {
            let read = memory::read(tgid, address, bytes);
            if read == Err(Unreadable::Forbidden) {
                closed.insert(tgid);
            }
            read.unwrap_or(0)
        });
        let Some(id) = intern(tgid, &addresses, maps)? else { continue };
        // A full map says no: as of a stack without room.
        let _ = bpf::map_update(maps["STANDING"].as_fd(), &thread.task.to_ne_bytes(), &id.to_ne_bytes());
    }
    Ok(closed.len())
}

/// Return addresses from the innermost frame out. `read` fills the buffer from the process's memory, as far as it goes.
fn walk(thread: &Standing, mut read: impl FnMut(u64, &mut [u8]) -> usize) -> Vec<u64> {
    /// Most stacks need no second read.
    const CHUNK: usize = 4096;
    let mut addresses = vec![thread.instruction];
    let mut frame = thread.frame;
    let word_bytes = if thread.word_bytes == 4 { 4 } else { 8 };
    let frame_bytes = 2 * word_bytes;
    let (mut chunk, mut start, mut held) = ([0u8; CHUNK], 0u64, 0usize);
    while addresses.len() < FRAMES_MAX && frame != 0 && frame.is_multiple_of(word_bytes as u64) {
        let end = frame.saturating_add(frame_bytes as u64);
        let has = |start: u64, held: usize| frame >= start && end <= start + held as u64;
        if !has(start, held) {
            start = frame;
            held = read(start, &mut chunk);
        }
        if !has(start, held) {
            break;
        }
        let at = (frame - start) as usize;
        let word = |at: usize| match word_bytes {
            4 => u32::from_ne_bytes(chunk[at..at + 4].try_into().expect("four bytes")).into(),
            _ => u64::from_ne_bytes(chunk[at..at + 8].try_into().expect("eight bytes")),
        };
        let (next, returns) = (word(at), word(at + word_bytes));
        addresses.push(returns);
        // Frames go up: anything else is no chain.
        if next <= frame {
            break;
        }
        frame = next;
    }
    addresses
}

/// The id under which the kernel side would keep it. None: no room.
fn intern(tgid: u32, addresses: &[u64], maps: &Maps) -> Result<Option<u64>> {
    let mut value = [0u64; STACK_WORDS];
    value[0] = u64::from(tgid) | (addresses.len() as u64) << 32;
    value[1..=addresses.len()].copy_from_slice(addresses);
    let words = (addresses.len() + 1).next_multiple_of(BLOCK_WORDS);
    let base = finished_id(value[..words].iter().fold(ID_OF_NOTHING, |id, word| id_with(id, *word)));
    let stacks = maps[STACKS].as_fd();
    for id in base..base + PROBES {
        let mut there = value;
        if !bpf::map_lookup(stacks, &id.to_ne_bytes(), super::bytes_mut(&mut there)).context("look for a stack")? {
            return Ok(bpf::map_update(stacks, &id.to_ne_bytes(), super::bytes(&value)).is_ok().then_some(id));
        }
        // What lies behind the frames of one that the kernel side kept means nothing.
        if there[..=addresses.len()] == value[..=addresses.len()] {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory at 0x1000.
    fn walked_in(memory: &[u8], instruction: u64, frame: u64, word_bytes: u64) -> Vec<u64> {
        let thread = Standing { task: 1, pid_tgid: 0, instruction, frame, word_bytes };
        walk(&thread, |address, bytes| {
            let there = memory.get(address as usize - 0x1000..).unwrap_or_default();
            let held = there.len().min(bytes.len());
            bytes[..held].copy_from_slice(&there[..held]);
            held
        })
    }

    fn walked(instruction: u64, frame: u64, words: &[u64]) -> Vec<u64> {
        walked_in(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>(), instruction, frame, 8)
    }

    #[test]
    fn frames_of_a_32_bit_process_are_half_as_long() {
        let memory: Vec<u8> = [0x1008u32, 2, 0x1014, 3, 99, 0, 4].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(walked_in(&memory, 1, 0x1000, 4), [1, 2, 3, 4]);
    }

    #[test]
    fn a_frame_at_the_end_of_all_addresses_is_none() {
        assert_eq!(walked(1, 0x1000, &[u64::MAX - 7, 2]), [1, 2]);
    }

    #[test]
    fn frames_are_followed_to_the_end_of_the_chain() {
        assert_eq!(walked(1, 0x1000, &[0x1010, 2, 0x1028, 3, 99, 0, 4]), [1, 2, 3, 4]);
    }

    #[test]
    fn chain_that_does_not_go_up_ends() {
        assert_eq!(walked(1, 0x1000, &[0x1000, 2]), [1, 2]);
        assert_eq!(walked(1, 0x1010, &[0, 0, 0x1000, 2]), [1, 2]);
    }

    #[test]
    fn chain_into_nowhere_ends() {
        assert_eq!(walked(1, 0, &[]), [1]);
        assert_eq!(walked(1, 0x1001, &[7, 8]), [1]);
        assert_eq!(walked(1, 0x1000, &[0x9000, 2]), [1, 2]);
    }

    #[test]
    fn no_more_frames_than_a_stack_has() {
        let words: Vec<u64> = (0..400).map(|at| if at % 2 == 0 { 0x1000 + (at + 2) * 8 } else { at }).collect();
        assert_eq!(walked(1, 0x1000, &words).len(), FRAMES_MAX);
    }
}
