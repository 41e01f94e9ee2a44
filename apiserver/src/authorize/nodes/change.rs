//! What a node may change of its own, its status aside: what its agent writes, and nothing that others decide.
//!
//! | kind | annotations | labels | finalizers | all else |
//! |---|---|---|---|---|
//! | Node | any | those of [`labels`] | – | – |
//! | PersistentVolumeClaim | gives it back: takes the chosen node away | – | – | – |
//! | PersistentVolume | says to whom it is exported, or why not | – | takes the provisioner's away | – |
//! | VolumeAttachment | – | – | takes them away | – |
//! | any other | any | any | any | any |
//!
//! Else: `spec`, and of the metadata owners above all, for which the garbage collector would remove the object.

use orlop_objects::{
    Kind,
    exports::{EXPORT_ERROR, EXPORTED_TO},
};
use serde_json::Value;

use super::{
    labels,
    relation::{SELECTED_NODE, list},
};

/// Until the agent takes it away, the volume's data is there.
const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// Whether a node may turn `old` into `new`; else the field that it may not change. An object to be created was null.
pub(super) fn decide(kind: &Kind, node: &str, old: &Value, new: &Value) -> Result<(), String> {
    if !matches!(kind.kind, "Node" | "PersistentVolumeClaim" | "VolumeAttachment" | "PersistentVolume") {
        return Ok(());
    }
    if !same(&old["spec"], &new["spec"]) {
        return Err("spec".to_owned());
    }
    let (old, new) = (&old["metadata"], &new["metadata"]);
    if !same(&old["ownerReferences"], &new["ownerReferences"]) {
        return Err("metadata.ownerReferences".to_owned());
    }
    for (field, may) in
        [("annotations", annotation as fn(&Kind, &str, &str, &Value) -> bool), ("labels", label)]
    {
        let refused =
            changed(&old[field], &new[field]).find(|name| !may(kind, node, name, &new[field][*name]));
        if let Some(name) = refused {
            return Err(format!("metadata.{field}[{name}]"));
        }
    }
    let (held, holds) = (&old["finalizers"], &new["finalizers"]);
    let added = list(holds).any(|name| !list(held).any(|old| old == name));
    let mut taken = list(held).filter(|name| !list(holds).any(|new| new == *name));
    if added || !taken.all(|name| lets_go(kind, name)) {
        return Err("metadata.finalizers".to_owned());
    }
    Ok(())
}

/// Nothing and an empty section are one.
fn same(old: &Value, new: &Value) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    old == new || (nothing(old) && nothing(new))
}

/// The names whose values differ.
fn changed<'a>(old: &'a Value, new: &'a Value) -> impl Iterator<Item = &'a String> {
    let names = [old, new].into_iter().filter_map(Value::as_object).flat_map(|fields| fields.keys());
    names.filter(|name| old[name.as_str()] != new[name.as_str()])
}

fn annotation(kind: &Kind, _: &str, name: &str, new: &Value) -> bool {
    match kind.kind {
        "Node" => true,
        "PersistentVolumeClaim" => name == SELECTED_NODE && new.is_null(),
        "PersistentVolume" => [EXPORTED_TO, EXPORT_ERROR].contains(&name),
        _ => false,
    }
}

fn label(kind: &Kind, node: &str, name: &str, new: &Value) -> bool {
    kind.kind == "Node" && labels::may_set(node, name, new)
}

