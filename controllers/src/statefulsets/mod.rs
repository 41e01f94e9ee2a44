//! Keeps true: a stateful set has one pod for each of its numbers, with the claims of that number, one after the other.
//!
//! ```text
//!  template ──► ControllerRevision (by equality) ──► made, numbered, forgotten
//!                        │
//!  numbers, upwards:   missing ─► claims, then the pod     ended ─► deleted, so that it is made anew
//!                      going, or not ready ─► wait (Parallel: go on with the others)
//!  too high numbers, downwards: delete
//!  old revisions, downwards to the partition: delete, as long as enough are available
//! ```
//!
//! **At most one pod per identity.** A pod is named by its number, and a name is free only when its pod is gone, which its
//! node's agent says, or an administrator who takes the node for lost. Until then the set waits, and says for what.
//! Must not know: how claims get volumes, nodes but for whether they answer.

mod apply;
pub(crate) mod claims;
pub(crate) mod decide;
pub(crate) mod form;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::{decide::Verdict, view::View};
use crate::{
    Error,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
    workloads::{family, pods::Pods},
};

/// The stateful set controller.
pub(crate) struct StatefulSets {
    parts: Parts,
    pods: Pods,
}

impl StatefulSets {
    /// A controller that has read no pods yet.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { parts: Parts::of::<Self>(registry, "statefulset-controller"), pods: Pods::default() }
    }
}

impl Controller for StatefulSets {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::STATEFUL_SET];
    const NAME: &'static str = "statefulsets";
    const WATCHES: &'static [&'static Kind] = &[
        &kind::STATEFUL_SET,
        &kind::POD,
        &kind::PERSISTENT_VOLUME_CLAIM,
        &kind::CONTROLLER_REVISION,
        &kind::NODE,
    ];

    /// | changed | looked at |
    /// |---|---|
    /// | set | itself |
    /// | pod | the set that controls it or could adopt it, and the set that its name belongs to |
    /// | revision | the set that controls it or could adopt it |
    /// | claim | the sets whose selector its labels fit |
    /// | node | every set that waits |
    fn related(&self, object: &Object, snapshot: &Snapshot) -> Related {
        let set = &kind::STATEFUL_SET;
        match object.key.kind.kind {
            "StatefulSet" => Related::itself(object),
            "Pod" => {
                let named = form::owner_by_name(&object.meta.name);
                let named = named.map(|name| Key::new(set, &*object.key.namespace, name));
                let named = named.filter(|key| snapshot.get(key).is_some());
                Related::keys(family::concerned(snapshot, object, set)).and(named)
            }
            "ControllerRevision" => Related::keys(family::concerned(snapshot, object, set)),
            "PersistentVolumeClaim" => Related::keys(family::selecting(snapshot, object, set)),
            _ => Related::waiting(),
        }
    }

    fn gone(&self, key: &Key) -> Related {
        self.pods.forget(key);
        if *key.kind == kind::NODE { Related::waiting() } else { Related::default() }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.pods, self.parts.registry.now())
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, _: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(&self.parts, verdict).await
    }
}
