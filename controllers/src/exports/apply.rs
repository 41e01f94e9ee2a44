//! Carries out the verdicts about exports: one transaction each.

use orlop_objects::{Key, exports::CLIENTS};
use orlop_registry::Part;
use serde_json::Value;

use super::decide::Verdict;
use crate::{Error, edit, parts::Parts, worker::Next};

/// Carries out one verdict. Every export waits: for nodes that come and go.
pub(super) async fn apply(parts: &Parts, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    let told = match verdict {
        Verdict::Watch { told } => told,
        Verdict::Write { volume, clients, told } => {
            let changed = parts.transact(|door| {
                edit::unchanged(door, &volume)?;
                let change = |mut value: Value| {
                    edit::annotate(&mut value, CLIENTS, &clients);
                    Ok(value)
                };
                door.change(volume.key(), Part::Main, change).map(drop)
            });
            changed.await.map_err(Error::doing("write who may mount", key))?;
            told
        }
    };
    for (object, said) in told {
        parts.tell(&object, said);
    }
    Ok(Next::Waiting(None))
}
