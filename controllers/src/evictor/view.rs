//! What the evictor knows about a set of pods: one snapshot.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use orlop_objects::{DecodeError, Key, kind};

use super::{
    decide::{Place, PodFacts, View},
    memory::Memory,
};
use crate::{
    facts,
    taints::{self, NO_EXECUTE, OUT_OF_SERVICE, Stay},
    worker::{Due, Reader, Seen},
};

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, memory: &mut Memory) -> View {
    let snapshot = reader.snapshot.clone();
    let nodes: HashSet<&str> =
        snapshot.list(&kind::NODE, None, None).map(|node| node.key.name.as_str()).collect();
    memory.found(&nodes);
    let mut view = View { now: reader.now, pods: Vec::new() };
    for Due { key, .. } in keys {
        view.pods.extend(reader.about(key, |r| pod(key, r, memory)).flatten());
    }
    view
}

fn pod(key: &Key, reader: &Reader, memory: &mut Memory) -> Result<Option<PodFacts>, DecodeError> {
    let found: Option<Seen<Pod>> = reader.get(key)?;
    let Some(pod) = found else {
        memory.forget(key);
        return Ok(None);
    };
    let Some(name) = facts::pod_node(&pod) else { return Ok(None) };
    let node: Option<Seen<Node>> = reader.get(&Key::cluster(&kind::NODE, name))?;
    let forced: Vec<Taint> = match &node {
        Some(node) => {
            taints::of_node(node).iter().filter(|taint| taint.effect == NO_EXECUTE).cloned().collect()
        }
        None => Vec::new(),
    };
    let (taints, before) = memory.stand(key, pod.uid(), &forced, reader.now);
    let was_to_go = |taint: &Taint| taint.key != OUT_OF_SERVICE && taints::stay(&pod, taint) != Stay::Always;
    let was_going = before.iter().any(was_to_go);
    let place = match node {
        Some(node) => Place::At(Arc::new(node)),
        None => Place::Missing { node: name.to_owned(), since: memory.missing(name, reader.now) },
    };
    Ok(Some(PodFacts { pod: Arc::new(pod), place, taints, was_going }))
}
