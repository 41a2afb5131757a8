//! A process in, the order in which its dynamic linker looks names up out: as it has loaded the files, those of LD_PRELOAD
//! before those that the executable needs.
//! Source: glibc's elf/link.h (struct r_debug, struct link_map), which musl shares; the debugger's interface of ld.so.
use std::collections::HashMap;
use std::fs;

use object::elf::{DT_DEBUG, PT_DYNAMIC, PT_PHDR};

use crate::sys::memory;

use super::module::Module;

const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
/// Of a program header in 64-bit files: type, ..., its address at 16.
const HEADER: usize = 56;
const MOST_HEADERS: u64 = 256;
const MOST_ENTRIES: u64 = 512;
const MOST_FILES: usize = 4096;

/// Identities of the modules. Empty where there is no list, or it may not be read; only for 64-bit processes.
pub fn order(pid: u32, modules: &[Module]) -> Vec<(u64, u64)> {
    let mut starts: Vec<(u64, (u64, u64))> = modules
        .iter()
        .filter_map(|module| Some((module.mapped.as_ref()?.code.first()?.start, module.identity)))
        .collect();
    starts.sort_unstable();
    let mut order = Vec::new();
    for dynamic in list(pid).unwrap_or_default() {
        // A file's data follows its code.
        let after = starts.partition_point(|(start, _)| *start <= dynamic);
        if let Some((_, identity)) = starts[..after].last()
            && !order.contains(identity)
        {
            order.push(*identity);
        }
    }
    order
}

/// Addresses of the files' dynamic sections.
fn list(pid: u32) -> Option<Vec<u64>> {
    let auxv = fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let auxv: HashMap<u64, u64> = auxv.chunks_exact(16).map(|pair| (word(pair, 0), word(pair, 8))).collect();
    if auxv.get(&AT_PHENT) != Some(&(HEADER as u64)) {
        return None;
    }
    let headers_at = *auxv.get(&AT_PHDR)?;
    let headers = read(pid, headers_at, (*auxv.get(&AT_PHNUM)?).min(MOST_HEADERS) * HEADER as u64)?;
    let address = |kind: u32| {
        let header = headers.chunks_exact(HEADER).find(|header| word(header, 0) as u32 == kind)?;
        Some(word(header, 16))
    };
    let bias = address(PT_PHDR).map_or(0, |linked| headers_at.wrapping_sub(linked));
    let dynamic = read(pid, bias.wrapping_add(address(PT_DYNAMIC)?), MOST_ENTRIES * 16)?;
    let debug = dynamic.chunks_exact(16).take_while(|entry| word(entry, 0) != 0);
    let debug = debug.into_iter().find(|entry| word(entry, 0) == DT_DEBUG as u64).map(|entry| word(entry, 8))?;
    // Behind its version.
    let mut entry = word(&read(pid, debug, 16)?, 8);
    let mut list = Vec::new();
    while entry != 0 && list.len() < MOST_FILES {
        let Some(link) = read(pid, entry, 32) else { break };
        list.push(word(&link, 16));
        entry = word(&link, 24);
    }
    Some(list)
}

/// At least 16 bytes.
fn read(pid: u32, address: u64, bytes: u64) -> Option<Vec<u8>> {
    let mut into = vec![0; bytes as usize];
    let count = memory::read(pid, address, &mut into).ok()?;
    // The rest may be behind the end of what is mapped.
    into[count..].fill(0);
    (count >= 16).then_some(into)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_ne_bytes(*word))
}
