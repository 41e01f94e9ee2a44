//! Changes of objects: one line each; no words means that the change passes.

use serde_json::{Value, json};

use super::{good, refused, with};
use crate::{Kind, kind};

#[test]
fn changes_are_refused_or_pass() {
    let bound = with(good(&kind::PERSISTENT_VOLUME_CLAIM), "/status", json!({"phase": "Bound"}));
    let bound = with(bound, "/spec/volumeName", json!("v"));
    let free = good(&kind::PERSISTENT_VOLUME_CLAIM);
    let released = good(&kind::PERSISTENT_VOLUME);
    let pod = with(good(&kind::POD), "/spec/tolerations", json!([{"key": "a", "operator": "Exists"}]));
    let class = good(&kind::STORAGE_CLASS);
    let attachment = good(&kind::VOLUME_ATTACHMENT);
    let csi_node = good(&kind::CSI_NODE);
    let secret = good(&kind::SECRET);
    let set = good(&kind::STATEFUL_SET);
    let locked = with(good(&kind::CONFIG_MAP), "/immutable", json!(true));
    let rows: Vec<(&'static Kind, &Value, &str, Value, &str)> = vec![
        (&kind::PERSISTENT_VOLUME_CLAIM, &free, "/spec/volumeName", json!("v"), ""),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            &bound,
            "/spec/volumeName",
            json!("w"),
            "spec.volumeName: Forbidden: spec is immutable after creation",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            &bound,
            "/spec/volumeName",
            Value::Null,
            "spec.volumeName: Forbidden",
        ),
        (&kind::PERSISTENT_VOLUME_CLAIM, &bound, "/spec/resources/requests/storage", json!("2Gi"), ""),
        (&kind::PERSISTENT_VOLUME_CLAIM, &bound, "/spec/resources/requests/storage", json!("1024Mi"), ""),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            &bound,
            "/spec/resources/requests/storage",
            json!("1Mi"),
            "spec.resources.requests[storage]: Forbidden: field can not be less than previous value",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            &free,
            "/spec/resources/requests/storage",
            json!("2Gi"),
            "spec.resources.requests[storage]: Forbidden: spec is immutable",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            &bound,
            "/spec/accessModes",
            json!(["ReadOnlyMany"]),
            "spec.accessModes: Forbidden: spec is immutable",
        ),
        (&kind::PERSISTENT_VOLUME_CLAIM, &bound, "/metadata/labels", json!({"a": "b"}), ""),
        (
            &kind::PERSISTENT_VOLUME,
            &released,
            "/spec/csi/fsType",
            json!("xfs"),
            "Forbidden: spec.persistentvolumesource is immutable",
        ),
        (&kind::PERSISTENT_VOLUME, &released, "/spec/claimRef", Value::Null, ""),
        (&kind::PERSISTENT_VOLUME, &released, "/spec/claimRef/uid", json!("another"), ""),
        (&kind::PERSISTENT_VOLUME, &released, "/spec/persistentVolumeReclaimPolicy", json!("Retain"), ""),
        (&kind::PERSISTENT_VOLUME, &released, "/spec/capacity/storage", json!("2Gi"), ""),
        (&kind::POD, &pod, "/spec/containers/0/image", json!("other"), ""),
        (
            &kind::POD,
            &pod,
            "/spec/containers/0/image",
            Value::Null,
            "spec.containers[0].image: Required value",
        ),
        (
            &kind::POD,
            &pod,
            "/spec/containers/0/command",
            json!(["sh"]),
            "Forbidden: pod updates may not change fields other than",
        ),
        (&kind::POD, &pod, "/spec/nodeName", json!("laptop"), ""),
        (
            &kind::POD,
            &pod,
            "/spec/tolerations",
            json!([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]),
            "",
        ),
        (
            &kind::POD,
            &pod,
            "/spec/tolerations",
            json!([]),
            "spec.tolerations: Forbidden: existing toleration",
        ),
        (
            &kind::POD,
            &pod,
            "/spec/activeDeadlineSeconds",
            json!(5),
            "spec.activeDeadlineSeconds: Forbidden: deadlines are not built yet",
        ),
        (
            &kind::POD,
            &pod,
            "/spec/terminationGracePeriodSeconds",
            json!(5),
            "spec.terminationGracePeriodSeconds: Forbidden",
        ),
        (
            &kind::STORAGE_CLASS,
            &class,
            "/provisioner",
            json!("a.b"),
            "provisioner: Forbidden: updates to it are forbidden",
        ),
        (
            &kind::STORAGE_CLASS,
            &class,
            "/parameters/overcommit",
            json!("2"),
            "Forbidden: updates to it are forbidden",
        ),
        (&kind::STORAGE_CLASS, &class, "/reclaimPolicy", json!("Retain"), "reclaimPolicy: Forbidden"),
        (
            &kind::STORAGE_CLASS,
            &class,
            "/volumeBindingMode",
            json!("WaitForFirstConsumer"),
            "volumeBindingMode: Forbidden",
        ),
        (&kind::STORAGE_CLASS, &class, "/allowVolumeExpansion", json!(true), ""),
        (
            &kind::VOLUME_ATTACHMENT,
            &attachment,
            "/spec/nodeName",
            json!("b"),
            "spec.nodeName: Invalid value: \"b\": field is immutable",
        ),
        (
            &kind::CSI_NODE,
            &csi_node,
            "/spec/drivers/0/nodeID",
            json!("b"),
            "spec.drivers[0]: Invalid value: field is immutable",
        ),
        (&kind::CSI_NODE, &csi_node, "/spec/drivers", json!([]), ""),
        (&kind::SECRET, &secret, "/type", json!("a/b"), "type: Invalid value: \"a/b\": field is immutable"),
        (
            &kind::CONFIG_MAP,
            &locked,
            "/data/a.conf",
            json!("y"),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (&kind::CONFIG_MAP, &locked, "/immutable", json!(false), "immutable: Forbidden"),
        (
            &kind::STATEFUL_SET,
            &set,
            "/spec/serviceName",
            json!("x"),
            "Forbidden: updates to statefulset spec",
        ),
        (&kind::STATEFUL_SET, &set, "/spec/replicas", json!(3), ""),
    ];
    for (kind, old, pointer, value, wanted) in rows {
        let new = with(old.clone(), pointer, value.clone());
        let found = refused(Some(old), &new, kind);
        let expected =
            if wanted.is_empty() { found.is_empty() } else { found.iter().any(|f| f.contains(wanted)) };
        assert!(expected, "{} {pointer} = {value}: {found:?}", kind.kind);
    }
}
