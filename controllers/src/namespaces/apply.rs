//! Carries out the verdicts about terminating namespaces.

use futures::future::join_all;
use orlop_objects::{Key, Revision};
use orlop_registry::{DeleteOptions, Error as Refused, Part};
use serde_json::{Value, json};

use super::{Namespaces, decide::Verdict};
use crate::{
    Error, edit,
    error::stale,
    worker::{Next, now},
};

/// Carries out one verdict.
pub(super) async fn apply(namespaces: &Namespaces, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Empty { keys } => {
            for (asked, key) in
                join_all(keys.iter().map(|key| ask_to_go(namespaces, key))).await.into_iter().zip(&keys)
            {
                match asked {
                    Ok(()) | Err(Refused::NotFound(_)) => {}
                    Err(error) => return Err(Error::doing("delete", key)(error)),
                }
            }
            Ok(Next::Waiting(Some(now())))
        }
        Verdict::Wait { until } => Ok(Next::Waiting(Some(until))),
        Verdict::Tell { revision, message } => {
            change(namespaces, key, revision, Part::Status, |value, at| {
                edit::set_condition(
                    value,
                    "NamespaceContentRemaining",
                    "True",
                    "SomeResourcesRemain",
                    &message,
                    at,
                );
            })
            .await?;
            Ok(Next::Waiting(None))
        }
        Verdict::Finalize { revision } => {
            change(namespaces, key, revision, Part::Whole, |value, _| {
                edit::section(value, "spec").insert("finalizers".to_owned(), json!([]));
            })
            .await?;
            Ok(Next::Settled)
        }
    }
}

async fn ask_to_go(namespaces: &Namespaces, key: &Key) -> Result<(), Refused> {
    namespaces.registry.delete(key, &DeleteOptions::default(), &namespaces.who).await.map(drop)
}

async fn change(
    namespaces: &Namespaces,
    key: &Key,
    revision: Revision,
    part: Part,
    f: impl Fn(&mut Value, jiff::Timestamp) + Send + Sync,
) -> Result<(), Error> {
    let changed = namespaces.registry.transact(&namespaces.who, |door| {
        if door.get(key).is_none_or(|current| current.revision != revision) {
            return Err(stale(key));
        }
        let at = door.now();
        let change = |mut value: Value| {
            f(&mut value, at);
            Ok(value)
        };
        door.change(key, part, change).map(drop)
    });
    changed.await.map_err(Error::doing("change", key))
}
