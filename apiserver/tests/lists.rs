//! Reading collections: pages, versions, selectors, forms.

mod support;

use serde_json::{Value, json};
use support::Harness;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn five() -> Harness {
    let h = Harness::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        h.config_map(name, &json!({"parity": if "ace".contains(name) { "odd" } else { "even" }})).await;
    }
    h
}

fn names(list: &Value) -> String {
    let items = list["items"].as_array().unwrap_or_else(|| panic!("not a list: {list}"));
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or("?")).collect()
}

#[tokio::test]
async fn pages_show_one_revision() {
    let h = five().await;
    let first = h.get(&format!("{CONFIG_MAPS}?limit=2")).await.json();
    assert_eq!((names(&first).as_str(), &first["metadata"]["remainingItemCount"]), ("ab", &json!(3)));
    assert_eq!((&first["kind"], &first["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    h.ask(&format!("DELETE {CONFIG_MAPS}/c"), &[], "").await;
    h.config_map("bb", &json!({})).await;
    let token = first["metadata"]["continue"].as_str().expect("goes on");
    let second = h.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!(names(&second), "cd");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().expect("goes on");
    let last = h.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!((names(&last).as_str(), last["metadata"].get("continue")), ("e", None));
}

#[tokio::test]
async fn a_list_goes_on_however_much_is_written_meanwhile() {
    let h = five().await;
    let first = h.get(&format!("{CONFIG_MAPS}?limit=2")).await.json();
    for n in 0..100 {
        h.config_map(&format!("x{n}"), &json!({})).await;
    }
    let token = first["metadata"]["continue"].as_str().expect("goes on");
    let second = h.get(&format!("{CONFIG_MAPS}?limit=9&continue={token}")).await.json();
    assert_eq!(names(&second), "cde");
}

#[tokio::test]
async fn versions() {
    let h = five().await;
    let now =
        h.get(CONFIG_MAPS).await.json()["metadata"]["resourceVersion"].as_str().expect("is there").to_owned();
    h.config_map("f", &json!({})).await;
    let rows = [
        (String::new(), "abcdef"),
        ("resourceVersion=0".to_owned(), "abcdef"),
        (format!("resourceVersion={now}"), "abcdef"),
        (format!("resourceVersion={now}&resourceVersionMatch=NotOlderThan"), "abcdef"),
        (format!("resourceVersion={now}&resourceVersionMatch=Exact"), "abcde"),
        (format!("resourceVersion={now}&limit=9"), "abcde"),
    ];
    for (query, expected) in rows {
        assert_eq!(names(&h.get(&format!("{CONFIG_MAPS}?{query}")).await.json()), expected, "{query}");
    }
    let refused = [
        ("resourceVersion=1&resourceVersionMatch=Exact", 410, "Expired"),
        ("resourceVersion=99999", 504, "Timeout"),
        ("resourceVersion=x", 400, "BadRequest"),
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422, "Invalid"),
        ("continue=nonsense", 400, "BadRequest"),
        ("limit=x", 400, "BadRequest"),
        ("fieldSelector=data.a%3D1", 400, "BadRequest"),
        ("labelSelector=%3D%3D", 400, "BadRequest"),
    ];
    for (query, code, reason) in refused {
        let answer = h.get(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!(
            (answer.code, answer.json()["reason"].as_str()),
            (code, Some(reason)),
            "{query}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn selectors() {
    let h = five().await;
    let rows = [
        ("labelSelector=parity%3Dodd", "ace"),
        ("labelSelector=parity+notin+(odd)", "bd"),
        ("labelSelector=!parity", ""),
        ("fieldSelector=metadata.name%3Dc", "c"),
        ("fieldSelector=metadata.name!%3Dc", "abde"),
        ("fieldSelector=metadata.name%3Dc&labelSelector=parity%3Deven", ""),
        ("fieldSelector=metadata.namespace%3Dother", ""),
    ];
    for (query, expected) in rows {
        let list = h.get(&format!("{CONFIG_MAPS}?{query}")).await.json();
        assert_eq!(names(&list), expected, "{query}");
        let page = h.get(&format!("/api/v1/configmaps?limit=1&{query}")).await.json();
        assert!(page["metadata"].get("remainingItemCount").is_none(), "{query}: nobody has counted");
    }
    assert_eq!(names(&h.get("/api/v1/namespaces/other/configmaps").await.json()), "");
    assert_eq!(names(&h.get("/api/v1/configmaps").await.json()), "abcde");
}

#[tokio::test]
async fn tables() {
    let h = five().await;
    let table = ["accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"];
    let list = h.ask(&format!("GET {CONFIG_MAPS}?limit=2"), &table, "").await.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert!(list["metadata"]["continue"].is_string());
    let columns: Vec<_> = list["columnDefinitions"]
        .as_array()
        .expect("has columns")
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    let row = &list["rows"][0];
    assert_eq!((&row["cells"][0], &row["cells"][1]), (&json!("a"), &json!(1)));
    assert_eq!(
        (&row["object"]["kind"], &row["object"]["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("a"))
    );
    assert!(row["object"].get("data").is_none());
    let one = h.ask(&format!("GET {CONFIG_MAPS}/a?includeObject=Object"), &table, "").await.json();
    assert_eq!(
        (one["rows"].as_array().map(Vec::len), &one["rows"][0]["object"]["data"]["a"]),
        (Some(1), &json!("1"))
    );
    let none = h.ask(&format!("GET {CONFIG_MAPS}/a?includeObject=None"), &table, "").await.json();
    assert_eq!(none["rows"][0]["object"], Value::Null);
}

#[tokio::test]
async fn metadata_alone() {
    let h = five().await;
    let accept = ["accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"];
    let list = h.ask(&format!("GET {CONFIG_MAPS}"), &accept, "").await.json();
    assert_eq!((&list["kind"], names(&list).as_str()), (&json!("PartialObjectMetadataList"), "abcde"));
    assert!(list["items"][0].get("data").is_none());
    let refused = h.ask(&format!("GET {CONFIG_MAPS}"), &["accept: text/html"], "").await;
    assert_eq!(refused.code, 406);
}

#[tokio::test]
async fn a_long_list_comes_in_pieces_and_whole() {
    let h = Harness::new().await;
    let text = "x".repeat(40_000);
    for n in 0..20 {
        let body = json!({"metadata": {"name": format!("n{n:02}")}, "data": {"text": text}});
        assert_eq!(h.send(&format!("POST {CONFIG_MAPS}"), &body).await.code, 201);
    }
    let answer = h.get(CONFIG_MAPS).await;
    assert!(answer.header("content-length").is_empty(), "it is streamed");
    let list = answer.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(20));
    assert_eq!(list["items"][19]["data"]["text"], text);
}
