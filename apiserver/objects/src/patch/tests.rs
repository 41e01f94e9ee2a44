//! The table of the module, row for row, and the laws.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::strategic;
use crate::{Cause, decode::grow::Grower, kind, schema::table};

fn pod(spec: &Value) -> Value {
    json!({"spec": spec})
}

/// The pod's spec after the patch of its spec.
fn patched(original: &Value, patch: &Value) -> Value {
    strategic(&kind::POD, pod(original), &pod(patch)).expect("a good patch")["spec"].take()
}

#[test]
fn rows_of_the_table() {
    let c = |name: &str, image: &str| json!({"name": name, "image": image});
    let rows = [
        ("a value replaces", json!({"hostname": "a"}), json!({"hostname": "b"}), json!({"hostname": "b"})),
        (
            "null takes away",
            json!({"hostname": "a", "os": {}}),
            json!({"hostname": null, "subdomain": null}),
            json!({"os": {}}),
        ),
        (
            "objects merge",
            json!({"nodeSelector": {"a": "1", "b": "2"}}),
            json!({"nodeSelector": {"b": null, "c": "3"}}),
            json!({"nodeSelector": {"a": "1", "c": "3"}}),
        ),
        (
            "keyed items merge, new ones stand behind",
            json!({"containers": [c("a", "1"), c("b", "1")]}),
            json!({"containers": [c("b", "2"), c("d", "1")]}),
            json!({"containers": [c("a", "1"), c("b", "2"), c("d", "1")]}),
        ),
        (
            "other lists replace",
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        ),
        (
            "other lists replace, whatever their items say of themselves",
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"$patch": "replace"}, {"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        ),
        (
            "an object is replaced",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "replace", "runAsGroup": 2}}),
            json!({"securityContext": {"runAsGroup": 2}}),
        ),
        (
            "an object is emptied",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "delete"}}),
            json!({"securityContext": {}}),
        ),
        (
            "a list is replaced",
            json!({"containers": [c("a", "1"), c("b", "1")]}),
            json!({"containers": [{"$patch": "replace"}, c("x", "1")]}),
            json!({"containers": [c("x", "1")]}),
        ),
        (
            "an item goes",
            json!({"containers": [c("a", "1"), c("b", "1")]}),
            json!({"containers": [{"$patch": "delete", "name": "a"}]}),
            json!({"containers": [c("b", "1")]}),
        ),
        (
            "a volume changes its source",
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
        ),
        (
            "order is set",
            json!({"containers": [c("a", "1"), c("b", "1"), c("s", "1")]}),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [c("b", "1"), c("a", "1"), c("s", "1")]}),
        ),
        (
            "order with a new item, a deleted one and one of somebody else",
            json!({"containers": [c("sidecar", "1"), c("a", "1"), c("b", "1")]}),
            json!({"$setElementOrder/containers": [{"name": "n"}, {"name": "b"}],
                "containers": [c("n", "1"), {"name": "a", "$patch": "delete"}]}),
            json!({"containers": [c("n", "1"), c("sidecar", "1"), c("b", "1")]}),
        ),
        (
            "a patch of a list that is not there",
            json!({}),
            json!({"containers": [c("a", "1"), {"name": "b", "$patch": "delete"}]}),
            json!({"containers": [c("a", "1")]}),
        ),
    ];
    for (what, original, patch, expected) in rows {
        assert_eq!(patched(&original, &patch), expected, "{what}");
    }
}

#[test]
fn plain_values_are_added_once_and_taken_away() {
    let meta = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    let add = strategic(&kind::POD, meta(json!(["a"])), &meta(json!(["a", "b"]))).expect("adds");
    assert_eq!(add, meta(json!(["a", "b"])));
    let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    assert_eq!(strategic(&kind::POD, add, &gone).expect("takes away"), meta(json!(["b"])));
}

