//! New objects: what they get, what they may not bring.

use orlop_objects::{Key, kind};
use serde_json::{Value, json};

use super::{Bench, config, pod};
use crate::{Error, json::text};

#[tokio::test]
async fn the_server_gives_identity_and_status() {
    let bench = Bench::new().await;
    let mut body = pod("web");
    body["metadata"]["uid"] = "mine".into();
    body["metadata"]["creationTimestamp"] = Value::Null;
    body["metadata"]["generation"] = 7.into();
    body["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
    body["status"] = json!({"phase": "Running"});
    let object = bench.create(&kind::POD, "default", body).await;
    let value = object.versioned();
    assert_eq!(object.meta.uid.len(), 36);
    assert_eq!(object.meta.creation_timestamp, "2026-01-01T00:00:00Z");
    assert_eq!(object.meta.generation, 1);
    assert_eq!(object.meta.deletion_timestamp, None);
    assert_eq!(value["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(value["metadata"]["namespace"], "default");
    assert_eq!((&value["apiVersion"], &value["kind"]), (&json!("v1"), &json!("Pod")));
    assert_eq!(value["metadata"]["resourceVersion"], object.revision.to_string());
    assert_eq!(bench.get(&object.key).expect("stored"), object);
}

#[tokio::test]
async fn names_are_generated() {
    let bench = Bench::new().await;
    let long = "x".repeat(80);
    for prefix in ["web-", long.as_str()] {
        let body = json!({"metadata": {"generateName": prefix}});
        let one = bench.create(&kind::CONFIG_MAP, "default", body.clone()).await;
        let two = bench.create(&kind::CONFIG_MAP, "default", body).await;
        assert_ne!(one.key, two.key);
        let kept = &prefix[..prefix.len().min(58)];
        assert!(one.key.name.starts_with(kept) && one.key.name.len() == kept.len() + 5, "{}", one.key);
    }
}

#[tokio::test]
async fn what_may_not_come_is_refused() {
    let bench = Bench::new().await;
    bench.create(&kind::CONFIG_MAP, "default", config("there")).await;
    let rows = [
        (json!([]), "must be a JSON object"),
        (json!({"metadata": {"name": "a", "resourceVersion": "7"}}), "resourceVersion should not be set"),
        (json!({"metadata": {"name": "a", "namespace": "other"}}), "does not match the namespace"),
        (json!({"kind": "Secret", "metadata": {"name": "a"}}), "the kind of the object (Secret)"),
        (json!({"apiVersion": "v2", "metadata": {"name": "a"}}), "the apiVersion of the object (v2)"),
        (json!({"metadata": {}}), "metadata.name: Required value: name or generateName is required"),
        (json!({"metadata": {"name": "A"}}), "metadata.name: Invalid value"),
        (config("there"), "configmaps default/there already exists"),
    ];
    for (body, words) in rows {
        let error = bench.try_create(&kind::CONFIG_MAP, "default", body.clone()).await.expect_err(words);
        assert!(error.to_string().contains(words), "{body}: {error}");
    }
}

#[tokio::test]
async fn objects_live_in_living_namespaces() {
    let bench = Bench::new().await;
    let error = bench.try_create(&kind::CONFIG_MAP, "gone", config("a")).await;
    let missing = Key::cluster(&kind::NAMESPACE, "gone");
    assert!(matches!(error, Err(Error::NotFound(key)) if key == missing));
    let namespace = Key::cluster(&kind::NAMESPACE, "team");
    bench
        .registry
        .delete(&namespace, &crate::DeleteOptions::default(), &bench.who)
        .await
        .expect("terminates");
    let error = bench.try_create(&kind::CONFIG_MAP, "team", config("a")).await.expect_err("terminating");
    assert!(
        matches!(&error, Error::Forbidden { reason, .. } if reason.contains("is being terminated")),
        "{error}"
    );
}

#[tokio::test]
async fn first_states_by_kind() {
    let bench = Bench::new().await;
    let namespace = bench.get(&Key::cluster(&kind::NAMESPACE, "default")).expect("made by the bench").value();
    assert_eq!(namespace["status"]["phase"], "Active");
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    let node = json!({"metadata": {"name": "laptop"}, "status": {"conditions": []}});
    let node = bench.create(&kind::NODE, "", node).await.value();
    assert_eq!(node["status"]["conditions"], json!([]), "agents create nodes with their status");
    let attachment = json!({"metadata": {"name": "a"}, "spec": {"attacher": "loop.orlop.dev", "nodeName": "laptop",
        "source": {"persistentVolumeName": "v"}}, "status": {"attached": true}});
    let attachment = bench.create(&kind::VOLUME_ATTACHMENT, "", attachment).await.value();
    assert_eq!(attachment["status"], json!({"attached": false}));
    let config = bench.create(&kind::CONFIG_MAP, "default", config("a")).await.value();
    assert_eq!(config.get("status"), None);
    assert_eq!(config["metadata"].get("generation"), None);
}

#[tokio::test]
async fn quality_of_service_by_resources() {
    let bench = Bench::new().await;
    let rows = [
        ("a", json!({}), "BestEffort"),
        ("b", json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
        ("c", json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable"),
        ("d", json!({"requests": {"cpu": "1"}}), "Burstable"),
        ("e", json!({"limits": {"cpu": "1"}}), "Burstable"),
    ];
    for (name, resources, class) in rows {
        let mut body = pod(name);
        body["spec"]["containers"][0]["resources"] = resources;
        let pod = bench.create(&kind::POD, "default", body).await.value();
        assert_eq!(text(&pod, "/status/qosClass"), class, "{name}");
    }
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let bench = Bench::new().await;
    let outcome =
        bench.registry.create(&kind::POD, "default", pod("web"), &bench.who, true).await.expect("good");
    assert_eq!(outcome.object.key.name, "web");
    assert_eq!(outcome.object.revision, 0);
    assert_eq!(bench.get(&outcome.object.key), None);
    let bad =
        bench.registry.create(&kind::POD, "default", json!({"metadata": {"name": "a"}}), &bench.who, true);
    assert!(matches!(bad.await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn comfort_that_is_not_built_is_warned_of() {
    let bench = Bench::new().await;
    let mut body = pod("web");
    body["spec"]["containers"][0]["livenessProbe"] = json!({"exec": {"command": ["true"]}});
    let outcome = bench.try_create(&kind::POD, "default", body).await.expect("stored");
    assert_eq!(outcome.warnings.len(), 1);
    assert!(outcome.warnings[0].starts_with("spec.containers[0].livenessProbe: "));
    let again =
        bench.change(&outcome.object.key, crate::Part::Main, |v| v["metadata"]["labels"] = json!({"a": "b"}));
    assert_eq!(again.await.warnings, Vec::<String>::new());
}
