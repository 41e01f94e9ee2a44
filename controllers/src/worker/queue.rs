//! The queue of keys that are due: earliest deadline wins, failures back off. Pure: the time comes from the caller.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    time::{Duration, Instant},
};

use orlop_objects::Key;

/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Doubling further would not matter: the cap is long reached.
const MOST_DOUBLINGS: u32 = 16;
/// Races that a key may lose in a row before it pauses.
const FREE_RACES: u32 = 3;

/// Keys and when they are due. A key is in it at most once.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    deadlines: HashMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// Asks for a run of `key` at `at` or, if one is due earlier already, then.
    pub(crate) fn add(&mut self, key: Key, at: Instant) {
        match self.deadlines.entry(key) {
            Entry::Occupied(mut due) if at < *due.get() => {
                self.order.remove(&(*due.get(), due.key().clone()));
                self.order.insert((at, due.key().clone()));
                due.insert(at);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                self.order.insert((at, free.key().clone()));
                free.insert(at);
            }
        }
    }

    /// Takes up to `most` keys that are due at `now`, the longest due first.
    pub(crate) fn take(&mut self, now: Instant, most: usize) -> Vec<Key> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((at, key)) = self.order.pop_first()
        {
            if at > now {
                self.order.insert((at, key));
                break;
            }
            self.deadlines.remove(&key);
            taken.push(key);
        }
        taken
    }

    /// When the next key is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Asks for another run of `key` after a pause that grows with each failure in a row.
    pub(crate) fn failed(&mut self, key: Key, now: Instant) {
        let pause = pause(self.count(&key));
        self.add(key, now + pause);
    }

    /// Asks for another run of `key` because a rival was faster: at once, unless it loses again and again.
    pub(crate) fn raced(&mut self, key: Key, now: Instant) {
        let lost = self.count(&key);
        let pause = lost.checked_sub(FREE_RACES).map_or(Duration::ZERO, pause);
        self.add(key, now + pause);
    }

    fn count(&mut self, key: &Key) -> u32 {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let before = *failures;
        *failures = before.saturating_add(1);
        before
    }

    /// The last run of `key` went well: the next failure starts with the first pause again.
    pub(crate) fn succeeded(&mut self, key: &Key) {
        self.failures.remove(key);
    }
}

/// The pause after `failures` earlier failures in a row: doubled each time, capped, never overflowing.
pub(crate) fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(MOST_DOUBLINGS)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    fn key(name: &str) -> Key {
        Key::cluster(&kind::NODE, name)
    }

    #[test]
    fn a_key_is_due_once_and_at_the_earliest_time_asked_for() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut queue = Queue::default();
        for after in [3, 1, 2] {
            queue.add(key("a"), start + second * after);
        }
        assert_eq!(queue.next(), Some(start + second));
        assert!(queue.take(start, 9).is_empty());
        assert_eq!(queue.take(start + second, 9), [key("a")]);
        assert!(queue.take(start + second * 9, 9).is_empty());
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn the_longest_due_come_first_and_no_more_than_asked_for() {
        let start = Instant::now();
        let mut queue = Queue::default();
        for (n, name) in ["c", "b", "a"].iter().enumerate() {
            queue.add(key(name), start + Duration::from_millis(n as u64));
        }
        let now = start + Duration::from_secs(1);
        assert_eq!(queue.take(now, 2), [key("c"), key("b")]);
        assert_eq!(queue.take(now, 2), [key("a")]);
    }

    #[test]
    fn pauses_double_are_capped_and_never_overflow() {
        assert_eq!(pause(0), FIRST_PAUSE);
        assert_eq!(pause(1), FIRST_PAUSE * 2);
        assert_eq!(pause(40), LONGEST_PAUSE);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
        assert!((0..100).all(|n| pause(n) <= pause(n + 1)));
    }

    #[test]
    fn a_lost_race_is_run_again_at_once_but_not_for_ever() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let mut pauses = Vec::new();
        for _ in 0..5 {
            queue.raced(key("a"), now);
            pauses.push(queue.next().map(|at| at - now));
            queue.take(now + LONGEST_PAUSE, 1);
        }
        let none = Some(Duration::ZERO);
        assert_eq!(pauses, [none, none, none, Some(FIRST_PAUSE), Some(FIRST_PAUSE * 2)]);
    }

    #[test]
    fn success_makes_the_next_pause_short_again() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for _ in 0..3 {
            queue.failed(key("a"), now);
            queue.take(now + LONGEST_PAUSE, 1);
        }
        queue.succeeded(&key("a"));
        queue.failed(key("a"), now);
        assert_eq!(queue.next(), Some(now + FIRST_PAUSE));
    }
}
