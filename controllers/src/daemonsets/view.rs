//! What the daemon set controller knows: sets, the nodes that their templates fit, their pods by node, revisions.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod as Template},
};
use orlop_objects::{DecodeError, Key, kind};
use serde_json::Value;

use super::form::{self, Fit};
use crate::{
    replicasets::view::selector,
    worker::{Due, Reader, Seen},
    workloads::{
        family::{self, Moves},
        hash, make,
        pods::{Pod, Pods},
        revisions::Revision,
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

/// All that matters for one daemon set.
pub(crate) struct Facts {
    /// The set.
    pub(crate) set: Arc<Seen<DaemonSet>>,
    /// Its template, as it is stored.
    pub(crate) template: Value,
    /// Every node, and whether a pod of the template fits it.
    pub(crate) nodes: BTreeMap<String, Fit>,
    /// Its pods, by the node that they are on or for; the oldest first.
    pub(crate) pods: BTreeMap<String, Vec<Arc<Pod>>>,
    /// Its revisions, by number.
    pub(crate) revisions: Vec<Revision>,
    /// What changes its controller first.
    pub(crate) moves: Moves,
    /// The name that a revision of the newest template gets.
    pub(crate) revision: String,
    /// Whether there is a revision of this name, of whatever template.
    pub(crate) taken: bool,
    /// Whether its namespace is going.
    pub(crate) namespace_going: bool,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, pods: &Pods, clock: Timestamp) -> View {
    let mut view = View { now: reader.now, clock, sets: Vec::new() };
    let nodes = reader.all::<Node>();
    for Due { key, .. } in keys {
        let facts = reader.about(key, |reader| match &nodes {
            Ok(nodes) => facts(key, reader, pods, nodes),
            // Said once more, for this key.
            Err(_) => reader.all::<Node>().map(|_| None),
        });
        view.sets.extend(facts.flatten().map(|facts| (key.clone(), facts)));
    }
    view
}

fn facts(
    key: &Key,
    reader: &Reader,
    pods: &Pods,
    nodes: &[Seen<Node>],
) -> Result<Option<Facts>, DecodeError> {
    let Some(set) = reader.get::<DaemonSet>(key)? else { return Ok(None) };
    let Some(spec) = &set.spec else { return Ok(None) };
    let Some(selector) = selector(&spec.selector) else { return Ok(None) };
    let pod = Template { spec: spec.template.spec.clone(), ..Template::default() };
    let family = family::of(&reader.snapshot, &set.object, &selector, &kind::POD);
    let known = family::of(&reader.snapshot, &set.object, &selector, &kind::CONTROLLER_REVISION);
    let mut revisions: Vec<Revision> =
        known.own.into_iter().map(|object| Revision::of(object, &kind::DAEMON_SET)).collect();
    revisions.sort_by(|a, b| (a.number, a.name()).cmp(&(b.number, b.name())));
    let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for object in &family.own {
        let pod = pods.read(object);
        let node = pod.node.clone().or_else(|| form::target(object));
        by_node.entry(node.unwrap_or_default()).or_default().push(pod);
    }
    for pods in by_node.values_mut() {
        pods.sort_by(|a, b| (a.created, a.name()).cmp(&(b.created, b.name())));
    }
    let template = set.object.value()["spec"]["template"].take();
    let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let revision = format!("{}-{}", key.name, hash::of(&template, collisions));
    let namesake = reader.snapshot.get(&Key::new(&kind::CONTROLLER_REVISION, &*key.namespace, &*revision));
    let fits = |node: &Seen<Node>| (node.name().to_owned(), form::fit(&pod, node));
    Ok(Some(Facts {
        nodes: nodes.iter().filter(|node| !node.is_terminating()).map(fits).collect(),
        pods: by_node,
        taken: namesake.is_some(),
        revisions,
        moves: family.moves.and(known.moves),
        revision,
        template,
        namespace_going: make::is_going(&reader.snapshot, &key.namespace),
        set: Arc::new(set),
    }))
}
