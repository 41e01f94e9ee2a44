//! What the controller of every workload works with: the registry that it writes through and as whom, and whom it tells.

use std::sync::Arc;

use jiff::Timestamp;
use orlop_objects::Object;
use orlop_registry::{Part, Registry, Who};
use serde_json::Value;

use crate::{
    Error,
    error::stale,
    events::{Said, Teller},
    worker::Controller,
};

/// One controller's parts.
pub(crate) struct Parts {
    /// What it writes through.
    pub(crate) registry: Registry,
    /// As whom it writes.
    pub(crate) who: Who,
    teller: Teller,
}

impl Parts {
    /// Those of the controller `C`, which tells as `source`.
    pub(crate) fn of<C: Controller>(registry: Registry, source: &'static str) -> Self {
        let teller = Teller::new(registry.clone(), source);
        Self { registry, who: crate::who(C::NAME), teller }
    }

    /// Records `said` about `object`, without making anybody wait for it.
    pub(crate) fn tell(&self, object: &Arc<Object>, said: Said) {
        self.teller.tell(object, said);
    }

    /// Changes what this controller alone writes of a workload: its status, say. The rest of it may have changed since it
    /// was seen; it must still be the one that was decided for, or a namesake would be given the numbers of another.
    pub(crate) async fn write(
        &self,
        workload: &Object,
        part: Part,
        f: impl Fn(&mut Value, Timestamp) + Send + Sync,
    ) -> Result<(), Error> {
        let key = &workload.key;
        let written = self.registry.transact(&self.who, |door| {
            if door.get(key).is_none_or(|found| found.meta.uid != workload.meta.uid) {
                return Err(stale(key));
            }
            let now = door.now();
            let change = |mut value: Value| {
                f(&mut value, now);
                Ok(value)
            };
            door.change(key, part, change).map(drop)
        });
        written.await.map_err(Error::doing("write the status of", key))
    }
}
