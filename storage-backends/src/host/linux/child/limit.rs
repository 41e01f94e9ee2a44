//! How many children wait on one thing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// Counts children by what they wait on.
#[derive(Debug)]
pub(super) struct Limits {
    counts: Counts,
    most: usize,
}

/// Held while a child lives; given back when it is gone.
#[derive(Debug)]
pub(in super::super) struct Place {
    counts: Counts,
    what: String,
}

impl Limits {
    pub(super) fn new(most: usize) -> Self {
        Self { counts: Counts::default(), most }
    }

    /// A place for one more; `None` when there are as many as may be.
    pub(super) fn enter(&self, what: &str) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(what.to_owned()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { counts: self.counts.clone(), what: what.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.what) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_never_takes_more_than_its_places_and_gives_them_back() {
        let limits = Limits::new(2);
        let (first, second) = (limits.enter("a").unwrap(), limits.enter("a").unwrap());
        assert!(limits.enter("a").is_none());
        let _other = limits.enter("b").unwrap();
        drop(first);
        let third = limits.enter("a").unwrap();
        assert!(limits.enter("a").is_none());
        drop((second, third));
        assert_eq!(limits.counts.lock().unwrap().len(), 1, "nothing is kept of what nobody waits on");
    }
}
