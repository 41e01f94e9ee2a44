//! Selectors: both forms, matching, and what is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::{FieldSelector, LabelSelector, matches_node_selector, selectable};
use crate::{Object, kind};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn label_selectors_match() {
    let app = labels(&[("app", "web"), ("tier", ""), ("n", "5")]);
    let rows = [
        ("", true),
        ("app", true),
        ("!app", false),
        ("!gone", true),
        ("app=web", true),
        ("app==web", true),
        ("app=db", false),
        ("gone=web", false),
        ("app!=db", true),
        ("app!=web", false),
        ("gone!=web", true),
        ("app in (web,db)", true),
        ("app in (db)", false),
        ("gone in (web)", false),
        ("app notin (db)", true),
        ("app notin (web, db)", false),
        ("gone notin (web)", true),
        ("tier=", true),
        ("tier in (,x)", true),
        ("n>4", true),
        ("n>5", false),
        ("n<6", true),
        ("app<6", false),
        ("app=web,n>4,!gone", true),
        ("app=web,n>5", false),
        (" app = web , ! gone ", true),
        ("in in (in),in", false),
    ];
    for (text, wanted) in rows {
        let selector = LabelSelector::parse(text).expect(text);
        assert_eq!(selector.matches(&app), wanted, "{text}");
    }
}

#[test]
fn what_is_no_label_selector_is_refused() {
    let rows = [
        ("app=", None),
        (",", Some("expected a label's name")),
        ("app,", Some("expected a label's name")),
        ("app=a b", Some("expected ',' between requirements")),
        ("app in a", Some("expected '('")),
        ("app in (a", Some("expected ',' or ')'")),
        ("app>x", Some("expected a whole number")),
        ("app is x", Some("expected one of = == != > < in notin")),
        ("-a=b", Some("name part must consist of alphanumeric")),
        ("a=b_", Some("a valid label must be an empty string")),
        ("!!a", Some("expected a label's name")),
    ];
    for (text, wanted) in rows {
        match (LabelSelector::parse(text), wanted) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (other, _) => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn the_object_form_says_the_same() {
    let object = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"},
        {"key": "x", "operator": "NotIn", "values": ["y"]}]});
    let selector = LabelSelector::from_object("spec.selector", &object).expect("it is one");
    assert_eq!(selector.to_string(), "app=web,tier in (a,b),!old,app,x!=y");
    assert!(LabelSelector::from_object("", &json!({})).expect("everything").is_empty());
    let rows = [
        (json!({"key": "a", "operator": "In"}), "spec.selector.matchExpressions[0].values"),
        (
            json!({"key": "a", "operator": "Exists", "values": ["b"]}),
            "spec.selector.matchExpressions[0].values",
        ),
        (
            json!({"key": "a", "operator": "Gt", "values": ["1"]}),
            "spec.selector.matchExpressions[0].operator",
        ),
        (json!({"key": "/", "operator": "Exists"}), "spec.selector.matchExpressions[0].key"),
    ];
    for (expression, field) in rows {
        let object = json!({"matchExpressions": [expression]});
        let errors = LabelSelector::from_object("spec.selector", &object).expect_err("refused");
        assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}

#[test]
fn fields_are_selected_as_kubernetes_has_them() {
    let pod = json!({"metadata": {"namespace": "default", "name": "web"}, "spec": {"nodeName": "laptop",
        "hostNetwork": true}, "status": {"phase": "Running"}});
    let pod = Object::from_value(&kind::POD, &pod).expect("has metadata");
    let node = Object::from_value(&kind::NODE, &json!({"metadata": {"name": "n"}})).expect("has metadata");
    let event = json!({"metadata": {"namespace": "default", "name": "e"}, "source": {"component": "binder"},
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "a=b,c"}});
    let event = Object::from_value(&kind::EVENT, &event).expect("has metadata");
    let rows = [
        (&pod, "", true),
        (&pod, "metadata.name=web", true),
        (&pod, "metadata.name=db", false),
        (&pod, "metadata.namespace!=default", false),
        (&pod, "spec.nodeName=laptop,status.phase!=Failed", true),
        (&pod, "spec.nodeName==laptop,status.phase=Failed", false),
        (&pod, "spec.nodeName=", false),
        (&pod, "status.podIP=", true),
        (&pod, "spec.hostNetwork=true", true),
        (&node, "spec.unschedulable=false", true),
        (&event, "involvedObject.kind=Pod,regarding.name=web,source=binder", true),
        (&event, "reportingComponent=binder", true),
        (&event, r"involvedObject.fieldPath=a\=b\,c", true),
    ];
    for (object, text, wanted) in rows {
        let selector = FieldSelector::parse(object.key.kind, text).expect(text);
        assert_eq!(selector.matches(object), wanted, "{text}");
        assert_eq!(selector.matches_value(&object.value()), wanted, "{text}");
    }
}

