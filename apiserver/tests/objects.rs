//! Writing objects: answers, refusals, patches, deletion.

mod support;

use serde_json::{Value, json};
use support::Harness;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn what_cannot_be_created_is_refused_with_reason_and_words() {
    let h = Harness::new().await;
    h.config_map("taken", &json!({})).await;
    let long = "x".repeat(3 * 1024 * 1024 + 1);
    let rows: Vec<(&str, &str, String, u16, &str, &str)> = vec![
        (
            CONFIG_MAPS,
            "application/json",
            json!({"metadata": {"name": "taken"}}).to_string(),
            409,
            "AlreadyExists",
            "configmaps \"taken\" already exists",
        ),
        (CONFIG_MAPS, "application/json", "{".to_owned(), 400, "BadRequest", "the body is not valid JSON: "),
        (CONFIG_MAPS, "application/json", "[]".to_owned(), 400, "BadRequest", ""),
        (
            CONFIG_MAPS,
            "application/json",
            json!({"kind": "Secret", "metadata": {"name": "x"}}).to_string(),
            400,
            "BadRequest",
            "the kind in the data (Secret) does not match the expected kind (ConfigMap)",
        ),
        (
            CONFIG_MAPS,
            "application/json",
            json!({"apiVersion": "v2", "metadata": {"name": "x"}}).to_string(),
            400,
            "BadRequest",
            "the API version in the data (v2) does not match the expected API version (v1)",
        ),
        (
            CONFIG_MAPS,
            "application/json",
            json!({"metadata": {"name": "x", "namespace": "other"}}).to_string(),
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            CONFIG_MAPS,
            "application/vnd.kubernetes.protobuf",
            "{}".to_owned(),
            400,
            "BadRequest",
            "the body is not valid protobuf: runtime.Unknown at byte 0 of the body: ",
        ),
        (
            CONFIG_MAPS,
            "application/vnd.kubernetes.protobuf",
            "k8s\0\n\n\x12\x08NotAKind".to_owned(),
            400,
            "BadRequest",
            "the kind in the data (NotAKind) does not match the expected kind (ConfigMap)",
        ),
        (
            "/apis/batch/v1/namespaces/default/jobs",
            "application/vnd.kubernetes.protobuf",
            "k8s\0".to_owned(),
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
        (
            CONFIG_MAPS,
            "text/plain",
            "x".to_owned(),
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown",
        ),
        (
            CONFIG_MAPS,
            "application/yaml",
            "metadata: {name: x}\ndata: {a: b, a: c}".to_owned(),
            400,
            "BadRequest",
            "the body is not valid YAML: ",
        ),
        (
            CONFIG_MAPS,
            "application/json",
            long,
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728 bytes",
        ),
        (
            "/api/v1/configmaps",
            "application/json",
            "{}".to_owned(),
            405,
            "MethodNotAllowed",
            "the server does not allow",
        ),
        (
            "/api/v1/namespaces/default/nothing",
            "application/json",
            "{}".to_owned(),
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
    ];
    for (path, content_type, body, code, reason, message) in rows {
        let shown = body.chars().take(60).collect::<String>();
        let answer = h.ask(&format!("POST {path}"), &[&format!("content-type: {content_type}")], body).await;
        let status = answer.json();
        assert_eq!((answer.code, status["reason"].as_str()), (code, Some(reason)), "{shown}: {answer:?}");
        assert!(answer.message().starts_with(message), "{shown}: {answer:?}");
        assert_eq!(
            (&status["kind"], &status["status"], &status["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
    }
}

#[tokio::test]
async fn yaml_is_taken_like_json() {
    let h = Harness::new().await;
    let yaml = "metadata:\n  name: x\ndata: {a: 'yes'}\n";
    let answer = h.ask(&format!("POST {CONFIG_MAPS}"), &["content-type: application/yaml"], yaml).await;
    assert_eq!(answer.code, 201, "{answer:?}");
    assert_eq!(answer.json()["data"]["a"], "yes");
}

#[tokio::test]
async fn field_validation() {
    let h = Harness::new().await;
    let body = json!({"metadata": {"name": "x"}, "qqqqqq": {}});
    let strict = h.send(&format!("POST {CONFIG_MAPS}?fieldValidation=Strict"), &body).await;
    assert_eq!(strict.code, 400);
    assert!(strict.message().ends_with("strict decoding error: unknown field \"qqqqqq\""), "{strict:?}");
    let warn = h.send(&format!("POST {CONFIG_MAPS}?fieldValidation=Warn&dryRun=All"), &body).await;
    assert_eq!((warn.code, warn.header("warning")), (201, "299 - \"unknown field \\\"qqqqqq\\\"\""));
    let ignore = h.send(&format!("POST {CONFIG_MAPS}?fieldValidation=Ignore"), &body).await;
    assert_eq!((ignore.code, ignore.header("warning")), (201, ""));
    assert!(ignore.json().get("qqqqqq").is_none(), "{ignore:?}");
    let other = h.send(&format!("POST {CONFIG_MAPS}?fieldValidation=Maybe"), &body).await;
    assert_eq!(other.code, 400);
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let h = Harness::new().await;
    let body = json!({"metadata": {"name": "x"}});
    let answer = h.send(&format!("POST {CONFIG_MAPS}?dryRun=All"), &body).await;
    assert_eq!(answer.code, 201);
    assert!(answer.json()["metadata"].get("resourceVersion").is_none(), "{answer:?}");
    assert_eq!(h.get(&format!("{CONFIG_MAPS}/x")).await.code, 404);
    assert_eq!(h.send(&format!("POST {CONFIG_MAPS}?dryRun=Some"), &body).await.code, 400);
}

#[tokio::test]
async fn the_field_manager_is_named_or_the_program() {
    let h = Harness::new().await;
    let path = |query: &str| format!("POST {CONFIG_MAPS}{query}");
    let manager = |answer: &support::Answer| answer.json()["metadata"]["managedFields"][0]["manager"].clone();
    let json = ["content-type: application/json", "user-agent: kubectl/v1.32 (linux)"];
    let by_agent = h.ask(&path(""), &json, r#"{"metadata":{"name":"a"},"data":{"a":"1"}}"#).await;
    assert_eq!(manager(&by_agent), "kubectl");
    let named =
        h.ask(&path("?fieldManager=me"), &json, r#"{"metadata":{"name":"b"},"data":{"a":"1"}}"#).await;
    assert_eq!(manager(&named), "me");
}

#[tokio::test]
async fn patches() {
    let h = Harness::new().await;
    let pod = h.pod("p", None).await;
    let version = &pod["metadata"]["resourceVersion"];
    let rows: Vec<(&str, Value, u16, &str, Value)> = vec![
        (
            "merge-patch+json",
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            200,
            "/metadata/labels",
            json!({"a": "1", "b": "2"}),
        ),
        (
            "merge-patch+json",
            json!({"metadata": {"labels": {"a": null}}}),
            200,
            "/metadata/labels",
            json!({"b": "2"}),
        ),
        (
            "json-patch+json",
            json!([{"op": "test", "path": "/metadata/labels/b", "value": "2"},
            {"op": "replace", "path": "/metadata/labels/b", "value": "3"}]),
            200,
            "/metadata/labels",
            json!({"b": "3"}),
        ),
        (
            "json-patch+json",
            json!([{"op": "test", "path": "/metadata/labels/b", "value": "9"}]),
            422,
            "/reason",
            json!("Invalid"),
        ),
        ("json-patch+json", json!({"op": "add"}), 400, "/reason", json!("BadRequest")),
        (
            "strategic-merge-patch+json",
            json!({"spec": {"containers": [{"name": "c", "image": "j"}]}}),
            200,
            "/spec/containers/0/image",
            json!("j"),
        ),
        ("merge-patch+json", json!([]), 400, "/reason", json!("BadRequest")),
        (
            "merge-patch+json",
            json!({"metadata": {"name": "q"}}),
            400,
            "/message",
            json!("the name of the object (q) does not match the name on the URL (p)"),
        ),
        (
            "merge-patch+json",
            json!({"metadata": {"resourceVersion": version}}),
            409,
            "/reason",
            json!("Conflict"),
        ),
        ("apply-patch+yaml", json!({}), 415, "/reason", json!("UnsupportedMediaType")),
        ("json", json!({}), 415, "/reason", json!("UnsupportedMediaType")),
    ];
    for (form, patch, code, pointer, expected) in rows {
        let header = format!("content-type: application/{form}");
        let answer = h.ask("PATCH /api/v1/namespaces/default/pods/p", &[&header], patch.to_string()).await;
        assert_eq!(answer.code, code, "{form} {patch}: {answer:?}");
        assert_eq!(answer.json().pointer(pointer), Some(&expected), "{form} {patch}");
    }
    let missing = h
        .ask("PATCH /api/v1/namespaces/default/pods/q", &["content-type: application/merge-patch+json"], "{}")
        .await;
    assert_eq!((missing.code, missing.message()), (404, "pods \"q\" not found".to_owned()));
}

#[tokio::test]
async fn the_status_is_written_by_its_own_path() {
    let h = Harness::new().await;
    h.pod("p", None).await;
    let merge = ["content-type: application/merge-patch+json"];
    let patch = json!({"status": {"phase": "Running"}, "metadata": {"labels": {"a": "1"}}}).to_string();
    let main = h.ask("PATCH /api/v1/namespaces/default/pods/p", &merge, patch.clone()).await.json();
    assert_eq!(
        (&main["status"]["phase"], &main["metadata"]["labels"]["a"]),
        (&json!("Pending"), &json!("1"))
    );
    let status = h.ask("PATCH /api/v1/namespaces/default/pods/p/status", &merge, patch).await.json();
    assert_eq!(status["status"]["phase"], "Running");
    assert_eq!(h.get("/api/v1/namespaces/default/pods/p/status").await.json(), status);
}

/// What `kubectl scale` sends: a merge patch, or with `--current-replicas` a GET and a PUT.
#[tokio::test]
async fn the_number_of_replicas_has_a_path_of_its_own() {
    const SCALE: &str = "/apis/apps/v1/namespaces/default/deployments/w/scale";
    let h = Harness::new().await;
    let labels = json!({"a": "b"});
    let deployment = json!({"metadata": {"name": "w"}, "spec": {"selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = h.send("POST /apis/apps/v1/namespaces/default/deployments", &deployment).await;
    assert_eq!(made.code, 201, "{made:?}");
    let scale = h.get(SCALE).await.json();
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!("Scale"), &json!(1), &json!("a=b"))
    );
    let merge = ["content-type: application/merge-patch+json"];
    let patched = h.ask(&format!("PATCH {SCALE}"), &merge, r#"{"spec":{"replicas":3}}"#).await;
    assert_eq!((patched.code, &patched.json()["spec"]["replicas"]), (200, &json!(3)), "{patched:?}");
    let stale = h.send(&format!("PUT {SCALE}"), &scale).await;
    assert_eq!(stale.code, 409, "{stale:?}");
    let negative = h.ask(&format!("PATCH {SCALE}"), &merge, r#"{"spec":{"replicas":-1}}"#).await;
    assert_eq!(negative.code, 422, "{negative:?}");
    let workload = h.get(SCALE.trim_end_matches("/scale")).await.json();
    assert_eq!((&workload["spec"]["replicas"], &workload["metadata"]["generation"]), (&json!(3), &json!(2)));
    assert_eq!(h.get("/apis/apps/v1/namespaces/default/daemonsets/w/scale").await.code, 404);
}

#[tokio::test]
async fn replacing_needs_the_current_version() {
    let h = Harness::new().await;
    let mut value = h.config_map("x", &json!({})).await;
    let path = format!("PUT {CONFIG_MAPS}/x");
    value["data"]["a"] = "2".into();
    let replaced = h.send(&path, &value).await;
    assert_eq!((replaced.code, &replaced.json()["data"]["a"]), (200, &json!("2")));
    let stale = h.send(&path, &value).await;
    assert_eq!(stale.code, 409);
    assert_eq!(
        stale.message(),
        "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    let renamed = h.send(&path, &json!({"metadata": {"name": "y"}})).await;
    assert_eq!(renamed.code, 400);
}

#[tokio::test]
async fn deletion() {
    let h = Harness::new().await;
    let made = h.config_map("x", &json!({})).await;
    let path = format!("DELETE {CONFIG_MAPS}/x");
    let wrong = h.send(&path, &json!({"preconditions": {"uid": "another"}})).await;
    assert_eq!((wrong.code, &wrong.json()["reason"]), (409, &json!("Conflict")), "{wrong:?}");
    assert_eq!(h.send(&path, &json!({"propagationPolicy": "Sideways"})).await.code, 400);
    assert_eq!(h.send(&path, &json!({"kind": "Pod"})).await.code, 400);
    assert_eq!(h.ask(&format!("{path}?gracePeriodSeconds=-1"), &[], "").await.code, 400);
    let gone = h.send(&path, &json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]})).await;
    assert_eq!(gone.code, 200, "{gone:?}");
    let gone = h.send(&path, &json!({"propagationPolicy": "Background"})).await;
    let details = json!({"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]});
    assert_eq!((&gone.json()["status"], &gone.json()["details"]), (&json!("Success"), &details));
    assert_eq!(h.send(&path, &json!({})).await.code, 404);
}

#[tokio::test]
async fn what_is_held_is_answered_as_it_is() {
    let h = Harness::new().await;
    let body = json!({"metadata": {"name": "x", "finalizers": ["example.com/hold"]}});
    h.send(&format!("POST {CONFIG_MAPS}"), &body).await;
    let held = h.ask(&format!("DELETE {CONFIG_MAPS}/x"), &[], "").await;
    assert_eq!((held.code, &held.json()["kind"]), (200, &json!("ConfigMap")));
    assert!(held.json()["metadata"]["deletionTimestamp"].is_string());
    let merge = ["content-type: application/merge-patch+json"];
    let let_go =
        h.ask(&format!("PATCH {CONFIG_MAPS}/x"), &merge, r#"{"metadata":{"finalizers":null}}"#).await;
    assert_eq!(let_go.code, 200);
    assert_eq!(h.get(&format!("{CONFIG_MAPS}/x")).await.code, 404);
}

#[tokio::test]
async fn a_collection_goes_by_selector() {
    let h = Harness::new().await;
    for (name, label) in [("a", "1"), ("b", "2"), ("c", "1")] {
        h.config_map(name, &json!({"l": label})).await;
    }
    let answer = h.ask(&format!("DELETE {CONFIG_MAPS}?labelSelector=l%3D1"), &[], "").await;
    let names: Vec<_> = answer.json()["items"]
        .as_array()
        .expect("is a list")
        .iter()
        .map(|item| item["metadata"]["name"].clone())
        .collect();
    assert_eq!((answer.code, names), (200, vec![json!("a"), json!("c")]));
    assert_eq!(h.get(CONFIG_MAPS).await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_binding_puts_a_pod_on_a_node() {
    let h = Harness::new().await;
    h.pod("p", None).await;
    let path = "POST /api/v1/namespaces/default/pods/p/binding";
    let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let answer = h.send(path, &body).await;
    assert_eq!((answer.code, &answer.json()["status"]), (201, &json!("Success")));
    assert_eq!(h.get("/api/v1/namespaces/default/pods/p").await.json()["spec"]["nodeName"], "n");
    assert_eq!(h.send(path, &body).await.code, 409);
    assert_eq!(h.send(path, &json!({"kind": "Pod"})).await.code, 400);
}

#[tokio::test]
async fn an_eviction_deletes_a_pod() {
    let h = Harness::new().await;
    for (name, node) in [("p", Some("n")), ("q", Some("n")), ("r", None)] {
        h.pod(name, node).await;
    }
    let path = |name: &str| format!("POST /api/v1/namespaces/default/pods/{name}/eviction");
    let get = async |name: &str| h.get(&format!("/api/v1/namespaces/default/pods/{name}")).await;
    // As kubectl drain sends it.
    let body = |name: &str, options: Value| {
        json!({"kind": "Eviction", "apiVersion": "policy/v1",
            "metadata": {"name": name, "namespace": "default", "creationTimestamp": null}, "deleteOptions": options})
    };
    let uid = get("p").await.json()["metadata"]["uid"].clone();
    let refused = [
        (path("p"), body("other", json!({})), 400, "name in URL does not match name in Eviction object"),
        (path("p"), json!({"kind": "Pod"}), 400, "the body must be an Eviction, not Pod"),
        (path("p"), json!({"kind": "Eviction", "apiVersion": "policy/v1beta1"}), 400, "API version"),
        (path("p"), body("p", json!({"gracePeriodSeconds": -1})), 400, "gracePeriodSeconds"),
        (path("p"), body("p", json!({"preconditions": {"uid": "another"}})), 409, "uid"),
        (path("none"), body("none", json!({})), 404, "not found"),
    ];
    for (path, body, code, words) in refused {
        let answer = h.send(&path, &body).await;
        assert!(
            answer.code == code && answer.message().to_lowercase().contains(&words.to_lowercase()),
            "{body}: {answer:?}"
        );
    }
    let dry = h.send(&path("p"), &body("p", json!({"dryRun": ["All"]}))).await;
    assert_eq!((dry.code, get("p").await.json()["metadata"].get("deletionTimestamp")), (201, None));
    let precise = json!({"gracePeriodSeconds": 7, "preconditions": {"uid": uid}});
    let evicted = h.send(&path("p"), &body("p", precise)).await;
    assert_eq!((evicted.code, &evicted.json()["status"]), (201, &json!("Success")));
    let going = get("p").await.json();
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 7);
    let conditions = going["status"]["conditions"].as_array().expect("says why").clone();
    let disrupted = conditions.iter().find(|c| c["type"] == "DisruptionTarget").expect("says why");
    assert_eq!(disrupted["reason"], "EvictionByEvictionAPI");
    let yaml = "apiVersion: policy/v1\nkind: Eviction\nmetadata: {name: q}\n";
    assert_eq!(h.ask(&path("q"), &["content-type: application/yaml"], yaml).await.code, 201);
    assert_eq!(get("q").await.json()["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(h.ask(&path("r"), &[], "").await.code, 201, "an empty body says nothing");
    assert_eq!(get("r").await.code, 404, "nobody has to end it");
}

#[tokio::test]
async fn events_have_two_faces() {
    let h = Harness::new().await;
    let body = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "hello",
        "reason": "R", "type": "Normal", "action": "A", "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "c", "reportingInstance": "i",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let made = h.send("POST /apis/events.k8s.io/v1/namespaces/default/events", &body).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(
        (&made.json()["apiVersion"], &made.json()["note"]),
        (&json!("events.k8s.io/v1"), &json!("hello"))
    );
    let core = h.get("/api/v1/namespaces/default/events/e").await.json();
    assert_eq!(
        (&core["apiVersion"], &core["message"], &core["involvedObject"]["name"]),
        (&json!("v1"), &json!("hello"), &json!("p"))
    );
    let merge = ["content-type: application/merge-patch+json"];
    let path = "PATCH /apis/events.k8s.io/v1/namespaces/default/events/e";
    let patched = h.ask(path, &merge, r#"{"note":"again"}"#).await;
    assert_eq!((patched.code, &patched.json()["note"]), (200, &json!("again")), "{patched:?}");
    let first = json!({"metadata": {"name": "z"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let second = json!({"metadata": {"name": "a"}, "involvedObject": first["involvedObject"]});
    for event in [first, second] {
        assert_eq!(h.send("POST /api/v1/namespaces/default/events", &event).await.code, 201);
    }
    let story = h.get("/api/v1/namespaces/default/events").await.json();
    let told: Vec<_> =
        story["items"].as_array().into_iter().flatten().map(|e| &e["metadata"]["name"]).collect();
    assert_eq!(told, ["e", "z", "a"], "in the order in which they were last seen");
    let list = h.get("/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp").await.json();
    assert_eq!((&list["kind"], &list["items"][0]["note"]), (&json!("EventList"), &json!("again")));
}

#[tokio::test]
async fn answers_can_be_read_by_people() {
    let h = Harness::new().await;
    h.config_map("x", &json!({})).await;
    let pretty = h.get(&format!("{CONFIG_MAPS}/x?pretty=true")).await;
    assert!(
        pretty.text.starts_with("{\n  \"apiVersion\": \"v1\",\n") && pretty.text.ends_with("}\n"),
        "{pretty:?}"
    );
    assert_eq!(pretty.json(), h.get(&format!("{CONFIG_MAPS}/x?pretty=false")).await.json());
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let h = Harness::new().await;
    h.pod("p", None).await;
    let exec = h.get("/api/v1/namespaces/default/pods/p/exec?command=ls").await;
    assert_eq!(
        (exec.code, exec.message().as_str()),
        (404, "the server could not find the requested resource: Orlop does not serve pods/exec yet")
    );
    let other = h.ask("GET /api/v1/pods", &["impersonate-user: somebody"], "").await;
    assert_eq!(other.code, 400);
}
