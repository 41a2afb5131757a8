//! Ring records in, events in time order out. Must not name or format what is in them.
pub mod record;

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, anyhow};
use aya::maps::{Map, MapData, RingBuf};

use crate::sys::process;
use record::Record;

/// A record is written after its time was taken: by a program that may have been preempted in between. What is younger
/// than this waits for what may still come.
const HOLD_NS: u64 = 10_000_000;

/// Bytes that one drain takes before it gives the others a turn.
const DRAIN_BYTES: usize = 16 << 20;

pub struct Stream {
    ring: RingBuf<MapData>,
    facts_end: usize,
    unix_minus_monotonic_ns: i64,
    /// Records that wait, one after the other, and where each is.
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    newest_emitted_ns: u64,
    pub emitted: u64,
    /// Records that came after a younger one was emitted.
    pub out_of_order: u64,
}

#[derive(Clone, Copy)]
struct Waiting {
    time_ns: u64,
    at: usize,
    len: usize,
}

impl Stream {
    /// `facts_end`: size of a record without its texts.
    pub fn new(ring: OwnedFd, facts_end: usize) -> Result<Stream> {
        let data = MapData::from_fd(ring).context("open the ring buffer")?;
        let ring = RingBuf::try_from(Map::RingBuf(data)).map_err(|error| anyhow!("map the ring buffer: {error}"))?;
        Ok(Stream {
            ring,
            facts_end,
            unix_minus_monotonic_ns: process::unix_minus_monotonic_ns(),
            bytes: Vec::new(),
            waiting: Vec::new(),
            newest_emitted_ns: 0,
            emitted: 0,
            out_of_order: 0,
        })
    }

    /// Takes what is in the ring and emits, in time order, what is old enough; at the end everything. `emit` says whether
    /// it was one that is meant.
    pub fn drain(&mut self, at_end: bool, mut emit: impl FnMut(&Record) -> Result<bool>) -> Result<()> {
        loop {
            let now = process::monotonic_ns();
            let taken = self.take();
            self.waiting.sort_by_key(|waiting| waiting.time_ns);
            let until = if at_end { u64::MAX } else { now.saturating_sub(HOLD_NS) };
            let ready = self.waiting.partition_point(|waiting| waiting.time_ns < until);
            for waiting in &self.waiting[..ready] {
                let bytes = &self.bytes[waiting.at..waiting.at + waiting.len];
                if let Some(record) = Record::new(bytes, self.facts_end, self.unix_minus_monotonic_ns) {
                    self.out_of_order += u64::from(waiting.time_ns < self.newest_emitted_ns);
                    self.newest_emitted_ns = self.newest_emitted_ns.max(waiting.time_ns);
                    self.emitted += u64::from(emit(&record)?);
                }
            }
            self.keep_from(ready);
            if !at_end || taken == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self) -> usize {
        let before = self.bytes.len();
        while self.bytes.len() - before < DRAIN_BYTES
            && let Some(record) = self.ring.next()
        {
            // Shorter than a head: not ours, and nothing to lose.
            if record.len() >= self.facts_end {
                self.waiting.push(Waiting {
                    time_ns: record::time_ns(&record),
                    at: self.bytes.len(),
                    len: record.len(),
                });
                self.bytes.extend_from_slice(&record);
            }
        }
        self.bytes.len() - before
    }

    fn keep_from(&mut self, ready: usize) {
        let mut kept = Vec::new();
        for waiting in &mut self.waiting[ready..] {
            let at = kept.len();
            kept.extend_from_slice(&self.bytes[waiting.at..waiting.at + waiting.len]);
            waiting.at = at;
        }
        self.waiting.drain(..ready);
        // Keeps its memory for the next round.
        self.bytes.clear();
        self.bytes.append(&mut kept);
    }
}
