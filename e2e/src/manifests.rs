//! The few objects that most tests need.

use serde_json::{Value, json};

/// A claim on the default class.
pub fn claim(name: &str, size: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}})
}

/// A busybox pod that runs `script`, with `claim` mounted at `/data` where one is named.
pub fn pod(name: &str, script: &str, claim: Option<&str>) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", script]}]}});
    if let Some(claim) = claim {
        pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    }
    pod
}

/// The same pod on one node.
pub fn pod_on(node: &str, name: &str, script: &str, claim: Option<&str>) -> Value {
    let mut pod = pod(name, script, claim);
    pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    pod
}
