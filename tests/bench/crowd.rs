//! The worker's part where all CPUs call at the same time.
use std::sync::Barrier;

use spoor_tests::{Context, Result};

use crate::stats::median;
use crate::sys;

const WINDOW_NS: u64 = 150_000_000;
const BATCH_CALLS: u64 = 1_000;

/// getppid from a thread on each CPU: `calls batches ns-per-call`.
pub fn calls() -> Result<String> {
    let cpus = sys::online_cpus();
    let together = Barrier::new(cpus);
    let batches = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus)
            .map(|cpu| {
                scope.spawn({
                    let together = &together;
                    move || on(cpu, together)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect::<Result<Vec<_>>>()
    })?
    .concat();
    let ns = median(&batches).context("a batch")?;
    Ok(format!("{} {} {ns:.2}", batches.len() as u64 * BATCH_CALLS, batches.len()))
}

/// ns per call, batch by batch.
fn on(cpu: usize, together: &Barrier) -> Result<Vec<f64>> {
    let pinned = sys::pin(cpu);
    together.wait();
    pinned?;
    let mut batches = Vec::new();
    let end = sys::now_ns() + WINDOW_NS;
    let mut now = sys::now_ns();
    while now < end {
        let then = now;
        (0..BATCH_CALLS).for_each(|_| sys::getppid(0));
        now = sys::now_ns();
        batches.push((now - then) as f64 / BATCH_CALLS as f64);
    }
    Ok(batches)
}
