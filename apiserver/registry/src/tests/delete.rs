//! Deletion: the table of the module, row for row, and the rules at the door.

use jiff::Timestamp;
use orlop_objects::{Key, Object, kind};
use serde_json::{Value, json};

use super::{Bench, START, claim, config, pod};
use crate::{
    DeleteOptions, Error, Part,
    delete::{Verdict, decide},
    json::list,
};

/// `remove`, `unchanged`, or when it terminates and with which grace.
fn verdict(object: &Value, kind: &'static orlop_objects::Kind, grace: Option<i64>) -> String {
    let object = Object::from_value(kind, object).expect("has metadata");
    let options = DeleteOptions { grace, ..DeleteOptions::default() };
    let now = Timestamp::from_second(START).expect("in range");
    match decide(&object, &options, &[], now) {
        Verdict::Remove => "remove".to_owned(),
        Verdict::Unchanged => "unchanged".to_owned(),
        Verdict::Terminate(value) => {
            let meta = &value["metadata"];
            let at: Timestamp = meta["deletionTimestamp"].as_str().expect("set").parse().expect("a time");
            format!("{}s grace {}", at.as_second() - START, meta["deletionGracePeriodSeconds"])
        }
    }
}

#[test]
fn the_table() {
    let pod = |meta: Value, node: &str, phase: &str, grace: Value| {
        json!({"kind": "Pod", "metadata": meta, "spec": {"nodeName": node, "terminationGracePeriodSeconds": grace},
            "status": {"phase": phase}})
    };
    let bare = || json!({"name": "a"});
    let held = || json!({"name": "a", "finalizers": ["x.io/y"]});
    let leaving = |left: i64, finalizers: Value| {
        json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:10Z", "deletionGracePeriodSeconds": left,
            "finalizers": finalizers})
    };
    let other = |meta: Value| json!({"kind": "ConfigMap", "metadata": meta});
    let namespace = |finalizers: Value| json!({"kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": finalizers}});
    let (pods, configs, namespaces) = (&kind::POD, &kind::CONFIG_MAP, &kind::NAMESPACE);
    let rows = [
        // pod with a node, running
        (pod(bare(), "n", "Running", json!(7)), pods, None, "7s grace 7"),
        (pod(bare(), "n", "Running", Value::Null), pods, None, "30s grace 30"),
        (pod(bare(), "n", "Running", json!(7)), pods, Some(3), "3s grace 3"),
        (pod(bare(), "n", "Running", json!(7)), pods, Some(-1), "1s grace 1"),
        // grace 0
        (pod(bare(), "n", "Running", json!(7)), pods, Some(0), "remove"),
        (pod(held(), "n", "Running", json!(7)), pods, Some(0), "0s grace 0"),
        // without node, or finished
        (pod(bare(), "", "Pending", json!(7)), pods, Some(5), "remove"),
        (pod(bare(), "n", "Succeeded", json!(7)), pods, None, "remove"),
        (pod(bare(), "n", "Failed", json!(7)), pods, None, "remove"),
        (pod(held(), "n", "Failed", json!(7)), pods, None, "0s grace 0"),
        // terminating with grace left: shorter
        (pod(leaving(10, json!([])), "n", "Running", json!(10)), pods, Some(4), "4s grace 4"),
        (pod(leaving(10, json!([])), "n", "Running", json!(10)), pods, Some(0), "remove"),
        (pod(leaving(10, json!(["x.io/y"])), "n", "Running", json!(10)), pods, Some(0), "0s grace 0"),
        (pod(leaving(10, json!([])), "n", "Succeeded", json!(10)), pods, None, "remove"),
        // same, longer, none
        (pod(leaving(10, json!([])), "n", "Running", json!(10)), pods, Some(10), "unchanged"),
        (pod(leaving(10, json!([])), "n", "Running", json!(10)), pods, Some(60), "unchanged"),
        (pod(leaving(10, json!([])), "n", "Running", json!(2)), pods, None, "unchanged"),
        // terminating, grace 0, finalizers left
        (pod(leaving(0, json!(["x.io/y"])), "n", "Running", json!(2)), pods, Some(0), "unchanged"),
        (other(leaving(0, json!(["x.io/y"]))), configs, None, "unchanged"),
        // any other
        (other(bare()), configs, None, "remove"),
        (other(bare()), configs, Some(30), "remove"),
        (other(held()), configs, None, "0s grace 0"),
        (namespace(json!(["kubernetes"])), namespaces, None, "0s grace 0"),
        (namespace(json!([])), namespaces, None, "remove"),
    ];
    for (object, kind, grace, wanted) in rows {
        assert_eq!(verdict(&object, kind, grace), wanted, "{object} grace {grace:?}");
    }
}

