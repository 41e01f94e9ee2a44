//! Many at once: nobody misses a change, nobody's change is lost.

mod support;

use std::sync::Arc;

use futures::future::join_all;
use orlop_store::{Options, Store};
use serde_json::json;
use support::{Harness, Lines, NoNodes};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A real disk makes commits slow enough for crowds to form. The directory goes with its guard.
async fn on_disk() -> (tempfile::TempDir, Harness) {
    let dir = tempfile::tempdir().expect("has a temporary directory");
    let store = Store::open(dir.path(), Options::default()).expect("opens");
    let harness = Harness::over(store, Arc::new(NoNodes)).await;
    (dir, harness)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_watchers_miss_nothing() {
    const WATCHERS: usize = 100;
    const OBJECTS: usize = 100;
    let (_dir, h) = on_disk().await;
    let path = format!("GET {CONFIG_MAPS}?watch=true");
    let open = (0..WATCHERS).map(|_| h.open(&path, &[], ""));
    let watches: Vec<_> = join_all(open).await.into_iter().map(Lines::new).collect();
    let names: Vec<_> = (0..OBJECTS).map(|n| format!("n{n:03}")).collect();
    let read = watches.into_iter().map(|mut watch| async move {
        let (mut seen, mut last) = (Vec::new(), 0);
        while seen.len() < OBJECTS {
            let object = watch.next().await.expect("goes on")["object"].take();
            let version: u64 = object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .parse()
                .expect("is a number");
            assert!(version > last, "changes come in their order");
            last = version;
            seen.push(object["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
        seen.sort();
        seen
    });
    let read = tokio::spawn(join_all(read.map(tokio::spawn).collect::<Vec<_>>()));
    join_all(names.iter().map(|name| async { h.config_map(name, &json!({})).await })).await;
    for seen in read.await.expect("does not panic") {
        assert_eq!(seen.expect("does not panic"), names);
    }
}

/// A patch without a version never conflicts: it is tried again on what others have made of the object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_one_object_all_go_through() {
    const PATCHES: usize = 40;
    let (_dir, h) = on_disk().await;
    h.config_map("x", &json!({})).await;
    let merge = ["content-type: application/merge-patch+json"];
    let path = format!("PATCH {CONFIG_MAPS}/x");
    let patches = (0..PATCHES).map(|n| {
        let patch = json!({"data": {format!("k{n}"): "v"}}).to_string();
        h.ask(&path, &merge, patch)
    });
    for answer in join_all(patches).await {
        assert_eq!(answer.code, 200, "{answer:?}");
    }
    let data = h.get(&format!("{CONFIG_MAPS}/x")).await.json()["data"].take();
    assert_eq!(data.as_object().map(serde_json::Map::len), Some(PATCHES + 1));
}
