//! Makes pods from templates and removes them.

use std::{future::Future, sync::Arc};

use futures::future::{join_all, try_join_all};
use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::{DeleteOptions, Error as Refused};
use serde_json::{Value, json};

use super::{family, pods::Pod};
use crate::{Error, events::Said, parts::Parts};

/// A pod of `template` that `owner` controls; its name is still to be given.
pub(crate) fn pod(template: &Value, owner: &Object) -> Value {
    let mut metadata = json!({"ownerReferences": [family::reference(owner)]});
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    json!({"metadata": metadata, "spec": template["spec"]})
}

/// Creates an object that `owner` controls, as long as the owner stays.
pub(crate) async fn create(
    parts: &Parts,
    owner: &Object,
    kind: &'static Kind,
    body: &Value,
) -> Result<Arc<Object>, Refused> {
    let made = parts.transact(|door| {
        family::stays(door, owner)?;
        door.create(kind, &owner.key.namespace, body.clone()).map(|made| made.object)
    });
    made.await.map_err(|refused| unnamed(refused, body))
}

/// A refusal without the name that was drawn for it: else each try would be refused in other words, and what says so in
/// a condition would wake the next try at once.
fn unnamed(mut refused: Refused, body: &Value) -> Refused {
    if let (Some(prefix), Refused::Invalid { key, .. } | Refused::Forbidden { key, .. }) =
        (body["metadata"]["generateName"].as_str(), &mut refused)
    {
        prefix.clone_into(&mut key.name);
    }
    refused
}

/// Does something `count` times: first once, then twice as often each time, until one fails. Where nothing can be made,
/// one is tried, and not a thousand.
pub(crate) async fn slow_start<T, E, F: Future<Output = Result<T, E>>>(
    count: usize,
    each: impl Fn(usize) -> F,
) -> (Vec<T>, Option<E>) {
    let (mut done, mut failed, mut batch) = (Vec::new(), None, 1);
    while done.len() < count && failed.is_none() {
        let first = done.len();
        let several = first..count.min(first + batch);
        for result in join_all(several.map(&each)).await {
            match result {
                Ok(made) => done.push(made),
                Err(error) => failed = Some(error),
            }
        }
        batch *= 2;
    }
    (done, failed)
}

/// Makes one pod of each body by slow start, and tells their owner of those that were made and of one that was not. An
/// error comes with the words in which it was told.
pub(crate) async fn pods(
    parts: &Parts,
    owner: &Arc<Object>,
    bodies: &[&Value],
) -> Result<(), (Error, String)> {
    let (made, failed) = slow_start(bodies.len(), |n| create(parts, owner, &kind::POD, bodies[n])).await;
    for pod in made {
        let text = format!("Created pod: {}", pod.meta.name);
        parts.tell(owner, Said::normal("SuccessfulCreate", text));
    }
    let Some(failed) = failed else { return Ok(()) };
    let text = format!("Error creating: {failed}");
    let error = Error::doing("create a pod of", &owner.key)(failed);
    if !error.is_stale() {
        parts.tell(owner, Said::warning("FailedCreate", &*text));
    }
    Err((error, text))
}

/// Asks for the deletion of these pods, and of no others that bear their names.
pub(crate) async fn delete(parts: &Parts, pods: &[Arc<Pod>]) -> Result<(), Error> {
    try_join_all(pods.iter().map(|pod| delete_one(parts, &pod.object))).await.map(drop)
}

/// Asks for the deletion of this object, and of no other that bears its name.
pub(crate) async fn delete_one(parts: &Parts, object: &Object) -> Result<(), Error> {
    let options = DeleteOptions { uid: Some(object.meta.uid.clone()), ..DeleteOptions::default() };
    match parts.registry.delete(&object.key, &options, &parts.who).await {
        Ok(_) | Err(Refused::NotFound(_)) => Ok(()),
        Err(error) => Err(Error::doing("delete", &object.key)(error)),
    }
}

/// Whether a namespace is on its way out: nothing new can be made in it.
pub(crate) fn is_going(snapshot: &orlop_store::Snapshot, namespace: &str) -> bool {
    let found = snapshot.get(&Key::cluster(&kind::NAMESPACE, namespace));
    found.is_none_or(|found| found.meta.is_terminating())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::slow_start;

    #[tokio::test]
    async fn batches_double_until_one_fails() {
        let tried = Mutex::new(Vec::new());
        let each = |n: usize| {
            tried.lock().expect("no panic").push(n);
            async move { if n < 5 { Ok(n) } else { Err(n) } }
        };
        let (done, failed) = slow_start(100, each).await;
        assert_eq!((done.len(), failed), (5, Some(6)));
        assert_eq!(*tried.lock().expect("no panic"), [0, 1, 2, 3, 4, 5, 6]);
        let (done, failed) = slow_start(4, |n| async move { Ok::<_, ()>(n) }).await;
        assert_eq!((done, failed), (vec![0, 1, 2, 3], None));
    }
}