fn lets_go(kind: &Kind, finalizer: &Value) -> bool {
    match kind.kind {
        "PersistentVolume" => *finalizer == PROVISIONER_FINALIZER,
        "VolumeAttachment" => true,
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]
mod tests {
    use orlop_objects::{keeper::KEEPER, kind};
    use serde_json::json;

    use super::*;

    /// An object as it is, what is laid over it, and the field that is refused.
    fn check(kind: &'static Kind, over: Value, refused: Option<&str>) {
        let old = json!({"metadata": {"name": "n", "uid": "u", "labels": {"a": "b"},
                "annotations": {KEEPER: "n", SELECTED_NODE: "n", EXPORT_ERROR: "no"},
                "finalizers": [PROVISIONER_FINALIZER, "x.example/held"],
                "ownerReferences": [{"uid": "o"}]}, "spec": {"a": 1}, "status": {"s": 1}});
        let mut new = old.clone();
        json_patch::merge(&mut new, &over);
        assert_eq!(decide(kind, "n", &old, &new).err().as_deref(), refused, "{} {over}", kind.kind);
    }

    fn meta(field: &str, value: Value) -> Value {
        json!({"metadata": {field: value}})
    }

    #[test]
    fn what_others_decide_stays() {
        let bound =
            [&kind::NODE, &kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME, &kind::VOLUME_ATTACHMENT];
        let added = json!([PROVISIONER_FINALIZER, "x.example/held", "x.example/more"]);
        for kind in bound {
            check(kind, json!({}), None);
            check(kind, json!({"status": {"s": 2}}), None);
            check(kind, json!({"spec": {"a": 2}}), Some("spec"));
            check(kind, json!({"spec": null}), Some("spec"));
            let owners = json!([{"uid": "o"}, {"uid": "p"}]);
            check(kind, meta("ownerReferences", owners), Some("metadata.ownerReferences"));
            check(kind, meta("ownerReferences", Value::Null), Some("metadata.ownerReferences"));
            check(kind, meta("finalizers", added.clone()), Some("metadata.finalizers"));
        }
        check(&kind::LEASE, json!({"spec": {"a": 2}, "metadata": {"labels": {"a": "c"}}}), None);
        let (none, empty) = (json!({"metadata": {}}), json!({"metadata": {"labels": {}}, "spec": {}}));
        assert!(decide(&kind::NODE, "n", &none, &empty).is_ok());
        assert!(decide(&kind::NODE, "n", &empty, &none).is_ok());
        assert!(decide(&kind::NODE, "n", &Value::Null, &empty).is_ok());
    }

    #[test]
    fn agents_write_what_they_write() {
        let annotation = |name: &str, value: Value| meta("annotations", json!({name: value}));
        let keeper = Some("metadata.annotations[volume.orlop.dev/keeper]");
        let rows: [(&'static Kind, Value, Option<&str>); 19] = [
            (&kind::NODE, annotation("network.orlop.dev/pod-cidrs", json!("10.1.0.0/24")), None),
            (&kind::NODE, meta("labels", json!({"a": null, "topology.orlop.dev/pool-x": "1f"})), None),
            (
                &kind::NODE,
                meta("labels", json!({"node-restriction.kubernetes.io/zone": "safe"})),
                Some("metadata.labels[node-restriction.kubernetes.io/zone]"),
            ),
            (&kind::NODE, meta("finalizers", json!(["x.example/held"])), Some("metadata.finalizers")),
            (&kind::PERSISTENT_VOLUME_CLAIM, annotation(SELECTED_NODE, Value::Null), None),
            (
                &kind::PERSISTENT_VOLUME_CLAIM,
                annotation(SELECTED_NODE, json!("m")),
                Some("metadata.annotations[volume.kubernetes.io/selected-node]"),
            ),
            (&kind::PERSISTENT_VOLUME_CLAIM, annotation(KEEPER, json!("m")), keeper),
            (&kind::PERSISTENT_VOLUME_CLAIM, meta("labels", json!({"a": "c"})), Some("metadata.labels[a]")),
            (&kind::PERSISTENT_VOLUME_CLAIM, meta("finalizers", json!([])), Some("metadata.finalizers")),
            (&kind::PERSISTENT_VOLUME, annotation(EXPORTED_TO, json!("192.0.2.1")), None),
            (&kind::PERSISTENT_VOLUME, annotation(EXPORT_ERROR, Value::Null), None),
            (&kind::PERSISTENT_VOLUME, annotation(KEEPER, json!("m")), keeper),
            (&kind::PERSISTENT_VOLUME, annotation(KEEPER, Value::Null), keeper),
            (&kind::PERSISTENT_VOLUME, meta("labels", json!({"a": null})), Some("metadata.labels[a]")),
            (&kind::PERSISTENT_VOLUME, meta("finalizers", json!(["x.example/held"])), None),
            (
                &kind::PERSISTENT_VOLUME,
                meta("finalizers", json!([PROVISIONER_FINALIZER])),
                Some("metadata.finalizers"),
            ),
            (&kind::VOLUME_ATTACHMENT, meta("finalizers", json!([])), None),
            (&kind::VOLUME_ATTACHMENT, annotation(KEEPER, json!("m")), keeper),
            (&kind::VOLUME_ATTACHMENT, meta("labels", json!({"b": "c"})), Some("metadata.labels[b]")),
        ];
        for (kind, over, refused) in rows {
            check(kind, over, refused);
        }
    }
}
