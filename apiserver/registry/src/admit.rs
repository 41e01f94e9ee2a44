//! What depends on other objects, or on how this server is set: the namespace lives, the default class, protection, the
//! service account, how long a pod stays on a node that is not ready.

use std::{fmt::Display, sync::Arc};

use orlop_objects::{Key, Object, Quantity, kind};
use orlop_store::Tx;
use serde_json::{Value, json};

use crate::{Error, json};

/// Marks a class as the default one; the second name is the beta one, which Kubernetes still reads.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// The annotation by which a claim named its class before the field existed.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Fills a new object from what is around it, or refuses it; warnings are for the client.
pub(crate) fn new_object(tx: &mut Tx<'_>, key: &Key, value: &mut Value) -> Result<Vec<String>, Error> {
    if key.kind.namespaced {
        living_namespace(tx, key)?;
    }
    match key.kind.kind {
        "PersistentVolumeClaim" => {
            protect(value, "kubernetes.io/pvc-protection");
            Ok(default_class(tx, value))
        }
        "PersistentVolume" => {
            protect(value, "kubernetes.io/pv-protection");
            Ok(Vec::new())
        }
        "Pod" => service_account(tx, key, value).map(|()| Vec::new()),
        _ => Ok(Vec::new()),
    }
}

/// Read by key, so that a namespace that starts to terminate meanwhile reruns the transaction.
fn living_namespace(tx: &mut Tx<'_>, key: &Key) -> Result<(), Error> {
    let namespace = Key::cluster(&kind::NAMESPACE, &key.namespace);
    let found = tx.get(&namespace).ok_or_else(|| Error::NotFound(namespace.clone()))?;
    if found.meta.is_terminating() {
        let reason = format!(
            "unable to create new content in namespace {} because it is being terminated",
            key.namespace
        );
        return Err(Error::Forbidden { key: key.clone(), reason });
    }
    Ok(())
}

fn protect(value: &mut Value, finalizer: &str) {
    let finalizers = json::meta(value).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.iter().any(|f| f == finalizer)
    {
        list.push(finalizer.into());
    }
}

/// A claim that names no class gets the default one; `""` is a name and means none.
fn default_class(tx: &Tx<'_>, claim: &mut Value) -> Vec<String> {
    let asked = claim.pointer("/spec/storageClassName").is_some()
        || claim["metadata"]["annotations"].get(BETA_CLASS).is_some();
    if asked {
        return Vec::new();
    }
    let mut classes: Vec<Arc<Object>> = defaults(tx);
    // The newest wins; of equally old ones the first by name. So does Kubernetes.
    classes.sort_by(|a, b| {
        b.meta.creation_timestamp.cmp(&a.meta.creation_timestamp).then_with(|| a.meta.name.cmp(&b.meta.name))
    });
    let Some(class) = classes.first() else {
        return Vec::new();
    };
    json::section(claim, "spec").insert("storageClassName".to_owned(), class.meta.name.clone().into());
    if classes.len() == 1 {
        return Vec::new();
    }
    let names: Vec<&str> = classes.iter().map(|c| c.meta.name.as_str()).collect();
    vec![format!(
        "{} StorageClasses are marked as default ({}); the newest, {:?}, is taken. Keep {} on one of them only, \
         or name a class in spec.storageClassName",
        names.len(),
        names.join(", "),
        names[0],
        DEFAULT_CLASS[0]
    )]
}

fn defaults(tx: &Tx<'_>) -> Vec<Arc<Object>> {
    let classes = tx.snapshot().list(&kind::STORAGE_CLASS, None, None);
    classes.filter(|class| is_default(&class.value())).cloned().collect()
}

fn is_default(class: &Value) -> bool {
    let annotations = &class["metadata"]["annotations"];
    DEFAULT_CLASS.iter().any(|mark| annotations[*mark] == "true")
}

/// Who marks a class as default while another one is, is told so.
pub(crate) fn second_default(
    tx: &Tx<'_>,
    key: &Key,
    before: Option<&Value>,
    class: &Value,
) -> Option<String> {
    if *key.kind != kind::STORAGE_CLASS || !is_default(class) || before.is_some_and(is_default) {
        return None;
    }
    let other = defaults(tx).into_iter().find(|other| other.key != *key)?;
    let (mine, other, mark) = (&key.name, &other.key.name, DEFAULT_CLASS[0]);
    Some(format!(
        "StorageClass {other:?} is marked as default too; claims that name no class get the one created last. To keep \
         {mine:?} alone, set {mark}: \"false\" on {other:?}"
    ))
}