#[tokio::test]
async fn preconditions_must_hold() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let rows = [
        (DeleteOptions { uid: Some("other".into()), ..Default::default() }, "Precondition failed: UID"),
        (DeleteOptions { revision: Some(7), ..Default::default() }, "Precondition failed: ResourceVersion"),
    ];
    for (options, words) in rows {
        let refused = bench.registry.delete(&object.key, &options, &bench.who).await;
        assert!(matches!(refused, Err(Error::Conflict { reason, .. }) if reason.starts_with(words)));
    }
    let meant = DeleteOptions {
        uid: Some(object.meta.uid.clone()),
        revision: Some(object.revision),
        ..Default::default()
    };
    let outcome = bench.registry.delete(&object.key, &meant, &bench.who).await.expect("it is this one");
    assert!(outcome.gone && bench.get(&object.key).is_none());
    let again = bench.registry.delete(&object.key, &meant, &bench.who).await;
    assert!(matches!(again, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn the_last_finalizer_lets_it_go() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::PERSISTENT_VOLUME_CLAIM, "default", claim("data")).await;
    assert_eq!(object.meta.finalizers, ["kubernetes.io/pvc-protection"]);
    let held =
        bench.registry.delete(&object.key, &DeleteOptions::default(), &bench.who).await.expect("asked");
    assert!(!held.gone && held.object.meta.is_terminating());
    let added = bench.try_change(&object.key, Part::Main, |v| {
        v["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection", "x.io/y"]);
    });
    let error = added.await.expect_err("too late").to_string();
    assert!(error.contains("no new finalizers can be added if the object is being deleted"), "{error}");
    let last = bench.change(&object.key, Part::Main, |v| v["metadata"]["finalizers"] = json!([])).await;
    assert!(last.gone && bench.get(&object.key).is_none());
}

#[tokio::test]
async fn a_pod_on_a_node_waits_for_its_agent() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    bench.registry.bind(&object.key, "laptop", &bench.who, false).await.expect("free");
    let asked =
        bench.registry.delete(&object.key, &DeleteOptions::default(), &bench.who).await.expect("asked");
    assert_eq!(asked.object.meta.deletion_timestamp.as_deref(), Some("2026-01-01T00:00:30Z"));
    assert_eq!(asked.object.meta.generation, 3, "created, bound, asked to go");
    let sooner = DeleteOptions { grace: Some(5), ..Default::default() };
    let sooner = bench.registry.delete(&object.key, &sooner, &bench.who).await.expect("asked");
    assert_eq!(
        (sooner.object.meta.deletion_timestamp.as_deref(), sooner.object.meta.generation),
        (Some("2026-01-01T00:00:05Z"), 3)
    );
    // The status goes on being written, and does not end it.
    let status = bench.change(&object.key, Part::Status, |v| v["status"]["phase"] = "Failed".into()).await;
    assert!(!status.gone);
    let agent = DeleteOptions { grace: Some(0), uid: Some(object.meta.uid.clone()), ..Default::default() };
    let gone = bench.registry.delete(&object.key, &agent, &bench.who).await.expect("its agent says so");
    assert!(gone.gone && bench.get(&object.key).is_none());
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_emptied() {
    let bench = Bench::new().await;
    let key = Key::cluster(&kind::NAMESPACE, "team");
    let asked = bench.registry.delete(&key, &DeleteOptions::default(), &bench.who).await.expect("asked");
    assert_eq!(asked.object.value()["status"]["phase"], "Terminating");
    let emptied = bench.change(&key, Part::Whole, |v| v["spec"]["finalizers"] = json!([])).await;
    assert!(emptied.gone && bench.get(&key).is_none());
}

#[tokio::test]
async fn some_namespaces_stay() {
    let bench = Bench::new().await;
    let key = Key::cluster(&kind::NAMESPACE, "default");
    let refused = bench.registry.delete(&key, &DeleteOptions::default(), &bench.who).await;
    assert!(
        matches!(refused, Err(Error::Forbidden { reason, .. }) if reason == "this namespace may not be deleted")
    );
    assert!(!bench.get(&key).expect("there").meta.is_terminating());
}

#[tokio::test]
async fn dependents_are_waited_for_when_asked() {
    let bench = Bench::new().await;
    for (propagation, hold) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let owner = bench.create(&kind::CONFIG_MAP, "default", config("owner")).await;
        let options = DeleteOptions { propagation: Some(propagation.into()), ..Default::default() };
        let mut child = config("child");
        child["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner.meta.uid}]);
        let child = bench.create(&kind::CONFIG_MAP, "default", child).await;
        let held = bench.registry.delete(&owner.key, &options, &bench.who).await.expect("asked").object;
        assert_eq!(list(&held.value(), "/metadata/finalizers"), [json!(hold)]);
        bench.registry.delete(&child.key, &options, &bench.who).await.expect("has no dependents");
        assert_eq!(bench.get(&child.key), None);
        bench.change(&owner.key, Part::Main, |v| v["metadata"]["finalizers"] = json!([])).await;
    }
}

#[tokio::test]
async fn a_dry_run_deletes_nothing() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let options = DeleteOptions { dry_run: true, ..Default::default() };
    assert!(bench.registry.delete(&object.key, &options, &bench.who).await.expect("would go").gone);
    assert_eq!(bench.get(&object.key), Some(object));
}
