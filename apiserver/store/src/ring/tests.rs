//! The tables, row for row, with a clock of our own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use orlop_objects::{Key, Kind, Object, Revision, kind};
use serde_json::json;

use super::{Change, Found, Rings};
use crate::Error;

fn change(kind: &'static Kind, revision: Revision, size: usize) -> Arc<Change> {
    let value = json!({"metadata": {"name": "a"}, "data": "x".repeat(size)});
    let object = Arc::new(Object::from_value(kind, &value).expect("has metadata"));
    Arc::new(Change { key: Key::cluster(kind, "a"), revision, old: None, new: Some(object) })
}

/// Publishes one change per revision, each in a flush of its own.
fn publish(
    rings: &mut Rings,
    kind: &'static Kind,
    revisions: std::ops::RangeInclusive<u64>,
    size: usize,
    at: Instant,
) {
    for revision in revisions {
        rings.publish(&[change(kind, revision, size)], revision, at);
    }
}

fn oldest(rings: &mut Rings, kind: &'static Kind) -> Revision {
    match rings.join(kind, 0) {
        Err(Error::Expired { oldest, .. }) => oldest,
        other => panic!("{other:?}"),
    }
}

fn revisions(found: Found) -> Option<Vec<Revision>> {
    match found {
        Found::Some(changes) => Some(changes.iter().map(|change| change.revision).collect()),
        Found::NothingUpTo(_) => Some(vec![]),
        Found::End => None,
    }
}

#[test]
fn a_change_stays_for_five_minutes_and_a_thousand_others() {
    let start = Instant::now();
    let minutes = |n: u64| start + Duration::from_secs(60 * n);
    let mut rings = Rings::new(999);
    publish(&mut rings, &kind::LEASE, 1000..=2100, 10, start);
    publish(&mut rings, &kind::LEASE, 2101..=2101, 10, minutes(4));
    assert_eq!(oldest(&mut rings, &kind::LEASE), 999, "more than a thousand, but young");
    publish(&mut rings, &kind::LEASE, 2102..=2102, 10, minutes(6));
    assert_eq!(oldest(&mut rings, &kind::LEASE), 1102, "a thousand stay, however old");
    publish(&mut rings, &kind::SECRET, 2103..=2103, 10, minutes(60));
    assert_eq!(oldest(&mut rings, &kind::LEASE), 1102);
    assert_eq!(oldest(&mut rings, &kind::SECRET), 999, "each kind has its own");
}

#[test]
fn all_rings_together_hold_32_mib_and_lose_the_oldest_first() {
    let now = Instant::now();
    let mut rings = Rings::new(999);
    publish(&mut rings, &kind::SECRET, 1000..=1000, 10, now);
    publish(&mut rings, &kind::LEASE, 1001..=1031, 1 << 20, now);
    assert_eq!(oldest(&mut rings, &kind::SECRET), 999);
    publish(&mut rings, &kind::CONFIG_MAP, 1032..=1034, 1 << 20, now);
    assert_eq!(oldest(&mut rings, &kind::SECRET), 1000);
    assert_eq!(oldest(&mut rings, &kind::LEASE), 1003);
    assert_eq!(oldest(&mut rings, &kind::CONFIG_MAP), 999);
    assert!(rings.bytes <= super::KEEP_BYTES);
}

#[test]
fn a_watcher_that_takes_is_never_too_slow() {
    let now = Instant::now();
    let mut rings = Rings::new(999);
    let (id, _wake) = rings.join(&kind::LEASE, 999).expect("the present");
    for revision in 1000..1100u64 {
        publish(&mut rings, &kind::LEASE, revision..=revision, 900_000, now);
        let found = rings.take(&kind::LEASE, id, revision - 1);
        assert_eq!(revisions(found), Some(vec![revision]));
    }
}

#[test]
fn a_watcher_that_lets_more_than_1_mib_wait_is_closed() {
    let now = Instant::now();
    let mut rings = Rings::new(999);
    // What was there on joining does not count, however much it is.
    publish(&mut rings, &kind::LEASE, 1000..=1009, 1 << 20, now);
    let (id, _wake) = rings.join(&kind::LEASE, 999).expect("in the ring");
    // One flush may bring any amount; it counts only once another finds it still waiting.
    let burst: Vec<_> = (1010..1015).map(|revision| change(&kind::LEASE, revision, 1 << 19)).collect();
    rings.publish(&burst, 1014, now);
    assert_eq!(revisions(rings.take(&kind::LEASE, id, 999)), Some((1000..1015).collect()));
    rings.publish(&[change(&kind::LEASE, 1015, 1 << 20)], 1015, now);
    assert_eq!(rings.clear_up_to(&kind::LEASE, 1014), 1014);
    rings.publish(&[change(&kind::SECRET, 1016, 10)], 1016, now);
    assert_eq!(revisions(rings.take(&kind::LEASE, id, 1014)), None);
    let (other, _wake) = rings.join(&kind::LEASE, 1014).expect("the ring still has it");
    assert_eq!(revisions(rings.take(&kind::LEASE, other, 1014)), Some(vec![1015]));
}

#[test]
fn a_watcher_whose_next_change_is_gone_ends_rather_than_skip() {
    let now = Instant::now();
    let mut rings = Rings::new(999);
    publish(&mut rings, &kind::LEASE, 1000..=1000, 1 << 20, now);
    let (id, _wake) = rings.join(&kind::LEASE, 999).expect("in the ring");
    // Another kind pushes it out; the watcher's own backlog is small.
    publish(&mut rings, &kind::SECRET, 1001..=1040, 1 << 20, now);
    assert_eq!(oldest(&mut rings, &kind::LEASE), 1000);
    assert_eq!(revisions(rings.take(&kind::LEASE, id, 999)), None);
}

#[test]
fn a_closed_store_ends_watchers_after_the_last_change() {
    let mut rings = Rings::new(999);
    let (id, wake) = rings.join(&kind::LEASE, 999).expect("the present");
    publish(&mut rings, &kind::LEASE, 1000..=1000, 10, Instant::now());
    rings.close();
    assert!(wake.has_changed().expect("open"));
    assert_eq!(revisions(rings.take(&kind::LEASE, id, 999)), Some(vec![1000]));
    assert_eq!(revisions(rings.take(&kind::LEASE, id, 1000)), None);
}

#[test]
fn clear_up_to_is_just_below_what_waits() {
    let now = Instant::now();
    let mut rings = Rings::new(999);
    assert_eq!(rings.clear_up_to(&kind::LEASE, 999), 999);
    publish(&mut rings, &kind::SECRET, 1000..=1005, 10, now);
    assert_eq!(rings.clear_up_to(&kind::LEASE, 999), 1005);
    publish(&mut rings, &kind::LEASE, 1006..=1007, 10, now);
    assert_eq!(rings.clear_up_to(&kind::LEASE, 999), 1005);
    assert_eq!(rings.clear_up_to(&kind::LEASE, 1006), 1006);
    assert_eq!(rings.clear_up_to(&kind::LEASE, 1007), 1007);
}
