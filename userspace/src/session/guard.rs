//! `--max-rate`: how often programs have run by now in, the end of tracing out, where that is more than was allowed.
use std::collections::VecDeque;
use std::time::Duration;

use crate::attach::runs::Counted;
use crate::render::report::TooOften;

/// How often it is looked. A look takes a call for each program.
pub const TICK: Duration = Duration::from_millis(100);
const WINDOW_NS: u64 = 1_000_000_000;

pub struct Guard {
    _counted: Counted,
    window: Window,
}

impl Guard {
    /// Before anything is attached.
    ///
    /// Errors: the kernel does not count.
    pub fn begin(most: u64, now_ns: u64) -> anyhow::Result<Guard> {
        Ok(Guard { _counted: Counted::begin()?, window: Window::new(most, now_ns) })
    }

    /// `runs`: since the beginning. Some: it is too many.
    pub fn look(&mut self, now_ns: u64, runs: u64) -> Option<TooOften> {
        self.window.look(now_ns, runs)
    }
}

/// The last second.
struct Window {
    most: u64,
    began_ns: u64,
    /// Times and how many there had been, the first of them a second ago or less, if there is such a one.
    looks: VecDeque<(u64, u64)>,
}

impl Window {
    fn new(most: u64, now_ns: u64) -> Window {
        Window { most, began_ns: now_ns, looks: VecDeque::from([(now_ns, 0)]) }
    }

    fn look(&mut self, now_ns: u64, runs: u64) -> Option<TooOften> {
        // One stays, however long ago it was: who did not look in time has to ask how many there were since.
        while self.looks.len() > 1 && self.looks.front().is_some_and(|(at, _)| now_ns - at > WINDOW_NS) {
            self.looks.pop_front();
        }
        let (since_ns, before) = *self.looks.front()?;
        self.looks.push_back((now_ns, runs));
        let (new, elapsed_ns) = (u128::from(runs.saturating_sub(before)), u128::from(now_ns.saturating_sub(since_ns)));
        // More than that in a part of a second is more in the whole of it.
        let allowed = u128::from(self.most) * elapsed_ns.max(WINDOW_NS.into());
        let per_second = new * u128::from(WINDOW_NS);
        (per_second > allowed).then(|| TooOften {
            after_ns: now_ns.saturating_sub(self.began_ns),
            firings_per_second: u64::try_from(per_second / elapsed_ns.max(1)).unwrap_or(u64::MAX),
            max_rate: self.most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Looks, by their times in ms and how many there had been: whether and when it stops, and the rate.
    fn stops(most: u64, looks: &[(u64, u64)]) -> Option<(u64, u64)> {
        let began = 7_000 * MS;
        let mut window = Window::new(most, began);
        let stopped = looks.iter().find_map(|(at, runs)| window.look(began + at * MS, *runs))?;
        assert_eq!(stopped.max_rate, most);
        Some((stopped.after_ns / MS, stopped.firings_per_second))
    }

    #[test]
    fn as_many_as_allowed_go_on_for_ever() {
        let steady: Vec<(u64, u64)> = (1..100).map(|at| (at * 100, at * 100)).collect();
        assert_eq!(stops(1000, &steady), None);
        assert_eq!(stops(999, &steady), Some((1000, 1000)));
        // All at once, and a second later again.
        assert_eq!(stops(1000, &[(100, 1000), (200, 1000), (1100, 1000), (1201, 2000)]), None);
        assert_eq!(stops(1000, &[(100, 0), (900, 1000), (1800, 2000)]), None);
        assert_eq!(stops(1000, &[(100, 0), (900, 1000), (1800, 2001)]), Some((1800, 1112)));
    }

    #[test]
    fn more_than_a_second_allows_ends_it_before_the_second_is_over() {
        assert_eq!(stops(1000, &[(100, 900), (200, 1001)]), Some((200, 5005)));
    }

    #[test]
    fn who_looks_too_seldom_divides_by_the_time_that_it_was() {
        assert_eq!(stops(1000, &[(100, 0), (4100, 4000)]), None);
        assert_eq!(stops(1000, &[(100, 0), (4100, 4004)]), Some((4100, 1001)));
        assert_eq!(stops(1000, &[(0, 0), (0, 5000)]).map(|(at, _)| at), Some(0));
    }
}
