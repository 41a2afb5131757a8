//! Copies maps out of the kernel: descriptors in, rows out, in chunks. The loss ledger is read before the data.
//! Must not sort, name or explain values; that is `merge`, `symbolize` and `render`.
pub mod loss;
pub mod stacks;
pub mod standing;

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use zerocopy::IntoBytes;

use crate::attach::tables::Table;
use crate::sys::bpf::{self, BatchCursor};

/// Rows as they lie in the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// `key_words` words a row.
    pub keys: &'a [u64],
    /// `copies` times `row_words` words a row, in CPU order.
    pub values: &'a [u64],
    pub key_words: usize,
    pub row_words: usize,
    /// One for each possible CPU, or 1 where all share.
    pub copies: usize,
}

impl<'a> Chunk<'a> {
    pub fn rows(self) -> impl Iterator<Item = (&'a [u64], &'a [u64])> {
        self.keys.chunks_exact(self.key_words).zip(self.values.chunks_exact(self.row_words * self.copies))
    }
}

/// Memory for one batch.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 4096;
/// What the kernel says where a kind of map has no batches; no error of user space.
const ENOTSUPP: i32 = 524;

/// Reads every row of `map`, which is `table`'s or was before it was exchanged.
///
/// Shape: an array's keys are its indexes, one word each, in order; a hash's come in no order.
/// Kernel: 5.6 for batches, 5.13 for those of an array of each CPU's; without them, row by row.
pub fn read(map: BorrowedFd, table: &Table, possible_cpus: u32, take: impl FnMut(Chunk)) -> Result<()> {
    let copies = if table.part.per_cpu { possible_cpus as usize } else { 1 };
    let row_words = table.row_bytes as usize / 8;
    if !table.is_hash() {
        return read_array(map, table.part.entries, row_words, copies, take).context("read a table of numbers");
    }
    let key_words = table.key_bytes as usize / 8;
    read_hash_map(map, key_words, row_words, copies, table.part.entries as usize + 1, take)
}

fn read_hash_map(
    map: BorrowedFd,
    key_words: usize,
    row_words: usize,
    copies: usize,
    rows: usize,
    mut take: impl FnMut(Chunk),
) -> Result<()> {
    let mut room = (BATCH_BYTES / (row_words * copies * 8)).clamp(16, BATCH_ROWS).min(rows);
    let mut cursor = BatchCursor::new(key_words * 8);
    loop {
        let mut keys = vec![0u64; room * key_words];
        let mut values = vec![0u64; room * row_words * copies];
        match bpf::map_lookup_batch(map, &mut cursor, bytes_mut(&mut keys), bytes_mut(&mut values), room as u32) {
            Ok((rows, last)) => {
                let rows = rows as usize;
                take(Chunk {
                    keys: &keys[..rows * key_words],
                    values: &values[..rows * row_words * copies],
                    key_words,
                    row_words,
                    copies,
                });
                if last {
                    return Ok(());
                }
            }
            // One bucket holds more than there is room for: nothing was read, the cursor stands.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => room *= 2,
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return read_one_by_one(map, key_words, row_words, copies, take).context("read a table");
            }
            Err(error) => return Err(error).context("read a table in batches"),
        }
    }
}

/// Kernel: 5.6 for batches, 5.13 where each CPU has its own values; before, row by row.
fn read_array(
    map: BorrowedFd,
    entries: u32,
    row_words: usize,
    copies: usize,
    mut take: impl FnMut(Chunk),
) -> Result<()> {
    let room = (BATCH_BYTES / (row_words * copies * 8)).clamp(1, BATCH_ROWS).min(entries as usize);
    let (mut indexes, mut values) = (vec![0u32; room], vec![0u64; room * row_words * copies]);
    let mut cursor = BatchCursor::new(size_of::<u32>());
    let mut read = 0;
    while read < entries {
        match bpf::map_lookup_batch(map, &mut cursor, indexes.as_mut_bytes(), bytes_mut(&mut values), room as u32) {
            Ok((rows, last)) => {
                let at = rows as usize;
                let keys: Vec<u64> = indexes[..at].iter().copied().map(u64::from).collect();
                take(Chunk {
                    keys: &keys,
                    values: &values[..at * row_words * copies],
                    key_words: 1,
                    row_words,
                    copies,
                });
                read = if last { entries } else { read + rows };
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    for index in read..entries {
        let values = &mut values[..row_words * copies];
        bpf::map_lookup(map, index.as_bytes(), bytes_mut(values))?;
        take(Chunk { keys: &[u64::from(index)], values, key_words: 1, row_words, copies });
    }
    Ok(())
}

fn read_one_by_one(
    map: BorrowedFd,
    key_words: usize,
    row_words: usize,
    copies: usize,
    mut take: impl FnMut(Chunk),
) -> Result<()> {
    let (mut key, mut next) = (vec![0u64; key_words], vec![0u64; key_words]);
    let mut values = vec![0u64; row_words * copies];
    let mut first = true;
    while bpf::map_next_key(map, (!first).then(|| bytes(&key)), bytes_mut(&mut next))? {
        std::mem::swap(&mut key, &mut next);
        first = false;
        if bpf::map_lookup(map, bytes(&key), bytes_mut(&mut values))? {
            take(Chunk { keys: &key, values: &values, key_words, row_words, copies });
        }
    }
    Ok(())
}

fn bytes(words: &[u64]) -> &[u8] {
    words.as_bytes()
}

fn bytes_mut(words: &mut [u64]) -> &mut [u8] {
    words.as_mut_bytes()
}

/// Every value of a hash that is not per CPU, whose keys are one word each: key, value.
pub fn read_hash(map: BorrowedFd, value_words: usize) -> Result<Vec<(u64, Vec<u64>)>> {
    let mut found = Vec::new();
    read_hash_map(map, 1, value_words, 1, BATCH_ROWS, |chunk| {
        found.extend(chunk.rows().map(|(key, value)| (key[0], value.to_vec())));
    })?;
    Ok(found)
}

/// Every value of a map that is not per CPU: an array with so many, or a hash whose keys are one word each.
pub fn read_values(map: BorrowedFd, entries: Option<u32>, value_words: usize) -> Result<Vec<Vec<u64>>> {
    let mut found = Vec::new();
    match entries {
        Some(entries) => read_array(map, entries, value_words, 1, |chunk| {
            found.extend(chunk.rows().map(|(_, value)| value.to_vec()));
        })?,
        None => found.extend(read_hash(map, value_words)?.into_iter().map(|(_, value)| value)),
    }
    Ok(found)
}
