//! Changes: which half, what stays, who wins.

use orlop_objects::{Key, kind};
use serde_json::{Value, json};

use super::{Bench, claim, config, pod};
use crate::{Error, Part};

#[tokio::test]
async fn each_door_changes_its_half() {
    let bench = Bench::new().await;
    // part, is the label taken, the phase, the generation counted?
    let rows = [
        ("main", Part::Main, true, false, true),
        ("status", Part::Status, false, true, false),
        ("whole", Part::Whole, true, true, true),
    ];
    for (name, part, main, status, counted) in rows {
        let object = bench.create(&kind::POD, "default", pod(name)).await;
        let changed = bench
            .change(&object.key, part, |v| {
                v["metadata"]["labels"] = json!({"a": "b"});
                v["spec"]["containers"][0]["image"] = "other:1".into();
                v["status"]["phase"] = "Running".into();
            })
            .await
            .object;
        let value = changed.value();
        assert_eq!(value["metadata"]["labels"] == json!({"a": "b"}), main, "{name}");
        assert_eq!(value["spec"]["containers"][0]["image"] == "other:1", main, "{name}");
        assert_eq!(value["status"]["phase"] == "Running", status, "{name}");
        assert_eq!(changed.meta.generation == 2, counted, "{name}");
    }
}

#[tokio::test]
async fn labels_alone_do_not_count_as_a_generation() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    let changed =
        bench.change(&object.key, Part::Main, |v| v["metadata"]["labels"] = json!({"a": "b"})).await;
    assert_eq!(changed.object.meta.generation, 1);
}

#[tokio::test]
async fn the_servers_fields_stay() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let outcome = bench.change(&object.key, Part::Whole, |v| {
        let meta = v["metadata"].as_object_mut().expect("metadata");
        meta.insert("creationTimestamp".into(), "2020-01-01T00:00:00Z".into());
        meta.insert("deletionTimestamp".into(), "2020-01-01T00:00:00Z".into());
        meta.insert("deletionGracePeriodSeconds".into(), 5.into());
        meta.insert("generation".into(), 9.into());
        meta.insert("selfLink".into(), "/x".into());
        meta.insert("managedFields".into(), json!([]));
        meta.remove("uid");
        meta.remove("name");
        meta.remove("namespace");
    });
    assert_eq!(outcome.await.object, object, "nothing has changed, nothing is written");
}

#[tokio::test]
async fn who_is_late_must_read_again() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let stale = object.revision.to_string();
    bench.change(&object.key, Part::Main, |v| v["data"]["a"] = "2".into()).await;
    let late = bench.try_change(&object.key, Part::Main, |v| {
        v["metadata"]["resourceVersion"] = stale.clone().into();
        v["data"]["a"] = "3".into();
    });
    let words = "the object has been modified; please apply your changes to the latest version and try again";
    assert!(matches!(late.await, Err(Error::Conflict { reason, .. }) if reason == words));
    for version in [Value::Null, json!("0"), json!("")] {
        let blind = bench.change(&object.key, Part::Main, |v| {
            v["metadata"]["resourceVersion"] = version.clone();
            v["data"]["a"] = format!("blind {version}").into();
        });
        assert_eq!(blind.await.object.value()["data"]["a"], format!("blind {version}"));
    }
}

#[tokio::test]
async fn another_object_is_not_meant() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let rows = [
        ("uid", "Precondition failed: UID in precondition: other, UID in object meta"),
        ("name", "the name of the object (other) does not match the name on the URL (a)"),
        ("namespace", "the namespace of the object (other) does not match"),
    ];
    for (field, words) in rows {
        let error =
            bench.try_change(&object.key, Part::Main, |v| v["metadata"][field] = "other".into()).await;
        let error = error.expect_err(field).to_string();
        assert!(error.contains(words), "{error}");
    }
    let gone = Key::new(&kind::CONFIG_MAP, "default", "gone");
    assert!(
        matches!(bench.try_change(&gone, Part::Main, |_| {}).await, Err(Error::NotFound(key)) if key == gone)
    );
}

#[tokio::test]
async fn what_changes_nothing_is_not_written() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    bench.pass(60);
    let same = bench.change(&object.key, Part::Main, |_| {}).await;
    assert_eq!(same.object.revision, object.revision);
    let defaults = bench.change(&object.key, Part::Main, |v| {
        v["spec"].as_object_mut().expect("a spec").remove("restartPolicy");
    });
    assert_eq!(defaults.await.object.revision, object.revision, "an absent default is not a change");
}

#[tokio::test]
async fn what_has_no_status_gets_none() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let status = bench.try_change(&object.key, Part::Status, |v| v["status"] = json!({"a": "b"})).await;
    assert!(matches!(status, Err(Error::BadRequest(reason)) if reason == "configmaps have no status"));
}

#[tokio::test]
async fn values_have_one_form() {
    let bench = Bench::new().await;
    let mut body = claim("data");
    body["spec"]["resources"]["requests"]["storage"] = "1024Mi".into();
    let object = bench.create(&kind::PERSISTENT_VOLUME_CLAIM, "default", body).await;
    let storage = |v: &Value| v["spec"]["resources"]["requests"]["storage"].clone();
    assert_eq!(storage(&object.value()), "1Gi");
    let same = bench.change(&object.key, Part::Main, |v| {
        v["spec"]["resources"]["requests"]["storage"] = "1048576Ki".into();
    });
    assert_eq!(same.await.object.revision, object.revision);
}

#[tokio::test]
async fn a_node_comes_by_binding_alone() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    let direct = bench.try_change(&object.key, Part::Main, |v| v["spec"]["nodeName"] = "laptop".into()).await;
    let error = direct.expect_err("not by the main door").to_string();
    assert!(error.contains("spec.nodeName: Forbidden") && error.contains("binding subresource"), "{error}");
}

#[tokio::test]
async fn a_namespaces_own_finalizers_have_a_door_of_their_own() {
    let bench = Bench::new().await;
    let key = Key::cluster(&kind::NAMESPACE, "default");
    let clear = |v: &mut Value| v["spec"] = json!({});
    let main = bench.change(&key, Part::Main, clear).await.object.value();
    assert_eq!(main["spec"]["finalizers"], json!(["kubernetes"]));
    let whole = bench.change(&key, Part::Whole, clear).await.object.value();
    assert_eq!(whole["spec"].get("finalizers"), None);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let change = |mut v: Value| {
        v["data"]["a"] = "2".into();
        Ok(v)
    };
    let dry = bench.registry.change(&object.key, Part::Main, &bench.who, true, change).await.expect("good");
    assert_eq!(dry.object.value()["data"]["a"], "2");
    assert_eq!(bench.get(&object.key), Some(object));
}

#[tokio::test]
async fn several_objects_or_none() {
    let bench = Bench::new().await;
    let both = |second: &'static str| {
        let who = bench.who.clone();
        let registry = bench.registry.clone();
        async move {
            let written = registry.transact(&who, |door| {
                door.create(&kind::CONFIG_MAP, "default", config("a"))?;
                door.create(&kind::SECRET, "default", json!({"metadata": {"name": second}}))?;
                Ok(())
            });
            written.await
        }
    };
    assert!(matches!(both("BAD").await, Err(Error::Invalid { .. })));
    let first = Key::new(&kind::CONFIG_MAP, "default", "a");
    assert_eq!(bench.get(&first), None);
    both("good").await.expect("both pass");
    let second = bench.get(&Key::new(&kind::SECRET, "default", "good")).expect("written");
    assert_eq!(bench.get(&first).expect("written").revision, second.revision);
}
