//! Workloads that are refused, that pass, and what is said about those that are taken and not wholly honoured.

use serde_json::{Value, json};

use super::{good, refused, with};
use crate::{Kind, kind, validate::warnings};

/// What is changed of the good object: where, to what.
type Change = (&'static str, Value);

#[test]
fn workloads_are_refused_or_pass() {
    let rolling = "/spec/strategy/rollingUpdate";
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let sizeless = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    let container = "/spec/template/spec/containers/0";
    let (set, deployment) = (&kind::STATEFUL_SET, &kind::DEPLOYMENT);
    let rows: Vec<(&'static Kind, Vec<Change>, &str)> = vec![
        (
            deployment,
            vec![("/spec/template/spec/restartPolicy", json!("Never"))],
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            deployment,
            vec![
                ("/spec/template/spec/initContainers", Value::Null),
                ("/spec/template/spec/hostPID", json!(true)),
            ],
            "spec.template.spec.hostPID: Forbidden: sharing the node's processes",
        ),
        (
            deployment,
            vec![("/spec/template/spec/containers/0/volumeMounts", mounts.clone())],
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
        (deployment, vec![("/spec/selector", json!({"matchLabels": {}}))], "empty selector is invalid"),
        (
            deployment,
            vec![(rolling, json!({"maxSurge": 0, "maxUnavailable": "0%"}))],
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
        ),
        (deployment, vec![(rolling, json!({"maxSurge": "150%", "maxUnavailable": 0}))], ""),
        (
            deployment,
            vec![(rolling, json!({"maxSurge": 1, "maxUnavailable": "101%"}))],
            "must not be greater than 100%",
        ),
        (
            deployment,
            vec![(rolling, json!({"maxSurge": "a quarter", "maxUnavailable": 1}))],
            "maxSurge: Invalid value: \"a quarter\": a valid percent string",
        ),
        (
            deployment,
            vec![(rolling, json!({"maxSurge": -1, "maxUnavailable": 1}))],
            "maxSurge: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            deployment,
            vec![("/spec/strategy", json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}))],
            "may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            deployment,
            vec![("/spec/progressDeadlineSeconds", json!(5)), ("/spec/minReadySeconds", json!(5))],
            "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
        ),
        (
            set,
            vec![("/metadata/name", json!("a.b"))],
            "metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label",
        ),
        (set, vec![("/metadata/name", json!("x".repeat(53)))], "must be no more than 52 characters"),
        (set, vec![("/spec/serviceName", json!("a_b"))], "spec.serviceName: Invalid value"),
        (set, vec![("/spec/ordinals", json!({"start": -1}))], "spec.ordinals.start: Invalid value: -1"),
        (
            set,
            vec![("/spec/updateStrategy/rollingUpdate/partition", json!(-1))],
            "partition: Invalid value: -1",
        ),
        (
            set,
            vec![("/spec/updateStrategy/rollingUpdate/maxUnavailable", json!(0))],
            "maxUnavailable: Invalid value: 0: cannot be 0",
        ),
        (
            set,
            vec![("/spec/updateStrategy", json!({"type": "OnDelete", "rollingUpdate": {"partition": 0}}))],
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        (
            set,
            vec![("/spec/podManagementPolicy", json!("Sometimes"))],
            "spec.podManagementPolicy: Unsupported value: \"Sometimes\"",
        ),
        (
            set,
            vec![
                ("/spec/volumeClaimTemplates", json!([claim])),
                ("/spec/template/spec/containers/0/volumeMounts", mounts.clone()),
            ],
            "",
        ),
        (
            set,
            vec![("/spec/volumeClaimTemplates", json!([claim, claim]))],
            "spec.volumeClaimTemplates[1].metadata.name: Duplicate value: \"data\"",
        ),
        (
            set,
            vec![("/spec/volumeClaimTemplates", json!([sizeless]))],
            "spec.volumeClaimTemplates[0].spec.resources.requests[storage]: Required value",
        ),
    ];
    let daemons = vec![
        (
            json!({"maxSurge": 1, "maxUnavailable": 0}),
            "spec.updateStrategy.rollingUpdate.maxSurge: Forbidden: two pods of a set on one node",
        ),
        (
            json!({"maxSurge": 0, "maxUnavailable": "0%"}),
            "maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (json!({"maxSurge": 0, "maxUnavailable": "30%"}), ""),
    ];
    let daemon = |(strategy, wanted)| {
        (&kind::DAEMON_SET, vec![("/spec/updateStrategy/rollingUpdate", strategy)], wanted)
    };
    let rows = rows.into_iter().chain(daemons.into_iter().map(daemon));
    assert!(good(deployment).pointer(container).is_some());
    for (kind, changes, wanted) in rows {
        let apply = |object, (pointer, value): &Change| with(object, pointer, value.clone());
        let object = changes.iter().fold(good(kind), apply);
        let found = refused(None, &object, kind);
        let expected =
            if wanted.is_empty() { found.is_empty() } else { found.iter().any(|f| f.contains(wanted)) };
        assert!(expected, "{} {changes:?}: {found:?}", kind.kind);
    }
}

#[test]
fn a_template_that_was_accepted_is_not_asked_again() {
    let old = with(good(&kind::DEPLOYMENT), "/spec/template/spec/hostPID", json!(true));
    let scaled = with(old.clone(), "/spec/replicas", json!(5));
    assert_eq!(refused(Some(&old), &scaled, &kind::DEPLOYMENT), Vec::<String>::new());
    let image = with(old.clone(), "/spec/template/spec/containers/0/image", json!("other"));
    assert_eq!(refused(Some(&old), &image, &kind::DEPLOYMENT), Vec::<String>::new());
    let more = with(image, "/spec/template/spec/hostIPC", json!(true));
    assert!(refused(Some(&old), &more, &kind::DEPLOYMENT)[0].contains("hostIPC"));
}

#[test]
fn claims_of_a_set_do_not_change_and_the_way_out_is_named() {
    let old = good(&kind::STATEFUL_SET);
    let new = with(
        old.clone(),
        "/spec/volumeClaimTemplates",
        json!([{"metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]),
    );
    let found = refused(Some(&old), &new, &kind::STATEFUL_SET).join("\n");
    assert!(
        found.contains("updates to statefulset spec for fields other than")
            && found.contains("--cascade=orphan"),
        "{found}"
    );
}

#[test]
fn what_is_not_honoured_is_said() {
    let probed = with(
        good(&kind::DEPLOYMENT),
        "/spec/template/spec/containers/0/readinessProbe",
        json!({"httpGet": {"port": 80}}),
    );
    let found = warnings(None, &probed, &kind::DEPLOYMENT);
    assert!(
        found[0].starts_with("spec.template.spec.containers[0].readinessProbe: probes are not built yet"),
        "{found:?}"
    );
    assert_eq!(warnings(Some(&probed), &probed, &kind::DEPLOYMENT), Vec::<String>::new());
    assert_eq!(warnings(None, &good(&kind::STATEFUL_SET), &kind::STATEFUL_SET), Vec::<String>::new());
}
