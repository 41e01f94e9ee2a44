//! Objects for tables: short to write, read by the same types as the stored ones.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::sync::Arc;

use orlop_objects::{Kind, Object, Typed};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::worker::Seen;

/// An object that a test writes.
pub(crate) fn object(kind: &'static Kind, value: &Value) -> Arc<Object> {
    Arc::new(Object::from_value(kind, value).expect("a test writes valid metadata").at(1000))
}

/// The typed view of an object that a test writes.
pub(crate) fn seen<T: Typed>(value: &Value) -> Arc<Seen<T>> {
    Arc::new(Seen::new(object(T::KIND, value)).expect("a test writes what the type reads"))
}

/// A part of an object that a test writes.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a test writes what the type reads")
}

/// `base` with the fields of `more` laid over it; null removes.
pub(crate) fn with(mut base: Value, more: &Value) -> Value {
    merge(&mut base, more);
    base
}

fn merge(base: &mut Value, more: &Value) {
    let (Some(fields), true) = (more.as_object(), base.is_object()) else {
        *base = more.clone();
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            if let Some(base) = base.as_object_mut() {
                base.remove(key);
            }
        } else {
            merge(&mut base[key], value);
        }
    }
}

/// Claim `data` with uid `c1`, 1Gi, ReadWriteOnce, of class `fast`.
pub(crate) fn claim(more: Value) -> Value {
    let base = json!({
        "metadata": {"name": "data", "namespace": "default", "uid": "c1", "annotations": {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
            "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Pending"},
    });
    with(base, &more)
}

/// Volume `v`, 1Gi, ReadWriteOnce, of class `fast`, nobody's.
pub(crate) fn volume(more: Value) -> Value {
    let base = json!({
        "metadata": {"name": "v", "uid": "v1", "annotations": {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "capacity": {"storage": "1Gi"}},
        "status": {"phase": "Available"},
    });
    with(base, &more)
}

/// A Ready node with room for 4 CPUs, 8Gi and 10 pods.
pub(crate) fn node(name: &str, more: Value) -> Value {
    let base = json!({
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    with(base, &more)
}

/// A pod that mounts claim `data`.
pub(crate) fn pod(name: &str, more: Value) -> Value {
    let base = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "c"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        "status": {"phase": "Pending"},
    });
    with(base, &more)
}

/// Node affinity for one host.
pub(crate) fn only_on(node: &str) -> Value {
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}})
}
