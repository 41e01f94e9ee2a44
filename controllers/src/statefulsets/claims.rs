//! The claims of a number: their names and forms, and what becomes of them. Pure.
//!
//! | when the set is deleted | when it is made smaller | a claim of a wanted number is owned by | of a number too high by |
//! |---|---|---|---|
//! | Retain | Retain | nobody | nobody |
//! | Delete | Retain | the set | the set |
//! | Retain | Delete | nobody | its pod |
//! | Delete | Delete | the set | its pod |
//!
//! What lost its owner is deleted by the garbage collector. A claim that somebody else controls is left alone.

use std::sync::Arc;

use orlop_objects::{Object, kind};
use serde_json::{Map, Value, json};

use crate::workloads::family;

/// The templates of a set's claims.
pub(crate) fn templates(spec: &Value) -> &[Value] {
    spec["volumeClaimTemplates"].as_array().map_or(&[], Vec::as_slice)
}

/// The name of a number's claim.
pub(crate) fn name(template: &str, set: &str, ordinal: i32) -> String {
    format!("{template}-{set}-{ordinal}")
}

/// The names of all claims of a number.
pub(crate) fn names(spec: &Value, set: &str, ordinal: i32) -> Vec<String> {
    let template = |template: &Value| template["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    templates(spec).iter().map(|claim| name(&template(claim), set, ordinal)).collect()
}

/// The claims of a number: with the labels of the set's selector, by which people find them.
pub(crate) fn forms(set: &Object, spec: &Value, ordinal: i32) -> Vec<Value> {
    let selected = spec["selector"]["matchLabels"].as_object();
    let form = |template: &Value| {
        let own = template["metadata"]["labels"].as_object();
        let labels: Map<String, Value> =
            own.into_iter().chain(selected).flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let volume = template["metadata"]["name"].as_str().unwrap_or_default();
        let mut metadata = json!({"name": name(volume, &set.meta.name, ordinal), "labels": labels});
        if let Some(annotations) = template["metadata"].get("annotations") {
            metadata["annotations"] = annotations.clone();
        }
        if policy(spec, "whenDeleted") == "Delete" {
            metadata["ownerReferences"] = json!([family::reference(set)]);
        }
        json!({"metadata": metadata, "spec": template["spec"]})
    };
    templates(spec).iter().map(form).collect()
}

fn policy<'a>(spec: &'a Value, when: &str) -> &'a str {
    spec["persistentVolumeClaimRetentionPolicy"][when].as_str().unwrap_or("Retain")
}

/// The owners that a claim is to have, where it has others; `pod` is there while the number is too high.
pub(crate) fn owners(
    set: &Object,
    spec: &Value,
    claim: &Arc<Object>,
    pod: Option<&Object>,
) -> Option<Vec<Value>> {
    let mine = |owner: &Value| {
        owner["uid"] == set.meta.uid || (owner["kind"] == kind::POD.kind && owner["apiVersion"] == "v1")
    };
    let value = claim.value();
    let has = value["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    if has.iter().any(|owner| owner["controller"] == true && !mine(owner)) {
        return None;
    }
    let scaled = pod.filter(|_| policy(spec, "whenScaled") == "Delete");
    let deleted = scaled.is_none() && policy(spec, "whenDeleted") == "Delete";
    let owner = scaled.or(deleted.then_some(set)).map(family::reference);
    let others = has.iter().filter(|owner| !mine(owner)).cloned();
    let wanted: Vec<Value> = others.chain(owner).collect();
    let uids = |owners: &[Value]| owners.iter().map(|owner| owner["uid"].clone()).collect::<Vec<_>>();
    (uids(has) != uids(&wanted)).then_some(wanted)
}

/// Whether a claim goes with a pod of its number that is gone: one made now would lose it.
pub(crate) fn is_stale(claim: &Object, pod: Option<&Object>) -> bool {
    let of_pod = |owner: &orlop_objects::meta::Owner| {
        owner.kind == kind::POD.kind && pod.is_none_or(|pod| pod.meta.uid != owner.uid)
    };
    claim.meta.is_terminating() || claim.meta.owner_references.iter().any(of_pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Object {
        let set = json!({"metadata": {"name": "web", "namespace": "default", "uid": "s1"}});
        Object::from_value(&kind::STATEFUL_SET, &set).expect("valid")
    }

    fn spec(deleted: &str, scaled: &str) -> Value {
        json!({"selector": {"matchLabels": {"app": "web"}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
            "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"tier": "x"}}, "spec": {"a": 1}}]})
    }

    #[test]
    fn a_claim_has_the_labels_of_the_set() {
        let form = forms(&set(), &spec("Retain", "Retain"), 2).remove(0);
        let wanted = json!({"metadata": {"name": "data-web-2", "labels": {"app": "web", "tier": "x"}}, "spec": {"a": 1}});
        assert_eq!(form, wanted);
        let owned = forms(&set(), &spec("Delete", "Retain"), 2).remove(0);
        assert_eq!(owned["metadata"]["ownerReferences"][0]["uid"], "s1");
    }

    #[test]
    fn every_row_of_the_table() {
        let pod = json!({"metadata": {"name": "web-2", "namespace": "default", "uid": "p1"}});
        let pod = Object::from_value(&kind::POD, &pod).expect("valid");
        let claim = |owners: Value| {
            let claim = json!({"metadata": {"name": "data-web-2", "namespace": "default", "ownerReferences": owners}});
            Arc::new(Object::from_value(&kind::PERSISTENT_VOLUME_CLAIM, &claim).expect("valid"))
        };
        let owners = |deleted: &str, scaled: &str, has: Value, high: bool| {
            let found = owners(&set(), &spec(deleted, scaled), &claim(has), high.then_some(&pod));
            found.map(|owners| {
                owners
                    .iter()
                    .map(|o| o["uid"].as_str().unwrap_or("").to_owned())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        let none = || json!([]);
        let by_set = || json!([{"uid": "s1", "kind": "StatefulSet", "controller": true}]);
        let by_pod = || json!([{"uid": "p1", "kind": "Pod", "apiVersion": "v1", "controller": true}]);
        let foreign = || json!([{"uid": "x", "kind": "Other", "controller": true}]);
        let rows = [
            ("Retain", "Retain", none(), false, None),
            ("Retain", "Retain", by_set(), false, Some("")),
            ("Delete", "Retain", none(), false, Some("s1")),
            ("Delete", "Retain", by_set(), true, None),
            ("Retain", "Delete", none(), false, None),
            ("Retain", "Delete", none(), true, Some("p1")),
            ("Retain", "Delete", by_pod(), false, Some("")),
            ("Delete", "Delete", none(), false, Some("s1")),
            ("Delete", "Delete", by_set(), true, Some("p1")),
            ("Delete", "Delete", foreign(), true, None),
        ];
        for (deleted, scaled, has, high, wanted) in rows {
            let found = owners(deleted, scaled, has.clone(), high);
            assert_eq!(found.as_deref(), wanted, "{deleted} {scaled} {has} {high}");
        }
    }
}
