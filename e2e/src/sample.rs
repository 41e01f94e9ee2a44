//! Rounds of one measurement, and what is reported of them.

use std::{fmt, time::Duration};

/// Times of several rounds.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
        self.0.sort_unstable();
    }

    /// The middle one; zero when there is none.
    pub fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// The time that so many of a hundred do not exceed (the nearest one that was measured); zero when there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Its half, its tail and its worst: `p50 1.2 ms, p95 1.9 ms, max 2.0 ms (n=20)`.
    pub fn tail(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (half, tail, worst) = (self.percentile(50), self.percentile(95), self.percentile(100));
        format!(
            "p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms (n={})",
            ms(half),
            ms(tail),
            ms(worst),
            self.0.len()
        )
    }

    /// How many times `floor` this is, by medians.
    pub fn ratio(&self, floor: Duration) -> f64 {
        self.median().as_secs_f64() / floor.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// `1.23 ms (1.10–1.90, n=7)`.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else {
            return f.write_str("not measured");
        };
        let ms = |d: &Duration| d.as_secs_f64() * 1000.0;
        write!(f, "{:.2} ms ({:.2}–{:.2}, n={})", ms(&self.median()), ms(first), ms(last), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let mut sample = Sample::default();
        assert_eq!(sample.percentile(95), Duration::ZERO, "of nothing");
        (1..=20).rev().for_each(|ms| sample.push(Duration::from_millis(ms)));
        let percentiles = [0, 50, 95, 96, 100].map(|percent| sample.percentile(percent).as_millis());
        assert_eq!(percentiles, [1, 10, 19, 20, 20]);
        assert_eq!(sample.tail(), "p50 10 ms, p95 19 ms, max 20 ms (n=20)");
    }
}
