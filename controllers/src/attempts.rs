//! Remembers where claims' volumes were begun, so that a choice that failed is not repeated at once.
//!
//! A driver that cannot make a volume takes the chosen node away from the claim again (with an Event that says why).
//! Without a memory the same choice would be made in the same instant, for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The pause after the first choice that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A claim whose last choice is older than this is new again.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Doubling further would not matter.
const MOST_DOUBLINGS: u32 = 10;

/// The last choice for one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The node chosen.
    pub(crate) node: String,
    /// When.
    pub(crate) at: Instant,
    /// How often one has been chosen by now.
    pub(crate) count: u32,
}

impl Attempt {
    /// When the next choice is due, should this one have failed.
    pub(crate) fn next(&self) -> Instant {
        let doublings = self.count.saturating_sub(1).min(MOST_DOUBLINGS);
        self.at + FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
    }
}

/// The choices of late, by the claim's uid. Cheap to clone: all clones share one memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts(Arc<Mutex<HashMap<String, Attempt>>>);

impl Attempts {
    /// The last choice for a claim.
    pub(crate) fn of(&self, uid: &str) -> Option<Attempt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// A node was chosen for a claim.
    pub(crate) fn record(&self, uid: &str, node: &str, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, attempt| now.duration_since(attempt.at) < FORGOTTEN);
        let count = all.get(uid).map_or(0, |attempt| attempt.count).saturating_add(1);
        all.insert(uid.to_owned(), Attempt { node: node.to_owned(), at: now, count });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_choice_doubles_the_pause_up_to_a_minute() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        assert_eq!(attempts.of("u"), None);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            attempts.record("u", "n1", start);
            pauses.push(attempts.of("u").map(|attempt| (attempt.next() - start).as_secs()));
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60].map(Some));
        attempts.record("v", "n1", start + FORGOTTEN);
        assert_eq!(attempts.of("u"), None);
    }
}
