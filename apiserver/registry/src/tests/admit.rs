//! What a new object gets from those around it.

use orlop_objects::{Key, kind};
use serde_json::{Value, json};

use super::{Bench, claim, class, pod};
use crate::{Error, Part};

#[tokio::test]
async fn a_claim_gets_the_default_class() {
    let bench = Bench::new().await;
    bench.create(&kind::STORAGE_CLASS, "", class("plain", false)).await;
    let none = bench.create(&kind::PERSISTENT_VOLUME_CLAIM, "default", claim("none")).await;
    assert_eq!(none.value()["spec"].get("storageClassName"), None);
    bench.create(&kind::STORAGE_CLASS, "", class("loop", true)).await;
    // name, what it says, what it gets
    let mut empty = claim("empty");
    empty["spec"]["storageClassName"] = "".into();
    let mut own = claim("own");
    own["spec"]["storageClassName"] = "plain".into();
    let mut old = claim("old");
    old["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "plain"});
    let rows =
        [(claim("absent"), json!("loop")), (empty, json!("")), (own, json!("plain")), (old, Value::Null)];
    for (body, wanted) in rows {
        let outcome = bench.try_create(&kind::PERSISTENT_VOLUME_CLAIM, "default", body).await.expect("good");
        assert_eq!(outcome.object.value()["spec"]["storageClassName"], wanted, "{}", outcome.object.key);
        assert_eq!(outcome.warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn of_two_default_classes_the_newest_is_taken_with_a_warning() {
    let bench = Bench::new().await;
    bench.create(&kind::STORAGE_CLASS, "", class("b-old", true)).await;
    bench.pass(5);
    bench.create(&kind::STORAGE_CLASS, "", class("c-new", true)).await;
    bench.create(&kind::STORAGE_CLASS, "", class("d-new", true)).await;
    let outcome =
        bench.try_create(&kind::PERSISTENT_VOLUME_CLAIM, "default", claim("data")).await.expect("good");
    assert_eq!(outcome.object.value()["spec"]["storageClassName"], "c-new");
    assert!(outcome.warnings[0].contains("3 StorageClasses are marked as default (c-new, d-new, b-old)"));
}

#[tokio::test]
async fn who_marks_a_second_default_is_told() {
    let bench = Bench::new().await;
    let warnings = |outcome: crate::Outcome| outcome.warnings;
    let first = bench.try_create(&kind::STORAGE_CLASS, "", class("a", true)).await.expect("good");
    assert_eq!(warnings(first), Vec::<String>::new());
    let second = bench.try_create(&kind::STORAGE_CLASS, "", class("b", true)).await.expect("good");
    assert!(warnings(second)[0].starts_with("StorageClass \"a\" is marked as default too"));
    let third = bench.try_create(&kind::STORAGE_CLASS, "", class("c", false)).await.expect("good");
    let key = third.object.key.clone();
    assert_eq!(warnings(third), Vec::<String>::new());
    let mark = |value: &'static str| {
        move |v: &mut Value| {
            v["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] = value.into();
        }
    };
    assert_eq!(bench.change(&key, Part::Main, mark("true")).await.warnings.len(), 1);
    let labelled = bench.change(&key, Part::Main, |v| v["metadata"]["labels"] = json!({"a": "b"}));
    assert_eq!(labelled.await.warnings.len(), 0);
    assert_eq!(bench.change(&key, Part::Main, mark("false")).await.warnings.len(), 0);
}

#[tokio::test]
async fn volumes_are_protected() {
    let bench = Bench::new().await;
    let volume = json!({"metadata": {"name": "v", "finalizers": ["x.io/y"]}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}});
    let volume = bench.create(&kind::PERSISTENT_VOLUME, "", volume).await;
    assert_eq!(volume.meta.finalizers, ["x.io/y", "kubernetes.io/pv-protection"]);
    assert_eq!(volume.value()["status"]["phase"], "Pending");
}

#[tokio::test]
async fn pods_act_as_somebody() {
    let bench = Bench::new().await;
    let web = bench.create(&kind::POD, "default", pod("web")).await.value();
    assert_eq!(web["spec"]["serviceAccountName"], "default");
    assert_eq!(web["spec"]["serviceAccount"], "default");
    let mut other = pod("other");
    other["spec"]["serviceAccountName"] = "robot".into();
    let missing = bench.try_create(&kind::POD, "default", other.clone()).await;
    assert!(
        matches!(missing, Err(Error::Forbidden { reason, .. }) if reason.contains("\"robot\" not found"))
    );
    bench.create(&kind::SERVICE_ACCOUNT, "default", json!({"metadata": {"name": "robot"}})).await;
    let other = bench.create(&kind::POD, "default", other).await.value();
    assert_eq!(other["spec"]["serviceAccount"], "robot");
}

#[tokio::test]
async fn a_claim_grows_only_where_its_class_allows() {
    let bench = Bench::new().await;
    let mut grows = class("grows", true);
    grows["allowVolumeExpansion"] = true.into();
    bench.create(&kind::STORAGE_CLASS, "", grows).await;
    bench.create(&kind::STORAGE_CLASS, "", class("stays", false)).await;
    for (class, allowed) in [("grows", true), ("stays", false), ("gone", false)] {
        let mut body = claim(class);
        body["spec"]["storageClassName"] = class.into();
        let key = bench.create(&kind::PERSISTENT_VOLUME_CLAIM, "default", body).await.key.clone();
        bench.change(&key, Part::Status, |v| v["status"]["phase"] = "Bound".into()).await;
        let grown = bench
            .try_change(&key, Part::Main, |v| v["spec"]["resources"]["requests"]["storage"] = "2Gi".into());
        match grown.await {
            Ok(outcome) => assert!(allowed && outcome.warnings[0].contains("keeps 1Gi"), "{class}"),
            Err(Error::Forbidden { reason, .. }) => {
                assert!(!allowed && reason.contains("must support resize"), "{class}: {reason}");
            }
            Err(other) => panic!("{class}: {other}"),
        }
    }
    // Who asks a second time hears what the claim has, not what was asked for the first time.
    let twice = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", "grows");
    bench.change(&twice, Part::Status, |v| v["status"]["capacity"] = json!({"storage": "1Gi"})).await;
    let ask = |v: &mut Value| v["spec"]["resources"]["requests"]["storage"] = "3Gi".into();
    let warnings = bench.try_change(&twice, Part::Main, ask).await.expect("it may grow").warnings;
    assert!(warnings[0].contains("asks for 3Gi and keeps 1Gi"), "{warnings:?}");
    let same = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", "stays");
    bench.change(&same, Part::Main, |v| v["metadata"]["labels"] = json!({"a": "b"})).await;
}

#[tokio::test]
async fn a_pod_stays_a_while_on_a_node_that_is_not_ready() {
    let bench = Bench::new().await;
    let of = |key: &str, seconds: u32| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": seconds})
    };
    let own = json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"});
    let other_effect =
        json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"});
    let rows = [
        ("nothing", json!([]), json!([of("not-ready", 300), of("unreachable", 300)])),
        ("one of both", json!([own]), json!([own, of("unreachable", 300)])),
        (
            "another effect",
            json!([other_effect]),
            json!([other_effect, of("not-ready", 300), of("unreachable", 300)]),
        ),
        ("everything", json!([{"operator": "Exists"}]), json!([{"operator": "Exists"}])),
    ];
    for (n, (row, tolerations, wanted)) in rows.into_iter().enumerate() {
        let mut body = pod(&format!("p{n}"));
        body["spec"]["tolerations"] = tolerations;
        let made = bench.create(&kind::POD, "default", body).await.value();
        assert_eq!(made["spec"]["tolerations"], wanted, "{row}");
    }
    let bench = Bench { registry: bench.registry.with_toleration_seconds(5), ..bench };
    let made = bench.create(&kind::POD, "default", pod("short")).await.value();
    assert_eq!(made["spec"]["tolerations"], json!([of("not-ready", 5), of("unreachable", 5)]));
}
