//! What the replica set controller knows: sets, their pods, and how many pods of one deployment are on each node.

use std::{collections::HashMap, sync::Arc, time::Instant};

use jiff::Timestamp;
use k8s_openapi::{api::apps::v1::ReplicaSet, apimachinery::pkg::apis::meta};
use orlop_objects::{DecodeError, Key, index::Index, kind, selector::LabelSelector};

use crate::{
    worker::{Due, Reader, Seen},
    workloads::{
        family::{self, Moves},
        make,
        pods::{Pod, Pods},
    },
};

/// The facts of one pass.
pub(crate) struct View {
    /// The monotonic time.
    pub(crate) now: Instant,
    /// The time that conditions are written in.
    pub(crate) clock: Timestamp,
    /// The sets.
    pub(crate) sets: Vec<(Key, Facts)>,
}

/// All that matters for one replica set.
pub(crate) struct Facts {
    /// The set.
    pub(crate) set: Arc<Seen<ReplicaSet>>,
    /// Its pods, those that end or have ended among them.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// What changes its controller first.
    pub(crate) moves: Moves,
    /// How many active pods of its deployment are on each node, where some of its own are to be given up.
    pub(crate) crowd: HashMap<String, usize>,
    /// Whether its namespace is going.
    pub(crate) namespace_going: bool,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, pods: &Pods, clock: Timestamp) -> View {
    let mut view = View { now: reader.now, clock, sets: Vec::new() };
    for Due { key, .. } in keys {
        let facts = reader.about(key, |reader| facts(key, reader, pods)).flatten();
        view.sets.extend(facts.map(|facts| (key.clone(), facts)));
    }
    view
}

/// A selector as the objects crate reads it. One that cannot be read selects nothing: validation let none in.
pub(crate) fn selector(selector: &meta::v1::LabelSelector) -> Option<LabelSelector> {
    let value = serde_json::to_value(selector).ok()?;
    LabelSelector::from_object("spec.selector", &value).ok().filter(|selector| !selector.is_empty())
}

fn facts(key: &Key, reader: &Reader, pods: &Pods) -> Result<Option<Facts>, DecodeError> {
    let Some(set) = reader.get::<ReplicaSet>(key)? else { return Ok(None) };
    let Some(selector) = set.spec.as_ref().and_then(|spec| selector(&spec.selector)) else { return Ok(None) };
    let family = family::of(&reader.snapshot, &set.object, &selector, &kind::POD);
    let own: Vec<Arc<Pod>> = family.own.iter().map(|pod| pods.read(pod)).collect();
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let active = own.iter().filter(|pod| pod.is_active()).count();
    // It matters only when pods are given up.
    let too_many = usize::try_from(wanted).is_ok_and(|wanted| active > wanted);
    Ok(Some(Facts {
        pods: own,
        moves: family.moves,
        crowd: if too_many { crowd(&set, reader, pods) } else { HashMap::new() },
        namespace_going: make::is_going(&reader.snapshot, &key.namespace),
        set: Arc::new(set),
    }))
}

/// Pods on each node, of this set and of the others with the same controller.
fn crowd(set: &Seen<ReplicaSet>, reader: &Reader, pods: &Pods) -> HashMap<String, usize> {
    let siblings: Vec<String> = match family::controller(&set.object.meta) {
        Some(uid) => {
            let dependents = reader.snapshot.having(Index::ByOwner, uid);
            let sets = dependents.filter(|object| *object.key.kind == kind::REPLICA_SET);
            sets.map(|object| object.meta.uid.clone()).collect()
        }
        None => vec![set.uid().to_owned()],
    };
    let mut crowd = HashMap::new();
    for object in siblings.iter().flat_map(|uid| reader.snapshot.having(Index::ByOwner, uid)) {
        if *object.key.kind == kind::POD {
            let pod = pods.read(object);
            if let Some(node) = pod.node.as_ref().filter(|_| pod.is_active()) {
                *crowd.entry(node.clone()).or_insert(0) += 1;
            }
        }
    }
    crowd
}
