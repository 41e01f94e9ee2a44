//! How many children wait on one thing.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::super::lock;

/// Counts children by what they wait on.
#[derive(Debug)]
pub(super) struct Limits {
    shared: Arc<Shared>,
    most: usize,
}

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<HashMap<String, usize>>,
    freed: Condvar,
}

/// Held while a child lives; given back when it is gone.
#[derive(Debug)]
pub(in super::super) struct Place {
    shared: Arc<Shared>,
    what: String,
}

impl Limits {
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most }
    }

    /// A place for one more; `None` when none became free within `patience`. Short calls come and go, so a burst of them
    /// finds its places one after another; who waits on a dead server is told soon.
    pub(super) fn enter(&self, what: &str, patience: Duration) -> Option<Place> {
        let is_full = |counts: &mut HashMap<String, usize>| counts.get(what).is_some_and(|n| *n >= self.most);
        let counts = lock(&self.shared.counts);
        let waited = self.shared.freed.wait_timeout_while(counts, patience, is_full);
        let (mut counts, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && is_full(&mut counts) {
            return None;
        }
        *counts.entry(what.to_owned()).or_default() += 1;
        Some(Place { shared: self.shared.clone(), what: what.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.shared.counts);
        if let Some(count) = counts.get_mut(&self.what) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
        self.shared.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn one_thing_never_takes_more_than_its_places_and_gives_them_back() {
        let limits = Limits::new(2);
        let (first, second) = (limits.enter("a", NONE).unwrap(), limits.enter("a", NONE).unwrap());
        assert!(limits.enter("a", NONE).is_none());
        let _other = limits.enter("b", NONE).unwrap();
        drop(first);
        let third = limits.enter("a", NONE).unwrap();
        assert!(limits.enter("a", NONE).is_none());
        drop((second, third));
        assert_eq!(limits.shared.counts.lock().unwrap().len(), 1, "nothing is kept of what nobody waits on");
    }

    #[test]
    fn a_burst_finds_its_places_one_after_another() {
        let limits = Limits::new(2);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _place = limits.enter("a", Duration::from_secs(60)).unwrap();
                    std::thread::yield_now();
                });
            }
        });
        assert!(limits.shared.counts.lock().unwrap().is_empty());
    }
}
