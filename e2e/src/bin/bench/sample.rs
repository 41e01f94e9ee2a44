//! Rounds of one measurement, and what is reported of them.

use std::{fmt, time::Duration};

/// Times of several rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
        self.0.sort_unstable();
    }

    /// The middle one; zero when there is none.
    pub(crate) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// How many times `floor` this is, by medians.
    pub(crate) fn ratio(&self, floor: Duration) -> f64 {
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
