//! A pod gets its node once.

use orlop_objects::kind;
use serde_json::json;

use super::{Bench, pod};
use crate::Error;

#[tokio::test]
async fn a_pod_is_bound_once() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    let nowhere = bench.registry.bind(&object.key, "", &bench.who, false).await;
    assert!(matches!(nowhere, Err(Error::BadRequest(_))));
    let bound =
        bench.registry.bind(&object.key, "laptop", &bench.who, false).await.expect("it is free").object;
    let value = bound.value();
    assert_eq!(value["spec"]["nodeName"], "laptop");
    let condition =
        json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let found = &value["status"]["conditions"][0];
    assert!(condition.as_object().expect("a map").iter().all(|(k, v)| found[k] == *v), "{found}");
    let again = bench.registry.bind(&object.key, "other", &bench.who, false).await;
    assert!(
        matches!(again, Err(Error::Conflict { reason, .. }) if reason.contains("already assigned to node \"laptop\""))
    );
}

#[tokio::test]
async fn who_leaves_gets_no_node() {
    let bench = Bench::new().await;
    let mut body = pod("web");
    body["metadata"]["finalizers"] = json!(["x.io/y"]);
    let object = bench.create(&kind::POD, "default", body).await;
    bench.registry.delete(&object.key, &crate::DeleteOptions::default(), &bench.who).await.expect("asked");
    let late = bench.registry.bind(&object.key, "laptop", &bench.who, false).await;
    assert!(matches!(late, Err(Error::Conflict { reason, .. }) if reason.contains("is being deleted")));
}
