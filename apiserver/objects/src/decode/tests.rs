//! Bodies as people write them wrongly, and what they are told.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Decoded, Failure, FieldValidation, check, from_json, grow::Grower};
use crate::{
    kind,
    schema::{apply_defaults, table},
};

fn pod(text: &str, v: FieldValidation) -> Result<Decoded, Failure> {
    from_json(&kind::POD, text.as_bytes(), v)
}

const SLIPS: &str = r#"{"kind":"Pod","metadata":{"name":"a","lables":{}},"spec":{"foo":1,
    "containers":[{"name":"c","image":"x","image":"y","imagee":"z"}],"emptyDir":null}}"#;

#[test]
fn strict_names_every_unknown_and_duplicate_field() {
    let failure = pod(SLIPS, FieldValidation::Strict).expect_err("there are slips");
    assert_eq!(
        failure.to_string(),
        "strict decoding error: unknown field \"metadata.lables\" (did you mean \"labels\"?), \
         unknown field \"spec.foo\", unknown field \"spec.containers[0].imagee\" (did you mean \"image\"?), \
         duplicate field \"spec.containers[0].image\""
    );
}

#[test]
fn warn_drops_them_and_says_so_and_ignore_is_silent() {
    let warned = pod(SLIPS, FieldValidation::Warn).expect("warnings do not refuse");
    assert_eq!(warned.warnings.len(), 4);
    assert_eq!(warned.warnings[0], "unknown field \"metadata.lables\" (did you mean \"labels\"?)");
    let ignored = pod(SLIPS, FieldValidation::Ignore).expect("nothing is refused");
    assert_eq!((ignored.value, ignored.warnings.len()), (warned.value.clone(), 0));
    assert_eq!(
        warned.value,
        json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "y"}]}})
    );
}

#[test]
fn wrong_types_are_refused_whatever_the_policy() {
    let cases: &[(Value, &str)] = &[
        (json!({"spec": {"containers": {}}}), "spec.containers: must be a list, but is an object"),
        (json!({"spec": {"priority": "1"}}), "spec.priority: must be an integer of 32 bits, but is \"1\""),
        (
            json!({"spec": {"priority": 3_000_000_000_i64}}),
            "spec.priority: must be an integer of 32 bits, but is 3000000000",
        ),
        (
            json!({"spec": {"hostNetwork": "true"}}),
            "spec.hostNetwork: must be true or false, but is \"true\"",
        ),
        (json!({"metadata": {"labels": {"a": 1}}}), "metadata.labels.a: must be a string, but is 1"),
        (
            json!({"metadata": {"creationTimestamp": "yesterday"}}),
            "metadata.creationTimestamp: must be a time such as \"2026-01-31T12:00:00Z\", but is \"yesterday\"",
        ),
        (json!({"spec": {"containers": [null]}}), "spec.containers[0]: must be an object, but is null"),
        (json!([]), ": must be an object, but is a list"),
    ];
    for (value, text) in cases {
        let failure = check(&kind::POD, value.clone(), FieldValidation::Ignore).expect_err(text);
        assert_eq!(failure.to_string(), *text);
    }
    let failure = check(&kind::SECRET, json!({"data": {"k": "not base64!"}}), FieldValidation::Ignore);
    assert_eq!(
        failure.expect_err("not base64").to_string(),
        "data.k: must be a string in base64, but is \"not base64!\""
    );
}

#[test]
fn text_that_is_not_json_says_where() {
    let failure = pod("{\"kind\": ", FieldValidation::Strict).expect_err("cut off");
    assert!(matches!(&failure, Failure::Syntax(t) if t.contains("line 1")), "{failure}");
    assert!(matches!(pod("{} {}", FieldValidation::Ignore), Err(Failure::Syntax(_))));
}

#[test]
fn nulls_are_nothing_but_empty_objects_stay() {
    let text = r#"{"metadata":{"creationTimestamp":null,"annotations":{"a":null}},
        "spec":{"volumes":[{"name":"v","emptyDir":{}}]}}"#;
    let decoded = pod(text, FieldValidation::Strict).expect("nothing wrong");
    assert_eq!(
        decoded.value,
        json!({"metadata": {"annotations": {"a": ""}}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}})
    );
}

