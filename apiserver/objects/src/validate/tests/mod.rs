//! Kinds against good and bad objects: each row changes one thing of a good object and names the field that is refused.

mod apps;
mod change;
mod new;

use serde_json::{Value, json};

use super::validate;
use crate::{Kind, kind, schema};

const UID: &str = "0b2c1f6e-5d0a-4d7e-9c1b-3a2f4e5d6c7b";

fn good(kind: &'static Kind) -> Value {
    let spec = match kind.kind {
        "Pod" => json!({"containers": [{"name": "main", "image": "busybox", "volumeMounts": [{"name": "data",
            "mountPath": "/data"}]}], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}),
        "PersistentVolumeClaim" => json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "loop",
            "resources": {"requests": {"storage": "1Gi"}}}),
        "PersistentVolume" => json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "csi": {"driver": "loop.orlop.dev", "volumeHandle": format!("pvc-{UID}"), "fsType": "ext4"},
            "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": "default", "name": "data",
            "uid": UID}, "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "loop", "nodeAffinity":
            {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator":
            "In", "values": ["laptop"]}]}]}}}),
        "VolumeAttachment" => json!({"attacher": "loop.orlop.dev", "nodeName": "laptop",
            "source": {"persistentVolumeName": format!("pvc-{UID}")}}),
        "CSIDriver" => json!({"attachRequired": true}),
        "CSINode" => json!({"drivers": [{"name": "loop.orlop.dev", "nodeID": "laptop", "topologyKeys":
            ["kubernetes.io/hostname"]}]}),
        "Node" => json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}),
        "Service" => json!({"ports": [{"port": 443, "protocol": "TCP"}], "selector": {"app": "web"}}),
        "Lease" => json!({"holderIdentity": "laptop", "leaseDurationSeconds": 40,
            "renewTime": "2026-01-01T00:00:00.000000Z"}),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            json!({"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata":
            {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "busybox"}]}}})
        }
        _ => Value::Null,
    };
    let name = match kind.kind {
        "PersistentVolume" => format!("pvc-{UID}"),
        "CSIDriver" => "loop.orlop.dev".to_owned(),
        _ => "web".to_owned(),
    };
    let mut object = match kind.kind {
        "StorageClass" => json!({"provisioner": "loop.orlop.dev", "parameters": {"overcommit": "1.0"}}),
        "ConfigMap" => json!({"data": {"a.conf": "x"}}),
        "Secret" => json!({"data": {"password": "eA=="}, "type": "Opaque"}),
        "Event" => json!({"involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"}, "reason":
            "Scheduled", "message": "assigned", "type": "Normal"}),
        _ => json!({}),
    };
    object["metadata"] = json!({"name": name});
    if kind.namespaced {
        object["metadata"]["namespace"] = "default".into();
    }
    if !spec.is_null() {
        object["spec"] = spec;
    }
    schema::apply_defaults(kind, &mut object);
    object
}

/// Sets `pointer` to `value`, making what is missing; Null takes it away.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
    let mut slot = &mut object;
    for step in parent.split('/').skip(1) {
        let step = step.replace("~1", "/");
        slot = match step.parse::<usize>() {
            Ok(n) => &mut slot[n],
            Err(_) => &mut slot[step],
        };
    }
    let last = last.replace("~1", "/");
    match (last.parse::<usize>(), slot) {
        (Ok(n), slot @ Value::Array(_)) => slot[n] = value,
        (_, Value::Object(fields)) if value.is_null() => {
            fields.remove(&last);
        }
        (_, slot) => slot[last] = value,
    }
    object
}

fn refused(old: Option<&Value>, new: &Value, kind: &'static Kind) -> Vec<String> {
    validate(old, new, kind).iter().map(ToString::to_string).collect()
}

#[test]
fn good_objects_pass() {
    for kind in kind::ALL {
        if kind.kind == "ControllerRevision" {
            continue;
        }
        let object = good(kind);
        assert_eq!(refused(None, &object, kind), Vec::<String>::new(), "{}", kind.kind);
        assert_eq!(refused(Some(&object), &object, kind), Vec::<String>::new(), "{} unchanged", kind.kind);
    }
}

#[test]
fn secrets_stay_out_of_messages() {
    let secret = with(good(&kind::SECRET), "/data/a b", json!("c2VjcmV0"));
    let found = refused(None, &secret, &kind::SECRET);
    assert!(!found.is_empty() && found.iter().all(|f| !f.contains("c2VjcmV0")), "{found:?}");
}
