//! Carries out the protector's verdicts.

use orlop_objects::Key;
use orlop_registry::Part;
use serde_json::Value;

use super::{Protector, decide::Verdict};
use crate::{Error, edit, error::stale, worker::Next};

/// Carries out one verdict.
pub(super) async fn apply(protector: &Protector, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::LetGo { object, finalizer } => {
            let let_go = protector.registry.transact(&protector.who, |door| {
                if door.get(key).is_none_or(|current| current.revision != object.revision) {
                    return Err(stale(key));
                }
                let change = |mut value: Value| {
                    edit::drop_finalizer(&mut value, finalizer);
                    Ok(value)
                };
                door.change(key, Part::Main, change).map(drop)
            });
            let_go.await.map_err(Error::doing("take the protection off", key))?;
            Ok(Next::Settled)
        }
        Verdict::Wait { object, said } => {
            protector.teller.tell(&object, said);
            Ok(Next::Waiting(None))
        }
    }
}
