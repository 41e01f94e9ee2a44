//! Carries out the garbage collector's verdicts.

use futures::future::{try_join, try_join_all};
use orlop_objects::Key;
use orlop_registry::{DeleteOptions, Error as Refused, Part};
use serde_json::Value;

use super::{Garbage, decide::Verdict};
use crate::{
    Error, edit,
    worker::{Next, now},
};

/// Carries out one verdict.
pub(super) async fn apply(garbage: &Garbage, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Delete { uid } => {
            delete(garbage, key, uid, "Background").await?;
            Ok(Next::Settled)
        }
        Verdict::Wait => Ok(Next::Waiting(None)),
        Verdict::Empty { uid, go, stay } => {
            let go = go
                .into_iter()
                .map(|(dependent, its)| async move { delete(garbage, &dependent, its, "Foreground").await });
            let stay = stay.iter().map(|dependent| disown(garbage, dependent, &uid));
            try_join(try_join_all(go), try_join_all(stay)).await?;
            Ok(Next::Waiting(Some(now())))
        }
        Verdict::Orphan { uid, keys } => {
            try_join_all(keys.iter().map(|dependent| disown(garbage, dependent, &uid))).await?;
            Ok(Next::Waiting(Some(now())))
        }
        Verdict::LetGo { revision, finalizer } => {
            let seen = (key, revision);
            let let_go = edit::change(&garbage.registry, &garbage.who, seen, Part::Main, |value, _| {
                edit::drop_finalizer(value, finalizer);
            });
            let_go.await.map_err(Error::doing("let go", key))?;
            Ok(Next::Settled)
        }
    }
}

async fn delete(garbage: &Garbage, key: &Key, uid: String, how: &str) -> Result<(), Error> {
    let options =
        DeleteOptions { uid: Some(uid), propagation: Some(how.to_owned()), ..DeleteOptions::default() };
    match garbage.registry.delete(key, &options, &garbage.who).await {
        Ok(_) | Err(Refused::NotFound(_)) => Ok(()),
        Err(error) => Err(Error::doing("delete", key)(error)),
    }
}

async fn disown(garbage: &Garbage, key: &Key, uid: &str) -> Result<(), Error> {
    let change = |mut value: Value| {
        if let Some(owners) = value.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
            owners.retain(|owner| owner["uid"] != uid);
        }
        Ok(value)
    };
    match garbage.registry.change(key, Part::Main, &garbage.who, false, change).await {
        Ok(_) | Err(Refused::NotFound(_)) => Ok(()),
        Err(error) => Err(Error::doing("disown", key)(error)),
    }
}