#[test]
fn ports_of_one_number_are_told_apart_by_protocol() {
    let service = |ports: Value| json!({"spec": {"ports": ports}});
    let tcp = json!({"name": "t", "port": 53, "protocol": "TCP"});
    let udp = json!({"name": "u", "port": 53, "protocol": "UDP"});
    let both = service(json!([tcp, udp]));

    let rename = service(json!([{"port": 53, "protocol": "UDP", "name": "dns"}]));
    let renamed = strategic(&kind::SERVICE, both.clone(), &rename).expect("merges");
    assert_eq!(renamed, service(json!([tcp, {"name": "dns", "port": 53, "protocol": "UDP"}])));

    let add = json!({"spec": {"$setElementOrder/ports": [{"port": 53}, {"port": 53}], "ports": [udp]}});
    assert_eq!(strategic(&kind::SERVICE, service(json!([tcp])), &add).expect("adds"), both);

    let change = service(json!([{"port": 53, "protocol": "UDP"}]));
    let changed = strategic(&kind::SERVICE, service(json!([tcp])), &change).expect("changes");
    assert_eq!(changed, service(json!([{"name": "t", "port": 53, "protocol": "UDP"}])));

    let delete = service(json!([{"$patch": "delete", "port": 53, "protocol": "UDP"}]));
    assert_eq!(strategic(&kind::SERVICE, both.clone(), &delete).expect("deletes"), service(json!([tcp])));
    let delete = service(json!([{"$patch": "delete", "port": 53}]));
    assert_eq!(strategic(&kind::SERVICE, both, &delete).expect("deletes"), service(json!([])));
}

#[test]
fn what_is_opaque_keeps_what_looks_like_a_directive() {
    let patch = json!({"data": {"spec": {"$patch": "replace", "x": null}}});
    let patched = strategic(&kind::CONTROLLER_REVISION, json!({"data": {"old": 1}}), &patch);
    assert_eq!(patched.expect("a good patch"), patch);
}

#[test]
fn a_deployment_changes_its_strategy() {
    let given = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let patched = strategic(&kind::DEPLOYMENT, given, &patch).expect("a good patch");
    assert_eq!(patched, json!({"spec": {"strategy": {"type": "Recreate"}}}));
}

#[test]
fn bad_patches_name_their_field() {
    let rows = [
        (json!({"containers": [{"image": "x"}]}), "spec.containers[0].name", Cause::Required),
        (json!({"containers": ["x"]}), "spec.containers[0]", Cause::Invalid),
        (json!({"securityContext": {"$patch": "burn"}}), "spec.securityContext.$patch", Cause::Invalid),
        (json!({"$setElementOrder/tolerations": [], "tolerations": []}), "spec.tolerations", Cause::Invalid),
        (json!({"os": {"$retainKeys": ["a"], "name": "linux"}}), "spec.os.$retainKeys", Cause::Invalid),
    ];
    for (patch, field, cause) in rows {
        let error = strategic(&kind::POD, pod(&json!({"containers": []})), &pod(&patch)).expect_err(field);
        assert_eq!((error.field.as_str(), error.cause), (field, cause), "{error}");
    }
}

/// A long list, and every item of it one that has to be found: where each is compared with all others, as once it
/// was, this takes many minutes.
#[test]
fn lists_are_merged_in_time_however_long_they_are() {
    const MANY: usize = 50_000;
    let ports = |named: &str, from: usize| -> Vec<Value> {
        (from..from + MANY).map(|n| json!({"port": n, "protocol": "UDP", "name": named})).collect()
    };
    let deleted = (0..MANY / 2).map(|n| json!({"$patch": "delete", "port": n, "protocol": "UDP"}));
    let patch: Vec<Value> = ports("new", MANY / 2).into_iter().chain(deleted).collect();
    let order: Vec<Value> = (MANY / 2..3 * MANY / 2).rev().map(|n| json!({"port": n})).collect();
    let service = json!({"spec": {"ports": ports("old", 0)}});
    let merged = strategic(
        &kind::SERVICE,
        service,
        &json!({"spec": {"$setElementOrder/ports": order, "ports": patch}}),
    );
    let merged = merged.expect("a good patch")["spec"]["ports"].take();
    let merged = merged.as_array().expect("a list");
    assert_eq!(merged.len(), MANY);
    assert!(merged.iter().rev().zip(MANY / 2..).all(|(item, n)| item["port"] == n && item["name"] == "new"));

    let one_key = |protocol: usize| json!({"port": 1, "protocol": protocol.to_string()});
    let service = json!({"spec": {"ports": (0..MANY).map(one_key).collect::<Vec<_>>()}});
    assert_eq!(strategic(&kind::SERVICE, service.clone(), &service).expect("itself"), service);

    let values = |from: usize| (from..from + MANY).map(|n| Value::from(n.to_string())).collect::<Vec<_>>();
    let meta = |key: &str, values: Vec<Value>| json!({"metadata": {key: values}});
    let added = strategic(&kind::POD, meta("finalizers", values(0)), &meta("finalizers", values(MANY / 2)));
    let added = added.expect("a good patch");
    assert_eq!(added["metadata"]["finalizers"].as_array().map(Vec::len), Some(3 * MANY / 2));
    let gone = meta("$deleteFromPrimitiveList/finalizers", values(0));
    let left = strategic(&kind::POD, added, &gone).expect("a good patch");
    assert_eq!(left["metadata"]["finalizers"].as_array().map(Vec::len), Some(MANY / 2));
}

