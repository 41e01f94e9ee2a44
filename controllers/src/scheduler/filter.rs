//! Which nodes can take a pod, and in Kubernetes' words why the others cannot. Pure.
//!
//! | node | words |
//! |---|---|
//! | being deleted | node(s) were being deleted |
//! | `spec.unschedulable`, not tolerated | node(s) were unschedulable |
//! | taint NoSchedule or NoExecute, not tolerated (so are nodes that are not Ready) | node(s) had untolerated taint {key: value} |
//! | not Ready, and not tainted for it yet | node(s) were not ready |
//! | nodeSelector or required node affinity | node(s) didn't match Pod's node affinity/selector |
//! | cpu, memory, places | Insufficient cpu · Insufficient memory · Too many pods |
//! | a bound volume cannot be reached | node(s) had volume node affinity conflict |
//! | another pod has the ReadWriteOncePod claim | node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode |
//! | a late claim's volume was begun elsewhere, or neither a free volume nor its driver is there | node(s) didn't find available persistent volumes to bind |
//! | the class's pool is not there | node(s) had no pool "fast", which class … names in its parameter pool (pools there: …) |
//! | the class's allowedTopologies leave it out | node(s) didn't find available persistent volumes to bind |

use std::collections::HashSet;

use k8s_openapi::api::{
    core::v1::{Node, Pod, Taint},
    storage::v1::StorageClass,
};

use super::{
    load::Load,
    view::{ClaimState, Late, NodeFacts, PodFacts},
};
use crate::{
    affinity,
    binder::matching::{self, Reach},
    facts, pools,
    taints::{self, NO_SCHEDULE, NOT_READY, PREFER_NO_SCHEDULE, UNREACHABLE, UNSCHEDULABLE},
    worker::Seen,
};

/// Why a node cannot take the pod; empty when it can. `used` includes what this pass has put there.
pub(crate) fn refusals(pod: &PodFacts, node: &NodeFacts, used: Load) -> Vec<String> {
    if let Some(words) = refused_at_all(&pod.pod, &node.node) {
        return vec![words];
    }
    let lacking = node.room.lacks(used, pod.load);
    if !lacking.is_empty() {
        return lacking.into_iter().map(str::to_owned).collect();
    }
    refused_by_volumes(pod, node).into_iter().collect()
}

fn refused_at_all(pod: &Pod, node: &Seen<Node>) -> Option<String> {
    if node.is_terminating() {
        return Some("node(s) were being deleted".to_owned());
    }
    let closed = Taint { key: UNSCHEDULABLE.to_owned(), effect: NO_SCHEDULE.to_owned(), ..Taint::default() };
    let is_closed = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    if is_closed && !taints::is_tolerated(pod, &closed) {
        return Some("node(s) were unschedulable".to_owned());
    }
    let forbids = |taint: &&Taint| taint.effect != PREFER_NO_SCHEDULE && !taints::is_tolerated(pod, taint);
    if let Some(taint) = taints::of_node(node).iter().find(forbids) {
        let value = taint.value.as_deref().unwrap_or_default();
        return Some(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key));
    }
    // A pod that tolerates the taint may go there even so, as in Kubernetes; a node without one has not said yet how it is.
    let is_told = [NOT_READY, UNREACHABLE].iter().any(|key| taints::find(node, key, NO_SCHEDULE).is_some());
    if !facts::is_ready(node) && !is_told {
        return Some("node(s) were not ready".to_owned());
    }
    let accepted = affinity::accepts(pod, node);
    (!accepted).then(|| "node(s) didn't match Pod's node affinity/selector".to_owned())
}

/// How many of the node's taints ask the pod, without force, to go elsewhere.
pub(crate) fn unwelcome(pod: &Pod, node: &Node) -> usize {
    let asks = |taint: &&Taint| taint.effect == PREFER_NO_SCHEDULE && !taints::is_tolerated(pod, taint);
    taints::of_node(node).iter().filter(asks).count()
}

/// How many of the pod's volumes another node should rather make.
pub(crate) fn second_choice(pod: &PodFacts, node: &NodeFacts) -> usize {
    let is_second = |state: &ClaimState| match state {
        ClaimState::Late(late) => pools::is_second_choice(&late.class, &node.node),
        _ => false,
    };
    pod.claims.iter().filter(|claim| is_second(&claim.state)).count()
}

fn refused_by_volumes(pod: &PodFacts, node: &NodeFacts) -> Option<String> {
    let mut taken = HashSet::new();
    for claim in &pod.claims {
        let refused = match &claim.state {
            ClaimState::Bound(bound) if bound.held_by.is_some() => Some(
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
                    .to_owned(),
            ),
            ClaimState::Bound(bound) if !affinity::reaches(&bound.volume, &node.node) => {
                Some("node(s) had volume node affinity conflict".to_owned())
            }
            ClaimState::Late(late) => cannot_be_had(late, node, &mut taken),
            _ => None,
        };
        if refused.is_some() {
            return refused;
        }
    }
    None
}

/// Why a late claim cannot get a volume on this node, neither a free one nor a new one.
fn cannot_be_had(late: &Late, node: &NodeFacts, taken: &mut HashSet<String>) -> Option<String> {
    let nothing = || "node(s) didn't find available persistent volumes to bind".to_owned();
    if facts::selected_node(&late.claim).is_some_and(|selected| selected != node.node.name()) {
        return Some(nothing());
    }
    if let Some(volume) = matching::best(&late.claim, &late.candidates, Reach::From(&node.node), taken) {
        taken.insert(volume.name().to_owned());
        return None;
    }
    let can = late.class.provisioner != facts::NO_PROVISIONER
        && (!late.node_local || node.drivers.contains(facts::driver(&late.class)))
        && topology_allows(&late.class, &node.node);
    if !can {
        return Some(nothing());
    }
    pools::refusal(&late.class, &node.node).map(|why| format!("node(s) {why}"))
}

/// `allowedTopologies`: terms are alternatives, their expressions must all hold; none allow every node.
pub(crate) fn topology_allows(class: &StorageClass, node: &Node) -> bool {
    let labels = facts::labels(node.metadata.labels.as_ref());
    let terms = class.allowed_topologies.as_deref().unwrap_or_default();
    terms.is_empty()
        || terms.iter().any(|term| {
            let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
            expressions.iter().all(|e| labels.get(&e.key).is_some_and(|value| e.values.contains(value)))
        })
}
