//! Carries out the evictor's verdicts: one transaction each.

use orlop_objects::Key;
use orlop_registry::{DeleteOptions, Door, Part};
use serde_json::Value;

use super::{
    Evictor,
    decide::{Leave, Verdict},
};
use crate::{Error, edit, worker::Next};

/// What the pod's condition says: Kubernetes' reason and words.
const BY_TAINT: (&str, &str) = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");

/// Carries out one verdict.
pub(super) async fn apply(evictor: &Evictor, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    if verdict.not_ready || verdict.leave.is_some() {
        let done = evictor.parts.transact(|door| leave(door, &verdict));
        done.await.map_err(Error::doing("evict", key))?;
    }
    for said in verdict.said {
        evictor.parts.tell(&verdict.pod.object, said);
    }
    // Every pod that has a node waits: for a taint, or for the node's end.
    Ok(Next::Waiting(verdict.until))
}

/// The node is read under the transaction's protection: a pod is never sent away from a node that was just untainted.
fn leave(door: &mut Door<'_, '_>, verdict: &Verdict) -> Result<(), orlop_registry::Error> {
    edit::unchanged(door, &verdict.pod)?;
    if let Some(node) = &verdict.node {
        edit::unchanged(door, node)?;
    }
    let (key, now) = (verdict.pod.key(), door.now());
    if verdict.not_ready {
        let change = |mut pod: Value| {
            edit::set_condition(&mut pod, "Ready", "False", "NodeNotReady", "Node is not ready", now);
            Ok(pod)
        };
        door.change(key, Part::Status, change)?;
    }
    let options = DeleteOptions { uid: Some(verdict.pod.uid().to_owned()), ..DeleteOptions::default() };
    match verdict.leave {
        Some(Leave::Evict) => door.evict(key, &options, BY_TAINT).map(drop),
        Some(Leave::Force) => door.delete(key, &DeleteOptions { grace: Some(0), ..options }).map(drop),
        None => Ok(()),
    }
}
