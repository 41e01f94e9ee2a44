//! What the nodes controller knows: nodes, and when their leases were renewed as this server saw it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use orlop_objects::{DecodeError, Key, kind};

use super::decide::{NodeFacts, View};
use crate::{
    facts,
    taints::{self, NO_EXECUTE, OUT_OF_SERVICE},
    worker::{Due, Reader, Seen},
};

/// The namespace of the leases.
pub(crate) const LEASES: &str = "kube-node-lease";

/// What a lease says of its last renewal. The lease's version will not do: others write it too.
type Renewal = Option<String>;

/// What was last seen of a node.
struct Beat {
    renewal: Renewal,
    /// When that was seen first.
    at: Instant,
    /// The renewal that the node had when it was first seen to be called out of service.
    called_off_at: Option<Renewal>,
}

/// Leases as this server saw them: their own times come from other clocks, and stop while a machine sleeps.
#[derive(Default)]
pub(crate) struct Beats(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    beats: HashMap<String, Beat>,
    /// When this server last looked, by both clocks.
    looked: Option<(Instant, Timestamp)>,
}

impl Memory {
    /// Who was not looking has seen nothing: after a suspend (which the wall clock tells) or a stop (which both tell)
    /// every node has the full grace again.
    fn look(&mut self, now: Instant, wall: Timestamp, grace: Duration) {
        let blind = self.looked.is_some_and(|(then, wall_then)| {
            now.duration_since(then) > grace / 2 || wall.duration_since(wall_then).unsigned_abs() > grace / 2
        });
        if blind {
            self.beats.values_mut().for_each(|beat| beat.at = now);
        }
        self.looked = Some((now, wall));
    }

    fn see(&mut self, node: &str, renewal: &Renewal, called_off: bool, now: Instant) -> (Instant, bool) {
        let first = || Beat { renewal: renewal.clone(), at: now, called_off_at: None };
        let beat = self.beats.entry(node.to_owned()).or_insert_with(first);
        if beat.renewal != *renewal {
            beat.at = now;
            beat.renewal.clone_from(renewal);
        }
        if !called_off {
            beat.called_off_at = None;
            return (beat.at, false);
        }
        let then = beat.called_off_at.get_or_insert_with(|| renewal.clone());
        (beat.at, then != renewal)
    }
}

/// Gathers the facts; `wall` is the time of the wall clock.
pub(crate) fn view(
    keys: &[Due],
    reader: &mut Reader,
    beats: &Beats,
    grace: Duration,
    wall: Timestamp,
) -> View {
    // A poisoned lock only means that a pass died while it looked: what is in it is whole.
    let mut memory = beats.0.lock().unwrap_or_else(PoisonError::into_inner);
    memory.look(reader.now, wall, grace);
    let names: Vec<Key> =
        reader.snapshot.list(&kind::NODE, None, None).map(|node| node.key.clone()).collect();
    memory.beats.retain(|name, _| names.iter().any(|key| key.name == *name));
    let mut view = View { now: reader.now, grace, nodes: Vec::new(), alive: Vec::new() };
    for key in names {
        let Some(Some(facts)) = reader.about(&key, |r| node(&key, r, &mut memory)) else { continue };
        let silent = view.now.duration_since(facts.renewed) >= grace;
        if !silent && facts::is_ready(&facts.node) {
            view.alive.push(key.name.clone());
        }
        if keys.iter().any(|due| due.key == key) {
            view.nodes.push(facts);
        }
    }
    view
}

fn node(key: &Key, reader: &Reader, memory: &mut Memory) -> Result<Option<NodeFacts>, DecodeError> {
    let Some(node) = reader.get::<Node>(key)? else { return Ok(None) };
    let lease: Option<Seen<Lease>> = reader.get(&Key::new(&kind::LEASE, LEASES, &*key.name))?;
    let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
    let renewal = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0.to_string());
    let called_off = taints::find(&node, OUT_OF_SERVICE, NO_EXECUTE).is_some();
    let (renewed, heard_since) = memory.see(&key.name, &renewal, called_off, reader.now);
    Ok(Some(NodeFacts { node: Arc::new(node), lease: lease.map(Arc::new), renewed, heard_since }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(20);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn who_was_not_looking_has_seen_nothing() {
        let (start, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let at = |n: i64| Timestamp::from_second(n).expect("in range");
        // seconds passed by the monotonic and by the wall clock since the last look; whether the node has a new grace
        let rows = [
            ("in time", 5, 5, false),
            ("suspended: only the wall clock went on", 5, 3600, true),
            ("stopped", 30, 30, true),
            ("the wall clock was set back", 5, -3600, true),
        ];
        for (row, passed, wall_passed, renewed) in rows {
            let mut memory = Memory::default();
            memory.look(start, wall, GRACE);
            memory.see("n1", &None, false, start);
            let now = start + seconds(passed);
            memory.look(now, at(wall_passed), GRACE);
            let (seen, _) = memory.see("n1", &None, false, now);
            assert_eq!(seen == now, renewed, "{row}");
        }
    }

    #[test]
    fn a_renewal_counts_when_it_is_seen_and_another_write_does_not() {
        let start = Instant::now();
        let mut memory = Memory::default();
        let mut see = |text: &str, after: u64| {
            memory.see("n1", &Some(text.to_owned()), false, start + seconds(after)).0
                == start + seconds(after)
        };
        assert!(see("1", 0), "what is seen first counts from then on");
        assert!(!see("1", 3), "the same again is no renewal");
        assert!(see("2", 4) && !see("2", 5));
    }

    #[test]
    fn a_node_is_heard_since_it_was_called_off_only_when_it_renews_after_that() {
        let now = Instant::now();
        let mut memory = Memory::default();
        let mut heard = |text: &str, off| memory.see("n1", &Some(text.to_owned()), off, now).1;
        assert!(
            !heard("1", false) && !heard("2", true),
            "the last renewal before the taint is none after it"
        );
        assert!(!heard("2", true) && heard("3", true) && heard("3", true));
        assert!(!heard("3", false) && !heard("3", true), "taken off and put on again");
    }
}
