//! Who owns which field.

use orlop_objects::kind;
use serde_json::{Value, json};

use super::{Bench, claim, config, pod};
use crate::{Part, Who};

/// `(manager, subresource, fields)` of each entry.
fn entries(value: &Value) -> Vec<(String, String, Value)> {
    let entries = value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    entries.iter().map(|e| (text(&e["manager"]), text(&e["subresource"]), e["fieldsV1"].clone())).collect()
}

#[tokio::test]
async fn fields_belong_to_who_set_them() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let creator = json!({"f:data": {".": {}, "f:a": {}}});
    assert_eq!(entries(&object.value()), [("kubectl".to_owned(), String::new(), creator)]);
    let other = Who::new("system:admin", "other");
    let change = |mut v: Value| {
        v["data"]["b"] = "2".into();
        v["metadata"]["labels"] = json!({"x": "y"});
        Ok(v)
    };
    let changed = bench.registry.change(&object.key, Part::Main, &other, false, change).await.expect("good");
    let wanted = [
        ("kubectl".to_owned(), String::new(), json!({"f:data": {".": {}, "f:a": {}}})),
        (
            "other".to_owned(),
            String::new(),
            json!({"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}),
        ),
    ];
    assert_eq!(entries(&changed.object.value()), wanted);
    let take = |mut v: Value| {
        v["data"] = json!({"a": "3"});
        Ok(v)
    };
    let taken = bench.registry.change(&object.key, Part::Main, &other, false, take).await.expect("good");
    let wanted = [
        ("kubectl".to_owned(), String::new(), json!({"f:data": {".": {}}})),
        (
            "other".to_owned(),
            String::new(),
            json!({"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}),
        ),
    ];
    assert_eq!(entries(&taken.object.value()), wanted);
}

#[tokio::test]
async fn the_status_is_an_entry_of_its_own() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::PERSISTENT_VOLUME_CLAIM, "default", claim("data")).await;
    let bound = bench.change(&object.key, Part::Status, |v| v["status"]["phase"] = "Bound".into()).await;
    let last = entries(&bound.object.value()).pop().expect("an entry");
    assert_eq!(last, ("kubectl".to_owned(), "status".to_owned(), json!({"f:status": {"f:phase": {}}})));
}

#[tokio::test]
async fn list_items_are_known_by_their_keys() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::POD, "default", pod("web")).await;
    let (_, _, fields) = entries(&object.value()).remove(0);
    let container = &fields["f:spec"]["f:containers"][r#"k:{"name":"main"}"#];
    assert_eq!(container["f:image"], json!({}), "{fields}");
    assert_eq!(container["."], json!({}));
    assert_eq!(fields["f:spec"].get("."), None);
}

#[tokio::test]
async fn the_bytes_end_with_who_wrote_them() {
    let bench = Bench::new().await;
    let object = bench.create(&kind::CONFIG_MAP, "default", config("a")).await;
    let text = String::from_utf8(object.bytes.to_vec()).expect("JSON is UTF-8");
    assert!(text.contains(r#""name":"a","namespace":"default","uid":"#), "{text}");
    assert!(text.find("managedFields") > text.find("\"uid\""), "{text}");
}