#[test]
fn forms_with_a_choice_take_both() {
    let value =
        json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "http"}]}});
    assert_eq!(check(&kind::SERVICE, value.clone(), FieldValidation::Strict).expect("both").value, value);
    let value = json!({"spec": {"resources": {"requests": {"storage": 1_073_741_824}}}});
    assert_eq!(
        check(&kind::PERSISTENT_VOLUME_CLAIM, value.clone(), FieldValidation::Strict).expect("number").value,
        value
    );
}

#[test]
fn a_body_holds_so_many_objects_and_no_more() {
    let most = super::MOST_OBJECTS;
    // The pod and its spec are two of them.
    for (containers, fits) in [(most - 2, true), (most - 1, false), (most + 5, false)] {
        let value = json!({"spec": {"containers": vec![json!({}); containers]}});
        let checked = check(&kind::POD, value, FieldValidation::Ignore);
        let refused = checked.map(|_| ()).map_err(|failure| failure.to_string());
        let words =
            "spec.containers[19998]: is one object too many: a body may hold 20000; make several of it";
        assert_eq!(refused, if fits { Ok(()) } else { Err(words.to_owned()) });
    }
}

#[test]
fn text_holds_so_many_objects_of_any_kind_and_no_more_are_made() {
    let text = |objects: usize| format!("[{}{{}}]", "{},".repeat(objects - 1));
    assert!(super::value(text(super::MOST_OBJECTS).as_bytes()).is_ok());
    let refused = super::value(text(super::MOST_OBJECTS + 1).as_bytes());
    assert_eq!(refused, Err(Failure::TooMany(20_000)));
    // The reader goes no further: what is wrong behind it is not found.
    let broken = format!("{{\"metadata\":{{\"x\":{} no JSON", text(super::MOST_IN_JSON));
    let refused = pod(&broken, FieldValidation::Ignore).expect_err("it is too much");
    assert_eq!(refused.to_string(), "it holds more than 80000 objects of JSON; make several of it");
}

#[test]
fn no_more_is_kept_of_what_is_wrong_than_is_told() {
    let twice = "\"a\":0,".repeat(1000);
    let (_, duplicates) = super::json::parse(format!("{{{twice}\"b\":0}}").as_bytes(), 1).expect("is JSON");
    assert_eq!(duplicates.len(), super::MOST);
    let many =
        |value: Value| (0..1000).map(|n| (n.to_string(), value.clone())).collect::<serde_json::Map<_, _>>();
    let mut pod = json!({"metadata": {"labels": many(json!(1))}, "spec": many(json!(1))});
    let mut found = super::fields::Findings::default();
    found.object(table::root(&kind::POD), &mut pod, "");
    assert_eq!((found.faults.len(), found.unknown.len()), (super::MOST, super::MOST));
}

#[test]
fn what_is_stored_can_be_read_again_within_lists() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({"a": inner}));
    let revision = |depth| json!({"data": nested(depth)});
    let checked = |depth| check(&kind::CONTROLLER_REVISION, revision(depth), FieldValidation::Strict);
    assert!(checked(super::MOST_DEPTH - 1).is_ok());
    let refused = checked(super::MOST_DEPTH).expect_err("too deep").to_string();
    assert_eq!(refused, ": its lists and objects stand in each other more than 100 deep");
}

proptest! {
    #[test]
    fn decoding_what_is_valid_changes_nothing(seed: u64, which in 0..kind::ALL.len()) {
        let kind = kind::ALL[which];
        let value = Grower(seed).object(table::root(kind), 0);
        let bytes = value.to_string();
        let decoded = from_json(kind, bytes.as_bytes(), FieldValidation::Strict).expect("it is valid");
        prop_assert_eq!(&decoded.value, &value);
        prop_assert!(decoded.warnings.is_empty());
    }

    #[test]
    fn defaults_are_valid_and_filled_in_once(seed: u64, which in 0..kind::ALL.len()) {
        let kind = kind::ALL[which];
        let mut value = Grower(seed).object(table::root(kind), 0);
        apply_defaults(kind, &mut value);
        let once = check(kind, value.clone(), FieldValidation::Strict).expect("defaults have the right types").value;
        prop_assert_eq!(&once, &value);
        apply_defaults(kind, &mut value);
        prop_assert_eq!(&once, &value);
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in ".{0,64}") {
        let _ = from_json(&kind::POD, text.as_bytes(), FieldValidation::Warn);
    }
}
