//! Keeps true: what belongs to something gone goes too.
//!
//! ```text
//!  owner gone ──────────────────────────► dependents: Delete
//!  owner terminating, foregroundDeletion ──► dependents first, or to their other owners, then LetGo
//!  owner terminating, orphan ──────────────► dependents forget it, then LetGo
//! ```
//!
//! An owner is known by its uid: another object under the same name is not it.
//! Must not know: what the kinds mean.

mod apply;
mod decide;
mod view;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::{Registry, Who};
use orlop_store::Snapshot;

use self::decide::{Facts, Verdict};
use crate::{
    Error,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The garbage collector.
pub(crate) struct Garbage {
    registry: Registry,
    who: Who,
}

impl Garbage {
    /// A collector that writes through `registry`.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, who: crate::who(Self::NAME) }
    }
}

impl Controller for Garbage {
    type Verdict = Verdict;
    type View = Vec<(Key, Facts)>;

    const KEYS: &'static [&'static Kind] = kind::ALL;
    const NAME: &'static str = "garbage";
    const WATCHES: &'static [&'static Kind] = kind::ALL;

    /// | changed | looked at |
    /// |---|---|
    /// | object with owners, or held because of its dependents | itself |
    /// | any object gone | every object whose owner was there |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        Related::keys(view::concerns(object).then(|| object.key.clone()))
    }

    fn gone(&self, key: &Key) -> Related {
        // Events own nothing, and come and go by the thousand.
        if *key.kind == kind::EVENT { Related::default() } else { Related::waiting() }
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> Vec<(Key, Facts)> {
        view::view(keys, reader)
    }

    fn decide(view: &Vec<(Key, Facts)>) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
