//! How often to do what may take long: how long it took in, when to do it again out. Reads no clock.

/// At the beginning it is time.
#[derive(Debug, Default)]
pub struct Pace {
    over_ns: u64,
}

/// A fiftieth of the time at most.
const SHARE: u64 = 50;

impl Pace {
    pub fn is_over(&self, now_ns: u64) -> bool {
        now_ns >= self.over_ns
    }

    /// It was done between these times.
    pub fn rest(&mut self, begun_ns: u64, ended_ns: u64) {
        self.over_ns = ended_ns.saturating_add(ended_ns.saturating_sub(begun_ns).saturating_mul(SHARE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_done_less_often() {
        let mut pace = Pace::default();
        assert!(pace.is_over(0));
        pace.rest(1_000, 1_010);
        assert_eq!([1_010, 1_509, 1_510].map(|now| pace.is_over(now)), [false, false, true]);
        pace.rest(2_000, 1_000);
        assert!(pace.is_over(1_000));
    }
}