#[test]
fn unknown_fields_are_named() {
    let rows = [
        ("spec.foo=x", "field label not supported: spec.foo"),
        ("metadata.name", "write field=value"),
        (r"metadata.name=a\b", "invalid escape sequence"),
        ("metadata.name=a=b", "unescaped '='"),
    ];
    for (text, part) in rows {
        let error = FieldSelector::parse(&kind::POD, text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(FieldSelector::parse(&kind::CONFIG_MAP, "spec.nodeName=x").is_err());
    assert_eq!(selectable(&kind::CONFIG_MAP).count(), 2);
}

#[test]
fn an_index_can_serve_what_is_required() {
    let selector = FieldSelector::parse(&kind::POD, "spec.nodeName=n,status.phase!=Failed").expect("parses");
    assert_eq!(selector.required("spec.nodeName"), Some("n"));
    assert_eq!(selector.required("status.phase"), None);
    assert_eq!(selector.to_string(), "spec.nodeName=n,status.phase!=Failed");
}

#[test]
fn node_selectors_are_alternatives_of_conjunctions() {
    let here = labels(&[("kubernetes.io/hostname", "laptop"), ("zone", "a"), ("cpus", "8")]);
    let host = |name: &str| json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [name]});
    let rows = [
        (json!([{"matchExpressions": [host("laptop")]}]), true),
        (json!([{"matchExpressions": [host("other")]}]), false),
        (json!([{"matchExpressions": [host("other")]}, {"matchExpressions": [host("laptop")]}]), true),
        (json!([{"matchExpressions": [host("laptop"), {"key": "zone", "operator": "DoesNotExist"}]}]), false),
        (json!([{"matchExpressions": [{"key": "cpus", "operator": "Gt", "values": ["4"]}]}]), true),
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]), true),
        (json!([{"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["node-1"]}]}]), false),
        (json!([{}]), false),
        (json!([]), false),
        (json!([{"matchExpressions": [{"key": "zone", "operator": "Like", "values": ["a"]}]}]), false),
    ];
    for (terms, wanted) in rows {
        let selector = json!({"nodeSelectorTerms": terms});
        assert_eq!(matches_node_selector(&selector, "node-1", &here), wanted, "{selector}");
    }
}

fn requirement() -> impl Strategy<Value = String> {
    let word = "[a-z][a-z0-9]{0,3}";
    let values = prop::collection::vec("[a-z0-9]{0,3}", 1..4).prop_map(|v| v.join(","));
    prop_oneof![
        word.prop_map(|k| k),
        word.prop_map(|k| format!("!{k}")),
        (word, word, prop::sample::select(vec!["=", "==", "!="])).prop_map(|(k, v, s)| format!("{k}{s}{v}")),
        (word, values, prop::sample::select(vec!["in", "notin"]))
            .prop_map(|(k, v, s)| format!("{k} {s} ({v})")),
        (word, any::<i64>(), prop::sample::select(vec![">", "<"])).prop_map(|(k, n, s)| format!("{k}{s}{n}")),
    ]
}

proptest! {
    #[test]
    fn label_selectors_survive_printing(parts in prop::collection::vec(requirement(), 0..5)) {
        let first = LabelSelector::parse(&parts.join(",")).expect("generated ones are good");
        let again = LabelSelector::parse(&first.to_string()).expect("what we print, we read");
        prop_assert_eq!(first, again);
    }

    #[test]
    fn field_selectors_survive_printing(value in "[a-z,=\\\\!]{0,8}", equal in any::<bool>()) {
        let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
        let text = format!("metadata.name{}{escaped}", if equal { "=" } else { "!=" });
        let first = FieldSelector::parse(&kind::POD, &text).expect("escaped");
        prop_assert_eq!(first.to_string(), text);
        prop_assert_eq!(first.required("metadata.name"), equal.then_some(value.as_str()));
    }

    #[test]
    fn any_text_is_answered(text in "[a-z!=<>(), ]{0,16}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let again = LabelSelector::parse(&selector.to_string()).expect("what we print, we read");
            prop_assert_eq!(selector, again);
        }
    }
}
