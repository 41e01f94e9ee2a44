//! Keeps true: every node whose agent asks for one has a range of pod addresses that is no other node's.
//!
//! ```text
//!  agent ──annotation: ranges that are free on its machine──► first that is fit ──► spec.podCIDR, for ever
//! ```
//!
//! Only here is `spec.podCIDR` written, one pass after another, so that no two nodes ever get addresses in common and none
//! has to be taken back. What is free on a machine, its agent alone can see: hence the proposals. What may be given to anybody,
//! the administrator of the server says: hence the pool.
//!
//! Must not know: pods, routes.

mod apply;
pub(crate) mod decide;
mod view;

use orlop_objects::{Key, Kind, Object, cidr::Cidr, kind};
use orlop_registry::Registry;
use orlop_store::Snapshot;

use self::decide::{Verdict, View};
use crate::{
    Error,
    parts::Parts,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The controller of ranges.
pub(crate) struct Ranges {
    parts: Parts,
    pool: Vec<Cidr>,
}

impl Ranges {
    /// A controller that writes through `registry`, and gives what lies in `pool`.
    pub(crate) fn new(registry: Registry, pool: Vec<Cidr>) -> Self {
        Self { parts: Parts::of::<Self>(registry, "range-controller"), pool }
    }
}

impl Controller for Ranges {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::NODE];
    const NAME: &'static str = "ranges";
    const WATCHES: &'static [&'static Kind] = &[&kind::NODE];

    /// | changed | looked at |
    /// |---|---|
    /// | node | itself |
    /// | node gone | whatever waits: its range is free |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        Related::itself(object)
    }

    fn gone(&self, _: &Key) -> Related {
        Related::waiting()
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader, &self.pool)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(&self.parts, key, verdict).await
    }
}