/// Namespaces that everything else stands on.
pub(crate) fn not_immortal(key: &Key) -> Result<(), Error> {
    let immortal = ["default", "kube-system", "kube-public"];
    if *key.kind == kind::NAMESPACE && immortal.contains(&key.name.as_str()) {
        let reason = "this namespace may not be deleted".to_owned();
        return Err(Error::Forbidden { key: key.clone(), reason });
    }
    Ok(())
}

/// A pod acts as `default` where it names nobody; whom it names must exist.
fn service_account(tx: &mut Tx<'_>, key: &Key, pod: &mut Value) -> Result<(), Error> {
    let named = ["/spec/serviceAccountName", "/spec/serviceAccount"]
        .into_iter()
        .map(|path| json::text(pod, path))
        .find(|name| !name.is_empty())
        .unwrap_or("default")
        .to_owned();
    // `default` comes with the namespace, a moment later: pods need not wait for it.
    let account = Key::new(&kind::SERVICE_ACCOUNT, &key.namespace, &named);
    if named != "default" && tx.get(&account).is_none() {
        let reason = format!(
            "error looking up service account {}/{named}: serviceaccount {named:?} not found; create it first",
            key.namespace
        );
        return Err(Error::Forbidden { key: key.clone(), reason });
    }
    let spec = json::section(pod, "spec");
    for field in ["serviceAccountName", "serviceAccount"] {
        spec.insert(field.to_owned(), named.clone().into());
    }
    Ok(())
}

/// Taints of nodes that are not ready, for a while or for good.
const NOT_READY: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// A pod that says nothing of nodes that are not ready stays on one for so many seconds, as in Kubernetes.
pub(crate) fn default_tolerations(pod: &mut Value, seconds: u32) {
    let says = |taint: &str| {
        json::list(pod, "/spec/tolerations").iter().any(|toleration| {
            let (key, effect) = (json::text(toleration, "/key"), json::text(toleration, "/effect"));
            (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
        })
    };
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let missing: Vec<Value> = NOT_READY.into_iter().filter(|taint| !says(taint)).map(toleration).collect();
    let tolerations = json::section(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
    if let Some(list) = tolerations.as_array_mut() {
        list.extend(missing);
    }
}

/// What is said of a claim that asks for more than its volume holds.
pub fn does_not_grow(asked: impl Display, kept: impl Display) -> String {
    format!(
        "volumes do not grow yet; the claim asks for {asked} and keeps {kept}: to have more, make a new claim of that size \
         and copy the data"
    )
}

/// A claim grows only where its class says that its volumes can; a warning says that nobody carries it out yet.
pub(crate) fn expansion(
    tx: &mut Tx<'_>,
    key: &Key,
    before: &Value,
    next: &Value,
) -> Result<Option<String>, Error> {
    let size = |claim: &Value| claim.pointer("/spec/resources/requests/storage").map(Quantity::from_value);
    let (Some(Ok(was)), Some(Ok(is))) = (size(before), size(next)) else { return Ok(None) };
    if *key.kind != kind::PERSISTENT_VOLUME_CLAIM || is <= was {
        return Ok(None);
    }
    let class = Key::cluster(&kind::STORAGE_CLASS, json::text(next, "/spec/storageClassName"));
    if tx.get(&class).is_some_and(|class| class.value()["allowVolumeExpansion"] == true) {
        // One that asks a second time never had what it asked for the first time.
        let has = next.pointer("/status/capacity/storage").map(Quantity::from_value);
        let kept = has.and_then(Result::ok).unwrap_or(was);
        return Ok(Some(format!("spec.resources.requests[storage]: {}", does_not_grow(is, kept))));
    }
    let reason = format!(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
         resize: set allowVolumeExpansion: true in StorageClass {:?} if its driver can",
        class.name
    );
    Err(Error::Forbidden { key: key.clone(), reason })
}

/// Finalizers that a deletion's propagation asks for, where there is somebody to propagate to.
pub(crate) fn propagation_holds(
    tx: &Tx<'_>,
    object: &Object,
    propagation: Option<&str>,
) -> Vec<&'static str> {
    let hold = match propagation {
        Some("Foreground") => "foregroundDeletion",
        Some("Orphan") => "orphan",
        _ => return Vec::new(),
    };
    let index = orlop_objects::index::Index::ByOwner;
    let has_dependents = tx.snapshot().indexed(index, &object.meta.uid).next().is_some();
    if has_dependents { vec![hold] } else { Vec::new() }
}
