//! Carries out the protector's verdicts.

use orlop_objects::Key;
use orlop_registry::Part;

use super::decide::Verdict;
use crate::{Error, edit, parts::Parts, worker::Next};

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::LetGo { object, finalizer } => {
            let seen = (key, object.revision);
            let let_go = edit::change(&parts.registry, &parts.who, seen, Part::Main, |value, _| {
                edit::drop_finalizer(value, finalizer);
            });
            let_go.await.map_err(Error::doing("take the protection off", key))?;
            Ok(Next::Settled)
        }
        Verdict::Wait { object, said } => {
            parts.tell(&object, said);
            Ok(Next::Waiting(None))
        }
    }
}
