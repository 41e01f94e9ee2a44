//! Defaults, row for row, and the rules about change.

use serde_json::{Value, json};

use super::{Rule, apply_defaults, immutable_changes, immutable_fields};
use crate::{Kind, kind};

fn filled(kind: &'static Kind, mut value: Value) -> Value {
    apply_defaults(kind, &mut value);
    let once = value.clone();
    apply_defaults(kind, &mut value);
    assert_eq!(once, value, "defaults are filled in once");
    value
}

/// Every name in `expected` stands so in `found`; other names may be there.
fn assert_has(found: &Value, expected: &Value, place: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (name, value) in expected {
                assert_has(found.get(name).unwrap_or(&Value::Null), value, &format!("{place}.{name}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_has(found, expected, &format!("{place}[{n}]"));
            }
        }
        _ => assert_eq!(found, expected, "at {place}"),
    }
}

#[test]
fn defaults_are_those_of_kubernetes() {
    let rows: &[(&'static Kind, Value, Value)] = &[
        (
            &kind::POD,
            json!({"spec": {"containers": [{"name": "c", "image": "busybox",
                "livenessProbe": {"httpGet": {"port": 80}}, "ports": [{"containerPort": 80}]}]}}),
            json!({"spec": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "schedulerName": "default-scheduler", "securityContext": {}, "enableServiceLinks": true,
                "containers": [{"imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File", "resources": {}, "ports": [{"protocol": "TCP", "hostPort": null}],
                    "livenessProbe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
                        "failureThreshold": 3, "httpGet": {"path": "/", "scheme": "HTTP"}}}]}}),
        ),
        (
            &kind::POD,
            json!({"spec": {"hostNetwork": true, "containers": [{"name": "c", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}}]}}),
            json!({"spec": {"containers": [{"imagePullPolicy": null, "ports": [{"hostPort": 80}],
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}]}}),
        ),
        (
            &kind::POD,
            json!({"spec": {"containers": [], "volumes": [{"name": "a"}, {"name": "b", "hostPath": {"path": "/b"}},
                {"name": "c", "secret": {"secretName": "s"}}]}}),
            json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}, {"hostPath": {"type": ""}, "emptyDir": null},
                {"secret": {"defaultMode": 420}}]}}),
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            json!({"spec": {}}),
            json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        ),
        (
            &kind::PERSISTENT_VOLUME,
            json!({"spec": {}}),
            json!({"spec": {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"},
                "status": {"phase": "Pending"}}),
        ),
        (
            &kind::STORAGE_CLASS,
            json!({}),
            json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        ),
        (
            &kind::CSI_DRIVER,
            json!({"spec": {}}),
            json!({"spec": {"attachRequired": true, "podInfoOnMount": false, "storageCapacity": false,
                "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"]}}),
        ),
        (
            &kind::SECRET,
            json!({"data": {"a": "eA=="}, "stringData": {"b": "y"}}),
            json!({"type": "Opaque", "data": {"a": "eA==", "b": "eQ=="}, "stringData": null}),
        ),
        (
            &kind::SERVICE,
            json!({"spec": {"ports": [{"port": 80}]}}),
            json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "externalTrafficPolicy": null, "ports": [{"protocol": "TCP", "targetPort": 80}]}}),
        ),
        (
            &kind::NAMESPACE,
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "a"}}, "status": {"phase": "Active"}}),
        ),
        (
            &kind::DEPLOYMENT,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x:1"}]}}}}),
            json!({"spec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "template": {"spec": {"restartPolicy": "Always", "enableServiceLinks": null,
                    "containers": [{"imagePullPolicy": "IfNotPresent"}]}}}}),
        ),
        (
            &kind::DEPLOYMENT,
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        ),
        (
            &kind::STATEFUL_SET,
            json!({"spec": {"volumeClaimTemplates": [{"spec": {}}]}}),
            json!({"spec": {"podManagementPolicy": "OrderedReady", "volumeClaimTemplates": [{"spec":
                {"volumeMode": "Filesystem"}}], "updateStrategy": {"rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"}}}),
        ),
        (
            &kind::NODE,
            json!({"status": {"capacity": {"cpu": "4"}}}),
            json!({"status": {"allocatable": {"cpu": "4"}}}),
        ),
    ];
    for (kind, given, expected) in rows {
        assert_has(&filled(kind, given.clone()), expected, kind.kind);
    }
}

#[test]
fn the_pull_policy_follows_the_tag() {
    let rows = [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("registry:5000/a/b", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("registry:5000/a/b:1", "IfNotPresent"),
        ("busybox@sha256:00", "IfNotPresent"),
    ];
    for (image, policy) in rows {
        let pod = filled(&kind::POD, json!({"spec": {"containers": [{"name": "c", "image": image}]}}));
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn changes_of_fixed_fields_are_found_and_exceptions_pass() {
    let pod = |image: &str, command: &str, grace: i64| {
        json!({"spec": {"terminationGracePeriodSeconds": grace, "containers":
            [{"name": "c", "image": image, "command": [command]}]}})
    };
    let claim = |class: Value, name: Value, size: &str| json!({"spec": {"storageClassName": class, "volumeName": name, "resources": {"requests": {"storage": size}}}});
    let attachment =
        |node: &str, attached: bool| json!({"spec": {"nodeName": node}, "status": {"attached": attached}});
    let rows: &[(&'static Kind, Value, Value, &[&str])] = &[
        (&kind::POD, pod("a", "x", 1), pod("b", "x", 2), &[]),
        (&kind::POD, pod("a", "x", 1), pod("a", "y", 1), &["spec.containers[0].command"]),
        (&kind::POD, json!({"spec": {}}), json!({"spec": {"nodeName": "n"}}), &[]),
        (
            &kind::POD,
            json!({"spec": {"nodeName": "m"}}),
            json!({"spec": {"nodeName": "n"}}),
            &["spec.nodeName"],
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            claim(json!("a"), Value::Null, "1Gi"),
            claim(json!("a"), json!("pv"), "2Gi"),
            &[],
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            claim(json!("a"), json!("pv"), "1Gi"),
            claim(json!("b"), json!("other"), "1Gi"),
            &["spec.storageClassName", "spec.volumeName"],
        ),
        (&kind::VOLUME_ATTACHMENT, attachment("a", false), attachment("a", true), &[]),
        (&kind::VOLUME_ATTACHMENT, attachment("a", false), attachment("b", false), &["spec.nodeName"]),
        (&kind::STORAGE_CLASS, json!({"parameters": {"a": "1"}}), json!({}), &["parameters"]),
        (&kind::STORAGE_CLASS, json!({"mountOptions": ["a"]}), json!({}), &[]),
        (
            &kind::POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            &["spec.containers"],
        ),
    ];
    for (kind, old, new, expected) in rows {
        let fields: Vec<String> = immutable_changes(kind, old, new).into_iter().map(|e| e.field).collect();
        assert_eq!(fields, *expected, "{} {old} -> {new}", kind.kind);
    }
    assert!(immutable_fields(&kind::POD).iter().any(|i| i.path == "spec" && i.rule == Rule::Fixed));
}
