//! What the replica set controller knows: sets, their pods, and how many pods of one deployment are on each node.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use orlop_objects::{DecodeError, index::Index, kind};

use crate::{
    worker::{Due, Reader, Seen},
    workloads::{
        family::{self, Moves},
        make, pass,
        pods::{Pod, Pods},
    },
};

/// The facts of one pass.
pub(crate) type View = pass::View<Facts>;

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
    View::gather(keys, reader, clock, |due, reader| facts(due, reader, pods))
}

fn facts(due: &Due, reader: &Reader, pods: &Pods) -> Result<Option<Facts>, DecodeError> {
    let Some(set) = reader.get::<ReplicaSet>(&due.key)? else { return Ok(None) };
    let Some(selector) = set.spec.as_ref().and_then(|spec| family::selector(&spec.selector)) else {
        return Ok(None);
    };
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
        namespace_going: make::is_going(&reader.snapshot, &due.key.namespace),
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
