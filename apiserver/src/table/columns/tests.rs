//! Rows as kubectl users know them, object by object.

use jiff::Timestamp;
use orlop_objects::{Kind, kind};
use serde_json::{Value, json};

use super::{cells::human, columns, row};

/// The cells of one row, printed the way kubectl separates them.
fn printed(kind: &Kind, object: &Value) -> String {
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().expect("a moment");
    let cells = row(kind, object, now);
    assert_eq!(cells.len(), columns(kind).len(), "as many cells as columns");
    let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), ToOwned::to_owned);
    cells.iter().map(text).collect::<Vec<_>>().join("|")
}

#[test]
fn durations_keep_the_two_units_that_matter() {
    let table = [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_000, "3h3m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_071_999, "729d"),
        (63_072_000, "2y"),
        (64_000_000, "2y10d"),
        (252_288_000, "8y"),
    ];
    for (seconds, text) in table {
        assert_eq!(human(seconds), text, "{seconds} s");
    }
}

#[test]
fn storage_rows() {
    let created = json!("2026-01-01T00:00:00Z");
    let table = [
        (
            &kind::PERSISTENT_VOLUME,
            json!({"metadata": {"name": "pv", "creationTimestamp": created}, "status": {"phase": "Bound"},
                "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"namespace": "default", "name": "c"},
                    "storageClassName": "loop", "volumeMode": "Filesystem"}}),
            "pv|1Gi|RWO,RWX|Delete|Bound|default/c|loop|<unset>||24h|Filesystem",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            json!({"metadata": {"name": "c", "creationTimestamp": created, "deletionTimestamp": created},
                "spec": {"volumeName": "pv", "storageClassName": "loop", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
            "c|Terminating|pv|1Gi|RWO|loop|<unset>|24h|Filesystem",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            json!({"metadata": {"name": "c", "creationTimestamp": created}, "spec": {},
                "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}}}),
            "c|Pending|||||<unset>|24h|<unset>",
        ),
        (
            &kind::STORAGE_CLASS,
            json!({"metadata": {"name": "loop", "creationTimestamp": created,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}),
            "loop (default)|p|Delete|Immediate|false|24h",
        ),
        (
            &kind::VOLUME_ATTACHMENT,
            json!({"metadata": {"name": "csi-1", "creationTimestamp": created}, "status": {"attached": true},
                "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}}),
            "csi-1|a|pv|n|true|24h",
        ),
    ];
    for (kind, object, text) in table {
        assert_eq!(printed(kind, &object), text);
    }
}

#[test]
fn the_status_of_a_pod() {
    let pod = |deleted: bool, status: Value| {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": status});
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        pod
    };
    let one = |state: Value, ready: bool| json!([{"ready": ready, "restartCount": 0, "state": state}]);
    let table = [
        (pod(false, json!({"phase": "Pending"})), "0/1|Pending"),
        (pod(true, json!({"phase": "Running"})), "0/1|Terminating"),
        (pod(true, json!({"phase": "Running", "reason": "NodeLost"})), "0/1|Unknown"),
        (pod(true, json!({"phase": "Succeeded"})), "0/1|Succeeded"),
        (pod(false, json!({"phase": "Failed", "reason": "Evicted"})), "0/1|Evicted"),
        (
            pod(false, json!({"phase": "Running", "containerStatuses": one(json!({"running": {}}), true)})),
            "1/1|Running",
        ),
        (
            pod(
                false,
                json!({"phase": "Running", "containerStatuses": one(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false)}),
            ),
            "0/1|CrashLoopBackOff",
        ),
        (
            pod(
                false,
                json!({"phase": "Succeeded", "containerStatuses": one(json!({"terminated": {"reason": "Completed", "exitCode": 0}}), false)}),
            ),
            "0/1|Completed",
        ),
        (
            pod(
                false,
                json!({"phase": "Failed", "containerStatuses": one(json!({"terminated": {"exitCode": 3}}), false)}),
            ),
            "0/1|ExitCode:3",
        ),
        (
            pod(
                false,
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            ),
            "0/1|SchedulingGated",
        ),
    ];
    for (object, text) in table {
        assert_eq!(printed(&kind::POD, &object), format!("p|{text}|0|<unknown>|<none>|<none>|<none>|<none>"));
    }
}

#[test]
fn a_restart_says_how_long_ago() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": {"phase": "Running",
        "containerStatuses": [{"ready": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T23:55:00Z"}}}]}});
    assert!(printed(&kind::POD, &pod).starts_with("p|1/1|Running|2 (5m ago)|"));
}

#[test]
fn a_pod_that_starts_says_how_far_its_init_containers_are() {
    let pod = |statuses: Value| {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{}], "initContainers": [{}, {}]},
            "status": {"phase": "Pending", "initContainerStatuses": statuses}})
    };
    let new = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
    let running = json!({"state": {"running": {}}, "started": false, "restartCount": 2});
    let done = json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "restartCount": 1});
    let failed = json!({"state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
    let waits = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    let table = [
        (json!([new, new]), "Init:0/2|0"),
        (json!([running, new]), "Init:0/2|2"),
        (json!([done, new]), "Init:1/2|1"),
        (json!([done, running]), "Init:1/2|3"),
        (json!([failed, new]), "Init:Error|0"),
        (json!([waits, new]), "Init:CrashLoopBackOff|0"),
        (json!([done, done]), "Pending|0"),
    ];
    for (statuses, text) in table {
        assert!(
            printed(&kind::POD, &pod(statuses.clone())).starts_with(&format!("p|0/1|{text}|")),
            "{statuses}"
        );
    }
}
