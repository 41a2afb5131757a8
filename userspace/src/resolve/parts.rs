//! Many things and what is done with each in, what came of them out, in their order: several threads do it where that pays.
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// To start a thread takes as long as some 50 names.
const FEWEST: usize = 2048;
/// What is traced wants to run as well.
const MOST_THREADS: usize = 4;
/// Parts of one size do not take one time: who is done with one takes another.
const PARTS_PER_THREAD: usize = 3;

/// `work` is given all of `items`, a part at a time.
pub fn in_parts<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let most = most_threads().min(items.len() / FEWEST);
    let parts = if most < 2 { 1 } else { (most * PARTS_PER_THREAD).min(items.len() / FEWEST) };
    let parts: Vec<&[T]> = match parts {
        1 => vec![items],
        parts => items.chunks(items.len().div_ceil(parts)).collect(),
    };
    each(&parts, |part| work(part))
}

/// `work` is given each of `items`, of which each is worth a thread.
pub fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = most_threads().min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let waiting = Mutex::new(items.iter().enumerate());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        let mut done = Vec::new();
        while let Some((at, item)) = next() {
            done.push((at, work(item)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        // Where no more threads may be started, those that are there do it.
        let start = |_| thread::Builder::new().spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut done = run();
        others.into_iter().for_each(|thread| done.extend(thread.join().expect("no panic in a thread")));
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn most_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_it_in_its_order() {
        for count in [0, 1, FEWEST, 3 * FEWEST + 1, 40 * FEWEST + 7] {
            let items: Vec<usize> = (0..count).collect();
            let parts = in_parts(&items, <[usize]>::to_vec);
            assert!(!parts.is_empty() && parts.len() <= MOST_THREADS * PARTS_PER_THREAD, "{}", parts.len());
            assert_eq!(parts.concat(), items);
        }
    }
}
