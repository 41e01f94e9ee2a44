//! Keeps true: every namespace has the service account `default`.
//!
//! ```text
//!  namespace ──► account missing ──► create
//! ```
//!
//! Must not know: tokens, permissions.

mod apply;
mod decide;
mod view;

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::{Registry, Who};
use orlop_store::Snapshot;

use self::decide::{Verdict, View};
use crate::{
    Error,
    worker::{Controller, Due, Next, Reader, Related},
};

/// The service account controller.
pub(crate) struct ServiceAccounts {
    registry: Registry,
    who: Who,
}

impl ServiceAccounts {
    /// A controller that writes through `registry`.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, who: crate::who(Self::NAME) }
    }
}

impl Controller for ServiceAccounts {
    type Verdict = Verdict;
    type View = View;

    const KEYS: &'static [&'static Kind] = &[&kind::NAMESPACE];
    const NAME: &'static str = "serviceaccounts";
    const WATCHES: &'static [&'static Kind] = &[&kind::NAMESPACE, &kind::SERVICE_ACCOUNT];

    /// | changed | looked at |
    /// |---|---|
    /// | namespace | itself |
    /// | account gone | its namespace |
    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        if *object.key.kind == kind::NAMESPACE { Related::itself(object) } else { Related::default() }
    }

    fn gone(&self, key: &Key) -> Related {
        let account = *key.kind == kind::SERVICE_ACCOUNT;
        Related::keys(account.then(|| Key::cluster(&kind::NAMESPACE, &*key.namespace)))
    }

    fn view(&self, keys: &[Due], reader: &mut Reader) -> View {
        view::view(keys, reader)
    }

    fn decide(view: &View) -> Vec<(Key, Verdict)> {
        decide::decide(view)
    }

    async fn apply(&self, key: &Key, _: Verdict) -> Result<Next, Error> {
        apply::apply(self, key).await
    }
}
