//! What the nodes controller knows: nodes, and when their leases changed as this server saw it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use orlop_objects::{DecodeError, Key, Revision, kind};

use super::decide::{NodeFacts, View};
use crate::worker::{Due, Reader};

/// The namespace of the leases.
pub(crate) const LEASES: &str = "kube-node-lease";

/// What was last seen of a lease: its version (0 for none), since when, and whether it had another one before.
#[derive(Clone, Copy)]
struct Beat {
    revision: Revision,
    at: Instant,
    changed: bool,
}

/// Leases as this server saw them: their own times come from other clocks, and stop while a machine sleeps.
#[derive(Default)]
pub(crate) struct Beats(Mutex<HashMap<String, Beat>>);

impl Beats {
    fn see(&self, node: &str, revision: Revision, now: Instant) -> Beat {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let beat = beats.entry(node.to_owned()).or_insert(Beat { revision, at: now, changed: false });
        if beat.revision != revision {
            *beat = Beat { revision, at: now, changed: true };
        }
        *beat
    }
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, beats: &Beats, grace: Duration) -> View {
    let mut view = View { now: reader.now, grace, nodes: Vec::new() };
    for Due { key, .. } in keys {
        view.nodes.extend(reader.about(key, |r| node(key, r, beats)).flatten());
    }
    view
}

fn node(key: &Key, reader: &Reader, beats: &Beats) -> Result<Option<NodeFacts>, DecodeError> {
    let Some(node) = reader.get(key)? else { return Ok(None) };
    let lease = reader.snapshot.get(&Key::new(&kind::LEASE, LEASES, &*key.name));
    let beat = beats.see(&key.name, lease.map_or(0, |lease| lease.revision), reader.now);
    Ok(Some(NodeFacts { node: Arc::new(node), last_change: beat.at, changed: beat.changed }))
}
