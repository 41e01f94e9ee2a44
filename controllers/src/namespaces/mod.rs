//! Keeps true: a deleted namespace takes its content with it, and goes when that is gone.
//!
//! ```text
//!  delete namespace ──► Terminating: nothing new gets in (registry) ──► Empty ──► what is held: Wait, Tell
//!                                                                          └────► nothing left: Finalize ──► gone
//! ```
//!
//! Must not know: what the kinds mean.

mod apply;
mod decide;
#[cfg(test)]
mod tests;
mod view;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::{Registry, Who};
use orlop_store::Snapshot;

use self::decide::{Verdict, View};
use crate::{
    Error,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The namespaces controller.
pub(crate) struct Namespaces {
    registry: Registry,
    who: Who,
}

impl Namespaces {
    /// A controller that writes through `registry`.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, who: crate::who(Self::NAME) }
    }
}

impl Controller for Namespaces {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::NAMESPACE];
    const NAME: &'static str = "namespaces";
    const WATCHES: &'static [&'static Kind] = kind::ALL;

    /// | changed | looked at |
    /// |---|---|
    /// | namespace | itself |
    /// | any object gone | its namespace |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        if *object.key.kind == kind::NAMESPACE { Related::itself(object) } else { Related::default() }
    }

    fn gone(&self, key: &Key) -> Related {
        Related::keys((!key.namespace.is_empty()).then(|| Key::cluster(&kind::NAMESPACE, &*key.namespace)))
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, verdict: Verdict) -> Result<Next, Error> {
        apply::apply(self, key, verdict).await
    }
}
