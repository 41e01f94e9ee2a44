//! Whatever stands in a body, the door answers: it never panics, and what it takes it can read again.

use orlop_objects::{Key, kind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Bench;
use crate::Part;

fn body() -> Value {
    json!({"metadata": {"name": "a", "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["x.io/y"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
        "spec": {"containers": [{"name": "main", "image": "i", "env": [{"name": "A", "value": "b"}], "ports":
        [{"containerPort": 1}], "resources": {"limits": {"cpu": "1"}}, "volumeMounts": [{"name": "v", "mountPath":
        "/v"}]}], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}], "tolerations": [{"key":
        "a", "operator": "Exists"}], "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "csi": {"driver":
        "d.io", "volumeHandle": "h"}, "claimRef": {"namespace": "default", "name": "c", "uid": "u"}, "drivers": [{"name":
        "d.io", "nodeID": "n", "topologyKeys": ["a"]}], "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata":
        {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "i"}]}}},
        "data": {"a": "eA=="}, "status": {"phase": "Bound", "conditions": [{"type": "A", "status": "True"}]}})
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z0-9/.:' -]{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([1, null, {}])),
        Just(json!({})),
        Just(json!({"a": {"b": [0]}})),
    ]
}

/// Every place in `value`, as pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{at}/{}", name.replace('/', "~1")), into);
            }
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{n}"), into);
            }
        }
        _ => {}
    }
}

/// The body with some places replaced by junk.
fn damaged() -> impl Strategy<Value = Value> {
    prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..4).prop_map(|changes| {
        let mut value = body();
        for (place, junk) in changes {
            let mut all = Vec::new();
            places(&value, "", &mut all);
            let at = all[place.index(all.len())].clone();
            if let Some(slot) = value.pointer_mut(&at) {
                *slot = junk;
            }
        }
        value
    })
}

async fn answer(first: Value, second: Value) {
    let bench = Bench::new().await;
    for kind in kind::ALL {
        let namespace = if kind.namespaced { "default" } else { "" };
        let _ = bench.registry.create(kind, namespace, first.clone(), &bench.who, true).await;
        if let Ok(outcome) = bench.try_create(kind, namespace, first.clone()).await {
            assert_eq!(bench.get(&outcome.object.key), Some(outcome.object));
        }
        let key = Key::new(kind, namespace, "a");
        for part in [Part::Main, Part::Status, Part::Whole] {
            let _ = bench.try_change(&key, part, |v| *v = second.clone()).await;
        }
        let _ = bench.registry.delete(&key, &crate::DeleteOptions::default(), &bench.who).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn any_body_is_answered(first in damaged(), second in damaged()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(answer(first, second));
    }
}
