//! Watching collections.

mod support;

use serde_json::{Value, json};
use support::{Harness, Lines};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn watch(h: &Harness, query: &str, headers: &[&str]) -> Lines {
    Lines::new(h.open(&format!("GET {CONFIG_MAPS}?watch=true&{query}"), headers, "").await)
}

async fn label(h: &Harness, name: &str, value: Value) {
    let merge = ["content-type: application/merge-patch+json"];
    let patch = json!({"metadata": {"labels": {"l": value}}}).to_string();
    assert_eq!(h.ask(&format!("PATCH {CONFIG_MAPS}/{name}"), &merge, patch).await.code, 200);
}

#[tokio::test]
async fn without_a_version_it_begins_with_what_there_is() {
    let h = Harness::new().await;
    h.config_map("a", &json!({})).await;
    for query in ["", "resourceVersion=0"] {
        let mut watch = watch(&h, query, &[]).await;
        assert_eq!(watch.event().await, "ADDED a", "{query}");
        h.config_map("b", &json!({})).await;
        assert_eq!(watch.event().await, "ADDED b", "{query}");
        h.ask(&format!("DELETE {CONFIG_MAPS}/b"), &[], "").await;
        assert_eq!(watch.event().await, "DELETED b", "{query}");
    }
}

#[tokio::test]
async fn with_a_version_it_goes_on_from_there() {
    let h = Harness::new().await;
    let made = h.config_map("a", &json!({})).await;
    label(&h, "a", json!("1")).await;
    let version = made["metadata"]["resourceVersion"].as_str().expect("has a version");
    let mut watch = watch(&h, &format!("resourceVersion={version}"), &[]).await;
    let event = watch.next().await.expect("goes on");
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["labels"]["l"]),
        (&json!("MODIFIED"), &json!("1"))
    );
}

#[tokio::test]
async fn what_enters_and_leaves_a_selector_is_added_and_deleted() {
    let h = Harness::new().await;
    let mut watch = watch(&h, "labelSelector=l%3D1", &[]).await;
    h.config_map("a", &json!({})).await;
    label(&h, "a", json!("1")).await;
    assert_eq!(watch.event().await, "ADDED a");
    label(&h, "a", json!("2")).await;
    let left = watch.next().await.expect("goes on");
    let now = h.get(&format!("{CONFIG_MAPS}/a")).await.json();
    assert_eq!((&left["type"], &left["object"]["metadata"]["labels"]["l"]), (&json!("DELETED"), &json!("1")));
    assert_eq!(left["object"]["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"]);
    h.config_map("b", &json!({"l": "1"})).await;
    assert_eq!(watch.event().await, "ADDED b", "nothing is told of what does not match");
}

#[tokio::test]
async fn one_object_can_be_watched_by_its_name() {
    let h = Harness::new().await;
    let mut by_field = watch(&h, "fieldSelector=metadata.name%3Db", &[]).await;
    let mut by_path = Lines::new(h.open(&format!("GET {CONFIG_MAPS}/b?watch=True"), &[], "").await);
    h.config_map("a", &json!({})).await;
    h.config_map("b", &json!({})).await;
    assert_eq!(by_field.event().await, "ADDED b");
    assert_eq!(by_path.event().await, "ADDED b");
}

#[tokio::test]
async fn it_ends_in_time_with_a_bookmark() {
    let h = Harness::new().await;
    let made = h.config_map("a", &json!({})).await;
    let version = made["metadata"]["resourceVersion"].as_str().expect("has a version");
    let mut told =
        watch(&h, &format!("timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={version}"), &[]).await;
    let event = told.next().await.expect("is told");
    assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(event["object"]["metadata"]["resourceVersion"], version);
    assert_eq!(told.event().await, "END");
    let mut untold = watch(&h, &format!("timeoutSeconds=1&resourceVersion={version}"), &[]).await;
    assert_eq!(untold.event().await, "END");
}

/// On a stopped clock that jumps to the next timer: nothing happens, and the watch still says where it is.
#[tokio::test(start_paused = true)]
async fn bookmarks_come_at_least_every_minute() {
    let h = Harness::new().await;
    let made = h.config_map("a", &json!({})).await;
    let mut watch = watch(&h, "allowWatchBookmarks=true", &[]).await;
    assert_eq!(watch.event().await, "ADDED a");
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        let event = watch.next().await.expect("goes on");
        assert_eq!(event["type"], "BOOKMARK");
        assert_eq!(event["object"]["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
        assert!(before.elapsed() <= std::time::Duration::from_secs(60), "{:?}", before.elapsed());
    }
}

#[tokio::test]
async fn a_version_that_is_not_kept_is_an_error_event() {
    let h = Harness::new().await;
    let mut watch = watch(&h, "resourceVersion=1", &[]).await;
    let event = watch.next().await.expect("is told");
    assert_eq!(
        (&event["type"], &event["object"]["code"], &event["object"]["reason"]),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(watch.event().await, "END");
}

#[tokio::test]
async fn initial_events_are_refused_so_that_clients_list() {
    let h = Harness::new().await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let answer = h.get(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!((answer.code, &answer.json()["reason"]), (422, &json!("Invalid")));
}

#[tokio::test]
async fn a_table_tells_its_columns_once() {
    let h = Harness::new().await;
    let table = ["accept: application/json;as=Table;v=v1;g=meta.k8s.io"];
    let mut watch = watch(&h, "", &table).await;
    h.config_map("a", &json!({})).await;
    let first = watch.next().await.expect("is told");
    assert_eq!(
        (&first["object"]["kind"], &first["object"]["rows"][0]["cells"][0]),
        (&json!("Table"), &json!("a"))
    );
    assert!(first["object"]["columnDefinitions"].as_array().is_some_and(|c| !c.is_empty()));
    h.config_map("b", &json!({})).await;
    let second = watch.next().await.expect("is told");
    assert_eq!(second["object"]["columnDefinitions"], json!([]));
    assert_eq!(second["object"]["rows"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn shutdown_ends_watches() {
    let h = Harness::new().await;
    let mut watch = watch(&h, "allowWatchBookmarks=true", &[]).await;
    h.config_map("a", &json!({})).await;
    assert_eq!(watch.event().await, "ADDED a");
    h.server.shutdown().await;
    assert_eq!(watch.event().await, "BOOKMARK -");
    assert_eq!(watch.event().await, "END");
}
