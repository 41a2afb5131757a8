//! Perf events that take samples: what they count, how often they fire, and how many they did not deliver.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};

use super::features;
use crate::error::Advice;
use crate::sys::perf::{self, Rate, TYPE_HARDWARE, TYPE_SOFTWARE};
use crate::sys::process;

/// One event by its name in perf-list(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub name: &'static str,
    kind: u32,
    config: u64,
    default: Default,
}

/// How often it samples unless that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Default {
    /// A clock: its period is a time.
    Clock,
    /// Comes so often that only a frequency makes sense.
    Frequent,
    /// Each one counts.
    Each,
}

const fn event(name: &'static str, kind: u32, config: u64, default: Default) -> Event {
    Event { name, kind, config, default }
}

/// v5.10 include/uapi/linux/perf_event.h: perf_sw_ids, perf_hw_id.
pub static EVENTS: [Event; 12] = [
    event("cpu-clock", TYPE_SOFTWARE, 0, Default::Clock),
    event("page-faults", TYPE_SOFTWARE, 2, Default::Each),
    event("minor-faults", TYPE_SOFTWARE, 5, Default::Each),
    event("major-faults", TYPE_SOFTWARE, 6, Default::Each),
    event("context-switches", TYPE_SOFTWARE, 3, Default::Each),
    event("cpu-migrations", TYPE_SOFTWARE, 4, Default::Each),
    event("cycles", TYPE_HARDWARE, 0, Default::Frequent),
    event("instructions", TYPE_HARDWARE, 1, Default::Frequent),
    event("cache-references", TYPE_HARDWARE, 2, Default::Frequent),
    event("cache-misses", TYPE_HARDWARE, 3, Default::Frequent),
    event("branches", TYPE_HARDWARE, 4, Default::Frequent),
    event("branch-misses", TYPE_HARDWARE, 5, Default::Frequent),
];

/// What to sample, how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    pub event: Event,
    /// Samples a second and CPU; None: the event's own way.
    pub hz: Option<u64>,
}

pub const DEFAULT_HZ: u64 = 99;

impl Sampling {
    /// Time between two samples of a CPU, for a clock.
    pub fn period_ns(self) -> Option<u64> {
        (self.event.default == Default::Clock).then(|| 1_000_000_000 / self.hz.unwrap_or(DEFAULT_HZ))
    }
}

impl Event {
    pub fn named(name: &str) -> Option<Event> {
        EVENTS.iter().copied().find(|event| event.name == name)
    }

    /// Whether this machine has it.
    pub fn works(self) -> io::Result<()> {
        perf::try_event(self.kind, self.config)
    }
}

/// Samplers on all CPUs. Dropping them ends the samples.
pub struct Samplers {
    events: Vec<(OwnedFd, Option<u64>)>,
}

impl Samplers {
    /// Errors: an event that this machine does not have, with those that it has.
    pub fn attach(sampling: Sampling, program: BorrowedFd) -> Result<Samplers> {
        let Sampling { event, hz } = sampling;
        let mut events = Vec::new();
        for cpu in 0..process::possible_cpus() {
            let (rate, period_ns) = match (event.default, hz) {
                (Default::Clock, _) => {
                    let period = jittered(sampling.period_ns().expect("a clock has a period"), cpu);
                    (Rate::Every(period), Some(period))
                }
                (Default::Frequent, hz) => (Rate::Hz(hz.unwrap_or(DEFAULT_HZ)), None),
                (Default::Each, Some(hz)) => (Rate::Hz(hz), None),
                (Default::Each, None) => (Rate::Every(1), None),
            };
            match perf::attach_sampler(event.kind, event.config, rate, cpu, program) {
                Ok(sampler) => events.push((sampler, period_ns)),
                // Offline.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(refused(event, error)),
            }
        }
        Ok(Samplers { events })
    }

    /// Samples that a clock should have given up to now. None: the event has no clock's period.
    pub fn due(&self) -> Option<u64> {
        let due = |(event, period): &(OwnedFd, Option<u64>)| Some(perf::enabled_ns(event.as_fd()).ok()? / (*period)?);
        self.events.iter().map(due).sum()
    }

    /// How far `due` can be off: a sample that is about to come, on each CPU.
    pub fn tolerance(&self) -> u64 {
        self.events.len() as u64
    }
}

/// A period of its own for each CPU, within 2 %: neither the CPUs nor what they run stay in step with the clock.
fn jittered(period_ns: u64, cpu: u32) -> u64 {
    // The multiplier of a linear congruential generator spreads neighbours; the time makes runs differ.
    let random = (u64::from(cpu) + process::monotonic_ns()).wrapping_mul(6_364_136_223_846_793_005) >> 33;
    let range = period_ns / 25;
    period_ns - range / 2 + if range == 0 { 0 } else { random % range }
}

fn refused(event: Event, error: io::Error) -> anyhow::Error {
    if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL)) {
        return features::refused(anyhow::Error::new(error).context(format!("sample event `{}`", event.name)));
    }
    let here: Vec<&str> = EVENTS.iter().filter(|event| event.works().is_ok()).map(|event| event.name).collect();
    let advice = format!("one of {}", here.join(", "));
    Advice::new(format!("--event {}: this machine does not have it ({error})", event.name), advice).into()
}

/// Reads how many samples programs were given.
pub fn taken(map: BorrowedFd, possible_cpus: u32) -> Result<u64> {
    let mut copies = vec![0u64; possible_cpus as usize];
    crate::sys::bpf::map_lookup(map, &0u32.to_ne_bytes(), zerocopy::IntoBytes::as_mut_bytes(copies.as_mut_slice()))
        .context("count the samples")?;
    Ok(copies.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_two_percent() {
        for cpu in 0..1000 {
            let period = jittered(10_101_010, cpu);
            assert!((9_898_000..=10_304_000).contains(&period), "{period}");
        }
    }

    #[test]
    fn events_have_their_names_once() {
        for event in EVENTS {
            assert_eq!(Event::named(event.name), Some(event));
        }
    }
}
