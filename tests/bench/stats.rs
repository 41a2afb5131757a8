//! Numbers of rounds in, a middle and how sure it is out. Pure.

/// The median, with the interval that holds it in 95 of 100 resamplings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub samples: usize,
}

const RESAMPLES: usize = 4000;

/// None of no samples.
pub fn middle(samples: &[f64]) -> Option<Middle> {
    let median_of_all = median(samples)?;
    let mut random = Random(0x5eed);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<f64> = samples.iter().map(|_| samples[random.below(samples.len())]).collect();
            median(&drawn).expect("as many as there are samples")
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Some(Middle {
        median: median_of_all,
        low: medians[RESAMPLES / 40],
        high: medians[RESAMPLES - 1 - RESAMPLES / 40],
        samples: samples.len(),
    })
}

pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((below + above) / 2.0)
}

/// xorshift64*: the same intervals for the same samples.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn interval_holds_the_median_and_lies_among_the_samples() {
        let samples: Vec<f64> = (0..21).map(f64::from).collect();
        let middle = middle(&samples).unwrap();
        assert!(
            middle.low <= middle.median && middle.median <= middle.high && middle.low >= 0.0 && middle.high <= 20.0
        );
        assert!(middle.low < middle.high);
    }
}
