//! What every controller that tells people something works with: the registry that it writes through, as whom it does, and
//! where it leaves what it has to tell.

use std::sync::Arc;

use jiff::Timestamp;
use orlop_objects::Object;
use orlop_registry::{Door, Error as Refused, Part, Registry, Who};
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

    /// [`Registry::transact`] as this controller.
    pub(crate) async fn transact<T: Send>(
        &self,
        f: impl Fn(&mut Door<'_, '_>) -> Result<T, Refused> + Send,
    ) -> Result<T, Refused> {
        self.registry.transact(&self.who, f).await
    }

    /// Changes what this controller alone writes of an object, its status mostly. The rest of it may have changed since it
    /// was seen; it must still be the one that was decided for, or a namesake would be given the status of another.
    pub(crate) async fn write(
        &self,
        object: &Object,
        part: Part,
        f: impl Fn(&mut Value, Timestamp) + Send + Sync,
    ) -> Result<(), Error> {
        let key = &object.key;
        let written = self.transact(|door| {
            if door.get(key).is_none_or(|found| found.meta.uid != object.meta.uid) {
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
