//! For how long the server waits for a volume that cannot be mounted. Whoever has it open on another node is told that it
//! is gone when the server starts without it, and loses what it has not written yet; while it waits, nobody gets anything.
//!
//! | the volume | tried for | verdict |
//! |---|---|---|
//! | is damaged | any time | given up: waiting brings nothing back |
//! | has no file now, or cannot be mounted for another reason | less than a minute | waited for |
//! | has no file now, or cannot be mounted for another reason | a minute | given up |
//! | is mounted, or asked for no more | | forgotten: the next trouble has its whole minute |
//!
//! That a file is not there is no proof that it is lost: a pool whose disk is mounted after this node's agent has started
//! is an empty directory until then.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::driver::Code;

/// How long a volume may fail before others do not wait for it any more.
const LONG: Duration = Duration::from_secs(60);

/// What time it is.
type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Since when which volumes cannot be mounted. Clones share it.
#[derive(Clone)]
pub(super) struct Patience {
    since: Arc<Mutex<BTreeMap<Uuid, Instant>>>,
    clock: Clock,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patience").field(&self.since).finish()
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::by(Arc::new(Instant::now))
    }
}

impl Patience {
    /// As told by this clock.
    pub(super) fn by(clock: Clock) -> Self {
        Self { since: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume could not be mounted: whether it is given up.
    pub(super) fn is_over(&self, volume: Uuid, code: Code) -> bool {
        let now = (self.clock)();
        let since = *self.lock().entry(volume).or_insert(now);
        is_given_up(code, now.saturating_duration_since(since))
    }

    /// The volume is mounted, or goes.
    pub(super) fn forget(&self, volume: Uuid) {
        self.lock().remove(&volume);
    }
}

fn is_given_up(code: Code, tried: Duration) -> bool {
    code == Code::DataLoss || tried >= LONG
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table.
    #[test]
    fn verdicts() {
        let second = Duration::from_secs(1);
        assert!(is_given_up(Code::DataLoss, Duration::ZERO));
        for other in [Code::NotFound, Code::Internal, Code::FailedPrecondition, Code::Aborted] {
            assert!(!is_given_up(other, Duration::ZERO), "{other:?}");
            assert!(!is_given_up(other, LONG - second), "{other:?}");
            assert!(is_given_up(other, LONG), "{other:?}");
        }
    }

    #[test]
    fn a_volume_that_came_has_its_whole_time_again() {
        let now = Arc::new(Mutex::new(Instant::now()));
        let read = now.clone();
        let patience = Patience::by(Arc::new(move || *read.lock().expect("nobody panics with it")));
        let later = |seconds| *now.lock().expect("nobody panics with it") += Duration::from_secs(seconds);
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(!patience.is_over(one, Code::Internal));
        later(59);
        assert!(!patience.is_over(one, Code::Internal) && !patience.is_over(two, Code::Internal));
        later(1);
        assert!(patience.is_over(one, Code::Internal) && !patience.is_over(two, Code::Internal));
        patience.forget(one);
        assert!(!patience.is_over(one, Code::Internal));
    }
}
