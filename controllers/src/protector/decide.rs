//! What holds a terminating claim or volume. Pure.
//!
//! | terminating | protected | used | verdict |
//! |---|---|---|---|
//! | claim | no | | – |
//! | claim | yes | unfinished pods on a node name it | Wait: which pods hold it |
//! | claim | yes | only pods without a node, finished ones, or none | LetGo |
//! | volume | no | | – |
//! | volume | yes | bound (uid and name, both ways) | Wait: which claim holds it |
//! | volume | yes | not bound | LetGo |
//!
//! Finished pods (Succeeded, Failed) use nothing any more: they do not hold a claim. A pod without a node uses nothing
//! yet, and gets no node while a claim of its own is going: if it held the claim, each would wait for the other, and a
//! deployment makes such a pod as soon as the last one is deleted.

use std::sync::Arc;

use orlop_objects::{Key, Object};

use super::view::View;
use crate::{
    events::Said,
    facts::{self, CLAIM_PROTECTION, VOLUME_PROTECTION},
};

/// What to do about one terminating object.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Take the protection away.
    LetGo {
        /// From this object, which must not have changed meanwhile.
        object: Arc<Object>,
        /// The finalizer.
        finalizer: &'static str,
    },
    /// It is in use.
    Wait {
        /// Which one.
        object: Arc<Object>,
        /// By whom.
        said: Said,
    },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let claims = view.claims.iter().filter_map(|(claim, pods)| {
        let users = pods.iter().filter(|pod| facts::pod_node(pod).is_some());
        let users: Vec<&str> = users.map(|pod| pod.name()).collect();
        let said = (!users.is_empty()).then(|| {
            let text = format!(
                "persistentvolumeclaim {} is being deleted and still used by pod(s) {}; it goes when they have ended \
                 or are deleted",
                claim.name(),
                users.join(", ")
            );
            Said::normal("ClaimInUse", text)
        });
        decide_one(&claim.object, CLAIM_PROTECTION, said)
    });
    let volumes = view.volumes.iter().filter_map(|(volume, claim)| {
        let said = claim.as_ref().map(|claim| {
            let text = format!(
                "persistentvolume {} is being deleted and still bound to claim {}/{}; it goes when that claim is deleted",
                volume.name(),
                claim.namespace,
                claim.name
            );
            Said::normal("VolumeInUse", text)
        });
        decide_one(&volume.object, VOLUME_PROTECTION, said)
    });
    claims.chain(volumes).collect()
}

fn decide_one(object: &Arc<Object>, finalizer: &'static str, used: Option<Said>) -> Option<(Key, Verdict)> {
    let protected = object.meta.finalizers.iter().any(|held| held == finalizer);
    if !object.meta.is_terminating() || !protected {
        return None;
    }
    let object = object.clone();
    let key = object.key.clone();
    Some((
        key,
        match used {
            Some(said) => Verdict::Wait { object, said },
            None => Verdict::LetGo { object, finalizer },
        },
    ))
}
