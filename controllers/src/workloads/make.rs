//! Makes pods from templates and removes them.

use std::{future::Future, sync::Arc};

use futures::future::{join_all, try_join_all};
use orlop_objects::{Key, Object, kind};
use orlop_registry::{DeleteOptions, Error as Refused, Registry, Who};
use serde_json::{Value, json};

use super::{family, pods::Pod};
use crate::Error;

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
    registry: &Registry,
    who: &Who,
    owner: &Object,
    kind: &'static orlop_objects::Kind,
    body: &Value,
) -> Result<Arc<Object>, Refused> {
    let made = registry.transact(who, |door| {
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

/// Asks for the deletion of these pods, and of no others that bear their names.
pub(crate) async fn delete(registry: &Registry, who: &Who, pods: &[Arc<Pod>]) -> Result<(), Error> {
    try_join_all(pods.iter().map(|pod| delete_one(registry, who, &pod.object))).await.map(drop)
}

/// Asks for the deletion of this object, and of no other that bears its name.
pub(crate) async fn delete_one(registry: &Registry, who: &Who, object: &Object) -> Result<(), Error> {
    let options = DeleteOptions { uid: Some(object.meta.uid.clone()), ..DeleteOptions::default() };
    match registry.delete(&object.key, &options, who).await {
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
