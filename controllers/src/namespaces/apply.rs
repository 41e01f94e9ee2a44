//! Carries out the verdicts about terminating namespaces.

use futures::future::join_all;
use orlop_objects::Key;
use orlop_registry::{DeleteOptions, Error as Refused, Part};
use serde_json::json;

use super::{Namespaces, decide::Verdict};
use crate::{
    Error, edit,
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
            let seen = (key, revision);
            let told =
                edit::change(&namespaces.registry, &namespaces.who, seen, Part::Status, |value, at| {
                    edit::set_condition(
                        value,
                        "NamespaceContentRemaining",
                        "True",
                        "SomeResourcesRemain",
                        &message,
                        at,
                    );
                });
            told.await.map_err(Error::doing("write the condition of", key))?;
            Ok(Next::Waiting(None))
        }
        Verdict::Finalize { revision } => {
            let seen = (key, revision);
            let done = edit::change(&namespaces.registry, &namespaces.who, seen, Part::Whole, |value, _| {
                edit::section(value, "spec").insert("finalizers".to_owned(), json!([]));
            });
            done.await.map_err(Error::doing("finalize", key))?;
            Ok(Next::Settled)
        }
    }
}

async fn ask_to_go(namespaces: &Namespaces, key: &Key) -> Result<(), Refused> {
    namespaces.registry.delete(key, &DeleteOptions::default(), &namespaces.who).await.map(drop)
}
