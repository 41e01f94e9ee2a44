//! Events: names, repeats, expiry.

use std::sync::Arc;

use orlop_objects::{Object, kind};
use serde_json::json;

use super::{Bench, pod};
use crate::Note;

const NOTE: Note<'static> =
    Note { warning: true, reason: "FailedMount", message: "no such volume", source: "orlop:attacher" };

fn events(bench: &Bench) -> Vec<Arc<Object>> {
    bench.registry.snapshot().list(&kind::EVENT, None, None).cloned().collect()
}

#[tokio::test]
async fn an_event_says_what_about_whom() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    bench.registry.event(&object, NOTE).await;
    let found = events(&bench);
    assert_eq!(found.len(), 1);
    let event = found[0].value();
    assert!(found[0].key.name.starts_with("web."));
    assert_eq!(
        event["involvedObject"],
        json!({"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web",
        "uid": object.meta.uid, "resourceVersion": object.revision.to_string()})
    );
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("FailedMount")));
    assert_eq!((&event["count"], &event["message"]), (&json!(1), &json!("no such volume")));
    assert_eq!(event["source"]["component"], "orlop:attacher");
}

#[tokio::test]
async fn repeats_count_up_at_most_every_ten_seconds() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    // seconds passed since the last one said, count
    for (seconds, count) in [(0, 1), (0, 1), (9, 1), (1, 2), (9, 2), (5, 3)] {
        bench.pass(seconds);
        bench.registry.event(&object, NOTE).await;
        let found = events(&bench);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value()["count"], count);
    }
    bench.registry.event(&object, Note { message: "another", ..NOTE }).await;
    assert_eq!(events(&bench).len(), 2);
}

#[tokio::test]
async fn a_repeat_with_other_numbers_is_a_repeat() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    for message in ["54.17 GiB are left", "54.16 GiB are left"] {
        bench.registry.event(&object, Note { message, ..NOTE }).await;
        bench.pass(20);
    }
    let found = events(&bench);
    assert_eq!(found.len(), 1);
    let event = found[0].value();
    assert_eq!((&event["count"], &event["message"]), (&json!(2), &json!("54.16 GiB are left")));
}

#[tokio::test]
async fn events_about_the_cluster_live_in_default() {
    let bench = Bench::new().await;
    let node = bench.create(&kind::NODE, "", json!({"metadata": {"name": "laptop"}})).await;
    bench.registry.event(&node, NOTE).await;
    assert_eq!(events(&bench)[0].key.namespace, "default");
}

#[tokio::test]
async fn a_long_message_is_shortened() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    let message = "ä".repeat(1000);
    bench.registry.event(&object, Note { message: &message, ..NOTE }).await;
    let event = events(&bench)[0].value();
    let said = event["message"].as_str().expect("text");
    assert!(said.len() <= 1024 && said.ends_with("..."));
}

#[tokio::test]
async fn an_hour_after_the_last_repeat_it_is_gone() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    bench.registry.event(&object, NOTE).await;
    bench.registry.event(&object, Note { reason: "Other", ..NOTE }).await;
    bench.pass(3000);
    bench.registry.event(&object, NOTE).await;
    assert_eq!(bench.registry.sweep_events().await, 0);
    bench.pass(700);
    assert_eq!(bench.registry.sweep_events().await, 1);
    assert_eq!(events(&bench)[0].value()["reason"], "FailedMount");
    bench.pass(3000);
    assert_eq!(bench.registry.sweep_events().await, 1);
    assert!(events(&bench).is_empty());
}
