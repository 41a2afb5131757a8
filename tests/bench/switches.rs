//! The worker's part where threads give up the CPU: two of them on one CPU, who send each other a byte.
use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;

use spoor_tests::Result;

use crate::paths::{self, Ends};
use crate::sys;
use crate::worker::{Batches, quietly};

/// Frames above the one that waits: no more than in a small program.
const DEPTH: u64 = 8;
/// Bits of a number up to 131,071.
const PATH_BITS: u64 = 17;

/// A batch is timed as one.
const BATCH_ROUND_TRIPS: u64 = 100;
pub const BATCH_SWITCHES: u64 = 2 * BATCH_ROUND_TRIPS;
const BATCHES_MAX: usize = 1_000;

/// Does `work` with a function that sends a byte to another thread on this CPU and waits for its answer, from the path
/// that `bits` and `depth` name: two switches.
fn with_partner<R>(work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> R) -> Result<R> {
    let ((from_us, to_them), (from_them, to_us)) = (std::io::pipe()?, std::io::pipe()?);
    Ok(std::thread::scope(|scope| {
        scope.spawn(move || answer(from_us, to_us));
        let mut ends = Ends { to: to_them.as_raw_fd(), from: from_them.as_raw_fd(), byte: 0 };
        let done = work(&mut |bits, depth| {
            paths::enter(bits, depth, paths::exchange, &raw mut ends as u64);
        });
        // The partner ends with our end of its pipe, and the scope with the partner.
        drop(to_them);
        done
    }))
}

/// The partner: waits in `exchange`, too, but for the first byte.
fn answer(mut from: PipeReader, to: PipeWriter) {
    let mut ends = Ends { to: to.as_raw_fd(), from: from.as_raw_fd(), byte: 0 };
    if from.read_exact(&mut [0]).is_ok() {
        while paths::enter(0, DEPTH, paths::exchange, black_box(&raw mut ends) as u64) == 1 {}
    }
}

/// `ns-of-both-off-the-CPU good-batches ns-per-switch`: one of the two waits at any time.
pub fn timed(best_ns: &mut u64) -> Result<String> {
    let mut off_ns = 0;
    let batches = quietly(|| {
        with_partner(|round_trip| {
            round_trip(0, DEPTH);
            let begin = sys::now_ns();
            let batches = Batches::measure(BATCHES_MAX, BATCH_SWITCHES, best_ns, || {
                (0..BATCH_ROUND_TRIPS).for_each(|_| round_trip(0, DEPTH));
            });
            off_ns = sys::now_ns() - begin;
            batches
        })
    })?;
    Ok(format!("{off_ns} {}", batches.answer()))
}

/// The switches of `count` round trips, each from a path of its own.
pub fn from_paths(count: u64) -> Result<u64> {
    quietly(|| with_partner(|round_trip| (0..count).for_each(|path| round_trip(path, PATH_BITS))))?;
    Ok(2 * count)
}
