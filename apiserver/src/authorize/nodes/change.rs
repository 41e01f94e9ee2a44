//! What a node may not change even of its own: what others decide.
//!
//! | kind | must stay |
//! |---|---|
//! | Node | `spec` (taints, cordon, addresses of its pods) |
//! | PersistentVolumeClaim, VolumeAttachment | `spec` |
//! | PersistentVolume | `spec`, and its keeper |

use orlop_objects::{Kind, keeper::KEEPER};
use serde_json::Value;

/// Whether a node may turn `old` into `new`; else the field that it may not change.
pub(super) fn decide(kind: &Kind, old: &Value, new: &Value) -> Result<(), &'static str> {
    let bound =
        matches!(kind.kind, "Node" | "PersistentVolumeClaim" | "VolumeAttachment" | "PersistentVolume");
    // An empty spec and none are one.
    let differs = |field: &str| {
        let something = |value: &Value| value[field].as_object().is_some_and(|fields| !fields.is_empty());
        old[field] != new[field] && (something(old) || something(new))
    };
    if bound && differs("spec") {
        return Err("spec");
    }
    let keeper = |value: &Value| value["metadata"]["annotations"][KEEPER].clone();
    if kind.kind == "PersistentVolume" && keeper(old) != keeper(new) {
        return Err("metadata.annotations[volume.orlop.dev/keeper]");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_decide_stays() {
        let with = |spec: Value, keeper: Option<&str>, finalizers: Value| json!({"metadata": {"annotations": {KEEPER: keeper}, "finalizers": finalizers}, "spec": spec});
        let old = with(json!({"a": 1}), Some("n"), json!(["f"]));
        let rows = [
            (&kind::PERSISTENT_VOLUME, with(json!({"a": 1}), Some("n"), json!([])), None),
            (&kind::PERSISTENT_VOLUME, with(json!({"a": 2}), Some("n"), json!([])), Some("spec")),
            (
                &kind::PERSISTENT_VOLUME,
                with(json!({"a": 1}), Some("m"), json!([])),
                Some("metadata.annotations"),
            ),
            (&kind::PERSISTENT_VOLUME_CLAIM, with(json!({"a": 1}), Some("m"), json!([])), None),
            (&kind::PERSISTENT_VOLUME_CLAIM, with(json!({}), Some("n"), json!([])), Some("spec")),
            (&kind::VOLUME_ATTACHMENT, with(json!({"a": 2}), Some("n"), json!([])), Some("spec")),
            (&kind::NODE, with(json!({"taints": []}), Some("n"), json!([])), Some("spec")),
            (&kind::LEASE, with(json!({"a": 2}), Some("n"), json!([])), None),
        ];
        for (kind, new, refused) in rows {
            let found = decide(kind, &old, &new).err();
            assert_eq!(
                found.map(|field| field.starts_with(refused.unwrap_or("-"))),
                refused.map(|_| true),
                "{new}"
            );
        }
        let (none, empty) = (json!({"metadata": {}}), json!({"metadata": {}, "spec": {}}));
        assert!(decide(&kind::NODE, &none, &empty).is_ok() && decide(&kind::NODE, &empty, &none).is_ok());
    }
}
