//! What the stateful set controller knows: sets, their pods and revisions, the claims of their numbers, silent nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Node};
use orlop_objects::{DecodeError, Key, Object, kind};
use serde_json::Value;

use super::{claims, form};
use crate::{
    facts as read,
    worker::{Due, Reader, Seen},
    workloads::{
        family::{self, Moves},
        make, pass,
        pods::{Pod, Pods},
        revisions::History,
    },
};

/// The facts of one pass.
pub(crate) type View = pass::View<Facts>;

/// All that matters for one stateful set.
pub(crate) struct Facts {
    /// The set.
    pub(crate) set: Arc<Seen<StatefulSet>>,
    /// What it wants, as it is stored.
    pub(crate) spec: Arc<Value>,
    /// Its pods by number.
    pub(crate) pods: BTreeMap<i32, Arc<Pod>>,
    /// The templates that it has had.
    pub(crate) history: History,
    /// What changes its controller first.
    pub(crate) moves: Moves,
    /// The claims there are of its numbers, by name.
    pub(crate) claims: BTreeMap<String, Arc<Object>>,
    /// Names of its numbers that other pods bear.
    pub(crate) strangers: BTreeSet<String>,
    /// Nodes of its pods that do not answer.
    pub(crate) silent: BTreeSet<String>,
    /// Whether its namespace is going.
    pub(crate) namespace_going: bool,
    /// Since when it waits.
    pub(crate) waiting_since: Option<Instant>,
}

impl Facts {
    /// The numbers that are wanted.
    pub(crate) fn wanted(&self) -> std::ops::Range<i32> {
        range(&self.set)
    }
}

fn range(set: &StatefulSet) -> std::ops::Range<i32> {
    let spec = set.spec.as_ref();
    let start = spec.and_then(|spec| spec.ordinals.as_ref()?.start).unwrap_or(0);
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    start..start.saturating_add(replicas)
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, pods: &Pods, clock: Timestamp) -> View {
    View::gather(keys, reader, clock, |due, reader| facts(due, reader, pods))
}

fn facts(due: &Due, reader: &Reader, pods: &Pods) -> Result<Option<Facts>, DecodeError> {
    let key = &due.key;
    let Some(set) = reader.get::<StatefulSet>(key)? else { return Ok(None) };
    let Some(selector) = set.spec.as_ref().and_then(|spec| family::selector(&spec.selector)) else {
        return Ok(None);
    };
    let snapshot = &reader.snapshot;
    let is_member = |object: &Arc<Object>| form::ordinal(&key.name, &object.meta.name).is_some();
    let mut family = family::of(snapshot, &set.object, &selector, &kind::POD);
    family.moves.adopt.retain(is_member);
    let numbered =
        family.own.iter().filter_map(|pod| Some((form::ordinal(&key.name, &pod.meta.name)?, pods.read(pod))));
    let pods: BTreeMap<i32, Arc<Pod>> = numbered.collect();
    let spec = set.object.value()["spec"].take();
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let (history, moves) = History::of(snapshot, &set.object, &selector, &spec["template"], collisions);
    let moves = family.moves.and(moves);
    let coming: BTreeSet<&str> = moves.adopt.iter().map(|object| object.meta.name.as_str()).collect();
    let free = |name: &str| snapshot.get(&Key::new(&kind::POD, &*key.namespace, name)).is_none();
    let missing = range(&set).filter(|n| !pods.contains_key(n)).map(|n| form::name(&key.name, n));
    let strangers = missing.filter(|name| !free(name) && !coming.contains(name.as_str())).collect();
    Ok(Some(Facts {
        claims: claims_of(&set, &spec, &pods, reader),
        silent: silent(&pods, reader)?,
        strangers,
        moves,
        history,
        namespace_going: make::is_going(snapshot, &key.namespace),
        waiting_since: due.waiting_since,
        pods,
        spec: Arc::new(spec),
        set: Arc::new(set),
    }))
}

/// The claims of all numbers that are wanted or have a pod.
fn claims_of(
    set: &Seen<StatefulSet>,
    spec: &Value,
    pods: &BTreeMap<i32, Arc<Pod>>,
    reader: &Reader,
) -> BTreeMap<String, Arc<Object>> {
    if claims::templates(spec).is_empty() {
        return BTreeMap::new();
    }
    let numbers: BTreeSet<i32> = range(set).chain(pods.keys().copied()).collect();
    let names = numbers.into_iter().flat_map(|ordinal| claims::names(spec, set.name(), ordinal));
    let found = names.filter_map(|name| {
        let key = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, &*set.key().namespace, &*name);
        Some((name, reader.snapshot.get(&key)?))
    });
    found.collect()
}

/// The nodes of pods that are going or not ready, and that do not answer or are gone themselves.
fn silent(pods: &BTreeMap<i32, Arc<Pod>>, reader: &Reader) -> Result<BTreeSet<String>, DecodeError> {
    let troubled = pods.values().filter(|pod| pod.is_terminating() || !pod.is_ready());
    let nodes: BTreeSet<&String> = troubled.filter_map(|pod| pod.node.as_ref()).collect();
    let mut silent = BTreeSet::new();
    for name in nodes {
        let node = reader.get::<Node>(&Key::cluster(&kind::NODE, name.as_str()))?;
        if node.is_none_or(|node| !read::is_ready(&node)) {
            silent.insert(name.clone());
        }
    }
    Ok(silent)
}