/// Each of the fields has a path of a megabyte, which nobody asks for.
#[test]
fn paths_are_only_written_for_what_is_wrong() {
    let fields: serde_json::Map<String, Value> = (0..100_000).map(|n| (n.to_string(), json!({}))).collect();
    let patch = json!({"x".repeat(1 << 20): fields});
    assert_eq!(strategic(&kind::POD, json!({}), &patch).expect("a good patch"), patch);
}

/// Specs whose keyed lists have distinct keys, as stored objects have.
fn specs() -> impl Strategy<Value = Value> {
    let container = (0..5_u8, "[a-c]{1,2}", proptest::option::of(0..3_u16));
    let containers = proptest::collection::vec(container, 0..4);
    let labels = proptest::collection::btree_map("[a-c]", "[a-z]{0,3}", 0..3);
    (containers, labels, proptest::option::of("[a-z]{1,3}")).prop_map(|(containers, labels, hostname)| {
        let mut seen = std::collections::BTreeSet::new();
        let list: Vec<Value> = containers
            .into_iter()
            .filter(|(name, _, _)| seen.insert(*name))
            .map(|(name, image, port)| {
                let ports: Vec<Value> = port.into_iter().map(|p| json!({"containerPort": p})).collect();
                json!({"name": name.to_string(), "image": image, "ports": ports})
            })
            .collect();
        let mut spec = json!({"containers": list, "nodeSelector": labels});
        if let Some(hostname) = hostname {
            spec["hostname"] = hostname.into();
        }
        spec
    })
}

proptest! {
    #[test]
    fn an_empty_patch_is_identity(spec in specs()) {
        prop_assert_eq!(strategic(&kind::POD, pod(&spec), &json!({})).expect("empty"), pod(&spec));
        prop_assert_eq!(patched(&spec, &json!({})), spec);
    }

    #[test]
    fn a_patch_of_itself_is_identity(spec in specs()) {
        prop_assert_eq!(patched(&spec, &spec), spec);
    }

    #[test]
    fn a_patch_without_directives_is_idempotent(spec in specs(), patch in specs()) {
        let once = patched(&spec, &patch);
        prop_assert_eq!(patched(&once, &patch), once);
    }

    #[test]
    fn nothing_that_the_patch_does_not_name_is_lost(spec in specs(), patch in specs()) {
        let after = patched(&spec, &patch);
        let names = |v: &Value| -> std::collections::BTreeSet<String> {
            v["containers"].as_array().into_iter().flatten().map(|c| c["name"].to_string()).collect()
        };
        prop_assert!(names(&after).is_superset(&names(&spec)));
    }

    #[test]
    fn an_empty_patch_is_identity_for_every_kind(seed: u64, which in 0..kind::ALL.len()) {
        let kind = kind::ALL[which];
        let object = Grower(seed).object(table::root(kind), 0);
        prop_assert_eq!(strategic(kind, object.clone(), &json!({})).expect("empty"), object);
    }

    #[test]
    fn no_patch_leaves_directives_behind(seed: u64, which in 0..kind::ALL.len()) {
        let kind = kind::ALL[which];
        let mut grower = Grower(seed);
        let object = grower.object(table::root(kind), 0);
        let mut patch = grower.object(table::root(kind), 0);
        sprinkle(&mut patch, &mut grower);
        if let Ok(patched) = strategic(kind, object, &patch) {
            let left = patched.to_string();
            prop_assert!(!left.contains("$patch") && !left.contains("$retainKeys"), "{}", left);
        }
    }
}

/// Puts directives into objects at every depth.
fn sprinkle(value: &mut Value, grower: &mut Grower) {
    match value {
        // Opaque values keep what they hold.
        Value::Object(fields) if !fields.contains_key("f:a") => {
            fields.values_mut().for_each(|v| sprinkle(v, grower));
            let keys: Vec<Value> = fields.keys().map(|k| k.as_str().into()).collect();
            match grower.next(12) {
                0 => drop(fields.insert("$patch".to_owned(), "delete".into())),
                1 => drop(fields.insert("$patch".to_owned(), "replace".into())),
                2 => drop(fields.insert("$retainKeys".to_owned(), keys.into())),
                _ => {}
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| sprinkle(v, grower)),
        _ => {}
    }
}
