//! The protector's table, row for row.

use orlop_objects::{Key, kind};
use serde_json::{Value, json};

use super::{
    decide::{Verdict, decide},
    view::View,
};
use crate::testing::{claim, pod, seen, volume};

fn text(view: &View) -> String {
    match decide(view).first() {
        None => "-".to_owned(),
        Some((_, Verdict::LetGo { finalizer, .. })) => format!("let go {finalizer}"),
        Some((_, Verdict::Wait { said, .. })) => format!("wait {}: {}", said.reason, said.message),
    }
}

fn going(finalizers: &[&str]) -> Value {
    json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}})
}

#[test]
fn claims() {
    let view = |more: Value, pods: &[Value]| View {
        claims: vec![(seen(&claim(more)), pods.iter().map(seen).collect())],
        ..View::default()
    };
    let held = ["kubernetes.io/pvc-protection"];
    assert_eq!(text(&view(going(&["example.com/other"]), &[])), "-");
    assert_eq!(text(&view(json!({"metadata": {"finalizers": held}}), &[])), "-", "not terminating");
    assert_eq!(text(&view(going(&held), &[])), "let go kubernetes.io/pvc-protection");
    let on_node = |name: &str| pod(name, json!({"spec": {"nodeName": "n1"}}));
    let pending = || pod("pending", json!({}));
    assert_eq!(text(&view(going(&held), &[pending()])), "let go kubernetes.io/pvc-protection", "on no node");
    let waits = text(&view(going(&held), &[on_node("web"), pending(), on_node("db")]));
    assert!(waits.starts_with("wait ClaimInUse: ") && waits.contains("pod(s) web, db"), "{waits}");
}

#[test]
fn volumes() {
    let view = |more: Value, bound: Option<Key>| View {
        volumes: vec![(seen(&volume(more)), bound)],
        ..View::default()
    };
    let held = ["kubernetes.io/pv-protection"];
    let claim = || Some(Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", "data"));
    assert_eq!(text(&view(going(&["example.com/other"]), None)), "-");
    assert_eq!(text(&view(going(&held), None)), "let go kubernetes.io/pv-protection");
    let waits = text(&view(going(&held), claim()));
    assert!(waits.starts_with("wait VolumeInUse: ") && waits.contains("claim default/data"), "{waits}");
}
