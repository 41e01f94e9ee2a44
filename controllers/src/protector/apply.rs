//! Carries out the protector's verdicts.

use orlop_objects::Key;
use orlop_registry::Part;

use super::{Protector, decide::Verdict};
use crate::{Error, edit, worker::Next};

/// Carries out one verdict.
pub(super) async fn apply(protector: &Protector, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::LetGo { object, finalizer } => {
            let seen = (key, object.revision);
            let let_go = edit::change(&protector.registry, &protector.who, seen, Part::Main, |value, _| {
                edit::drop_finalizer(value, finalizer);
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
