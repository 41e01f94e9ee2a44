//! Bodies as people write them wrongly, and what they are told.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Decoded, Failure, FieldValidation, check, from_json};
use crate::{
    kind,
    schema::{
        apply_defaults,
        table::{self, Leaf, Shape, Type},
    },
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

/// A valid value of any kind, grown out of the table by a seed; `depth` keeps it small.
struct Grower(u64);

impl Grower {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn object(&mut self, ty: &Type, depth: usize) -> Value {
        let mut out = serde_json::Map::new();
        for field in &ty.fields {
            if self.next(if depth > 3 { 12 } else { 3 }) == 0 && depth < 8 {
                out.insert(field.name.to_owned(), self.shape(&field.shape, depth + 1));
            }
        }
        Value::Object(out)
    }

    fn shape(&mut self, shape: &Shape, depth: usize) -> Value {
        let n = self.next(3);
        match shape {
            Shape::Object(ty) => self.object(ty.get(), depth),
            Shape::List(item) => (0..n).map(|_| self.shape(item, depth + 1)).collect(),
            Shape::Map(item) => {
                Value::Object((0..n).map(|k| (format!("k{k}.x/y"), self.shape(item, depth + 1))).collect())
            }
            Shape::Leaf(leaf) => self.leaf(*leaf),
        }
    }

    fn leaf(&mut self, leaf: Leaf) -> Value {
        let n = self.next(1000);
        match leaf {
            Leaf::String => format!("text \"{n}\" ä").into(),
            Leaf::Boolean => (n.is_multiple_of(2)).into(),
            Leaf::Int32 => (i64::from(i32::MIN) + i64::try_from(n).unwrap_or(0)).into(),
            Leaf::Int64 => (i64::MAX - i64::try_from(n).unwrap_or(0)).into(),
            Leaf::Double => json!(0.5),
            Leaf::Bytes => "eA==".into(),
            Leaf::Quantity => {
                if n.is_multiple_of(2) {
                    json!("1Gi")
                } else {
                    json!(n)
                }
            }
            Leaf::Time => "2026-01-31T12:00:00Z".into(),
            Leaf::MicroTime => "2026-01-31T12:00:00.123456Z".into(),
            Leaf::IntOrString => {
                if n.is_multiple_of(2) {
                    json!("25%")
                } else {
                    json!(n)
                }
            }
            Leaf::Raw | Leaf::FieldsV1 | Leaf::Any => json!({"f:a": {".": {}}, "null": null}),
        }
    }
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
