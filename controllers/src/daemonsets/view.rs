//! What the daemon set controller knows: sets, the nodes that their templates fit, their pods by node, revisions.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod as Template},
};
use orlop_objects::{DecodeError, kind};
use serde_json::Value;

use super::form::{self, Fit};
use crate::{
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
    /// The templates that it has had.
    pub(crate) history: History,
    /// What changes its controller first.
    pub(crate) moves: Moves,
    /// Whether its namespace is going.
    pub(crate) namespace_going: bool,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, pods: &Pods, clock: Timestamp) -> View {
    let nodes = reader.all::<Node>();
    View::gather(keys, reader, clock, |due, reader| match &nodes {
        Ok(nodes) => facts(due, reader, pods, nodes),
        // Said once more, for this key.
        Err(_) => reader.all::<Node>().map(|_| None),
    })
}

fn facts(
    due: &Due,
    reader: &Reader,
    pods: &Pods,
    nodes: &[Seen<Node>],
) -> Result<Option<Facts>, DecodeError> {
    let Some(set) = reader.get::<DaemonSet>(&due.key)? else { return Ok(None) };
    let Some(spec) = &set.spec else { return Ok(None) };
    let Some(selector) = family::selector(&spec.selector) else { return Ok(None) };
    let pod = Template { spec: spec.template.spec.clone(), ..Template::default() };
    let family = family::of(&reader.snapshot, &set.object, &selector, &kind::POD);
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
    let (history, moves) = History::of(&reader.snapshot, &set.object, &selector, &template, collisions);
    let fits = |node: &Seen<Node>| (node.name().to_owned(), form::fit(&pod, node));
    Ok(Some(Facts {
        nodes: nodes.iter().filter(|node| !node.is_terminating()).map(fits).collect(),
        pods: by_node,
        history,
        moves: family.moves.and(moves),
        template,
        namespace_going: make::is_going(&reader.snapshot, &due.key.namespace),
        set: Arc::new(set),
    }))
}
