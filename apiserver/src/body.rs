//! Request bodies: read up to a limit, decoded from JSON, YAML or protobuf, checked against the path.

mod protobuf;

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use orlop_objects::{
    Kind,
    decode::{self, FieldValidation},
    quote,
};
use serde_json::Value;

use crate::{events, failure::Failure, path::Target, query::Query};

/// The longest body, as in Kubernetes.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;
/// How long a body may take: who sends slower holds a connection that others need.
const DEADLINE: Duration = Duration::from_secs(30);

/// Types of bodies that are no kind's objects, by their short names in the schema table.
pub(crate) const DELETE_OPTIONS: &str = "meta.v1.DeleteOptions";
pub(crate) const BINDING: &str = "core.v1.Binding";
pub(crate) const EVICTION: &str = "policy.v1.Eviction";
pub(crate) const SCALE: &str = "autoscaling.v1.Scale";
pub(crate) const ACCESS_REVIEW: &str = "authorization.v1.SelfSubjectAccessReview";
pub(crate) const SUBJECT_REVIEW: &str = "authentication.v1.SelfSubjectReview";
#[cfg(test)]
const MESSAGES: [&str; 6] = [DELETE_OPTIONS, BINDING, EVICTION, SCALE, ACCESS_REVIEW, SUBJECT_REVIEW];

/// A decoded body with what was left out of it.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

/// Reads a whole body.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, Failure> {
    let whole = tokio::time::timeout(DEADLINE, Limited::new(body, LIMIT).collect());
    let Ok(whole) = whole.await else {
        let seconds = DEADLINE.as_secs();
        return Err(Failure::too_slow(format!(
            "the request body did not come within {seconds} s; send it again"
        )));
    };
    match whole {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::too_large(format!("Request entity too large: limit is {LIMIT} bytes")))
        }
        Err(error) => Err(Failure::bad_request(format!("the request body broke off: {error}"))),
    }
}

/// The media type of a body, without parameters; empty where none is given.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let text = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// What becomes of unknown and duplicate fields: `?fieldValidation=`. Kubernetes warns unless told otherwise.
pub(crate) fn validation(query: &Query<'_>) -> Result<FieldValidation, Failure> {
    match query.get("fieldValidation") {
        None | Some("Warn") => Ok(FieldValidation::Warn),
        Some("Strict") => Ok(FieldValidation::Strict),
        Some("Ignore") => Ok(FieldValidation::Ignore),
        Some(other) => Err(Failure::bad_request(format!(
            "query parameter fieldValidation: \"{other}\" is none of Strict, Warn, Ignore"
        ))),
    }
}

/// Decodes an object for a target, in the form that is stored.
pub(crate) fn object(
    target: &Target<'_>,
    headers: &HeaderMap,
    query: &Query<'_>,
    bytes: &[u8],
) -> Result<Decoded, Failure> {
    let validation = validation(query)?;
    if target.shown == target.kind && matches!(media_type(headers), "" | "application/json") {
        let decoded =
            decode::from_json(target.kind, bytes, validation).map_err(|f| undecodable(target.kind, &f))?;
        let mut value = decoded.value;
        check_type(target.shown, &mut value)?;
        return Ok(Decoded { value, warnings: decoded.warnings });
    }
    if media_type(headers) == protobuf::MEDIA_TYPE {
        let (value, unknown) = protobuf::object(target.shown, bytes)?;
        return stored(target, value, unknown, validation);
    }
    let mut value = text(headers, bytes)?;
    check_type(target.shown, &mut value)?;
    checked(target, value, validation)
}

/// Checks a value that is there already, as after a patch, and brings it into the form that is stored.
pub(crate) fn checked(
    target: &Target<'_>,
    value: Value,
    validation: FieldValidation,
) -> Result<Decoded, Failure> {
    stored(target, value, Vec::new(), validation)
}

/// The same, where the reader has left out fields already.
fn stored(
    target: &Target<'_>,
    value: Value,
    unknown: Vec<String>,
    validation: FieldValidation,
) -> Result<Decoded, Failure> {
    let value = if target.shown == target.kind { value } else { events::from_shown(value) };
    let decoded = decode::check_rest(target.kind, value, unknown, validation);
    let decoded = decoded.map_err(|f| undecodable(target.kind, &f))?;
    Ok(Decoded { value: decoded.value, warnings: decoded.warnings })
}

/// Decodes a body that is no kind's object: options, bindings, reviews. Its type is needed where it is protobuf.
pub(crate) fn any(headers: &HeaderMap, bytes: &[u8], type_name: &str) -> Result<Value, Failure> {
    if media_type(headers) == protobuf::MEDIA_TYPE {
        return protobuf::any(type_name, bytes);
    }
    text(headers, bytes)
}

/// The forms that say by themselves what they are.
fn text(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Failure> {
    match media_type(headers) {
        "" | "application/json" => json(bytes),
        "application/yaml" | "application/x-yaml" | "text/yaml" => yaml(bytes),
        other => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf; it was \"{other}\""
        ))),
    }
}

/// Parses JSON of no kind: a patch, options. No more of it is made than an object of a kind may hold.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, Failure> {
    decode::value(bytes).map_err(|failure| match failure {
        decode::Failure::TooMany(_) => Failure::too_large(format!("the body is too large: {failure}")),
        other => Failure::bad_request(format!("the body is not valid JSON: {other}")),
    })
}

/// Parses YAML as Kubernetes does: version 1.1 booleans (`yes`, `on`) and octals (`0644`); duplicate keys and
/// documents behind the first are errors.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Value, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Failure::bad_request(format!("the body is not UTF-8: {e}")))?;
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        strict_booleans: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| match e.without_snippet() {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            Failure::bad_request("the body holds more than one YAML document: send one object per request")
        }
        _ => Failure::bad_request(format!("the body is not valid YAML: {e}")),
    })
}

fn undecodable(kind: &Kind, failure: &decode::Failure) -> Failure {
    let (version, name) = (kind.version, kind.kind);
    match failure {
        decode::Failure::Syntax(text) => Failure::bad_request(format!("the body is not valid JSON: {text}")),
        fields => Failure::bad_request(format!(
            "{name} in version \"{version}\" cannot be handled as a {name}: {fields}"
        )),
    }
}

/// Fills in `apiVersion` and `kind` where absent, and refuses others than the path's.
pub(crate) fn check_type(kind: &Kind, value: &mut Value) -> Result<(), Failure> {
    let Value::Object(fields) = value else {
        return Err(Failure::bad_request(format!(
            "the body must be an object: a {} as JSON or YAML",
            kind.kind
        )));
    };
    let expected = kind.api_version();
    for (field, expected) in [("apiVersion", expected.as_str()), ("kind", kind.kind)] {
        match fields.get(field) {
            None | Some(Value::Null) => {
                fields.insert(field.to_owned(), expected.into());
            }
            Some(Value::String(found)) if found == expected => {}
            Some(Value::String(found)) if found.is_empty() => {
                fields.insert(field.to_owned(), expected.into());
            }
            Some(found) => {
                let what = if field == "kind" { "kind" } else { "API version" };
                let found = quote::value(found);
                return Err(Failure::bad_request(format!(
                    "the {what} in the data ({found}) does not match the expected {what} ({expected})"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_sent_is_not_sent_back_whole() {
        let long = "x".repeat(10_000);
        for sent in [json!({"kind": long}), json!({"apiVersion": [long]})] {
            let refused = check_type(&orlop_objects::kind::POD, &mut sent.clone()).expect_err("is none");
            assert!(refused.message.contains("xxx…") && refused.message.len() < 200, "{}", refused.message);
        }
        let envelope = [b"k8s\0".as_slice(), b"\x0a\x66\x12\x64", "x".repeat(100).as_bytes()].concat();
        let refused = protobuf::any(DELETE_OPTIONS, &envelope).expect_err("is none");
        assert!(refused.message.ends_with("xxx…"), "{}", refused.message);
    }

    #[test]
    fn no_body_holds_more_objects_than_may_be() {
        let many = format!("{{\"dryRun\":[{}{{}}]}}", "{},".repeat(20_000));
        let refused = any(&HeaderMap::new(), many.as_bytes(), DELETE_OPTIONS).expect_err("it is too much");
        assert!(refused.message.contains("more than 20000 objects"), "{}", refused.message);
    }

    /// YAML as Kubernetes' own converter reads it: version 1.1, where it differs from 1.2.
    #[test]
    fn yaml_scalars() {
        let rows = [
            ("a: yes", json!({"a": true})),
            ("a: off", json!({"a": false})),
            ("a: 'yes'", json!({"a": "yes"})),
            ("a: 0644", json!({"a": 0o644})),
            ("a: '0644'", json!({"a": "0644"})),
            ("a: 1e3", json!({"a": 1000.0})),
            ("a: 5Gi", json!({"a": "5Gi"})),
            ("a: 1.36", json!({"a": 1.36})),
            ("a: ~", json!({"a": null})),
            ("a: 2026-01-01", json!({"a": "2026-01-01"})),
            ("a: &x {b: 1}\nc: *x", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("a: |\n  one\n  two\n", json!({"a": "one\ntwo\n"})),
        ];
        for (text, expected) in rows {
            assert_eq!(yaml(text.as_bytes()).ok(), Some(expected), "{text}");
        }
        for text in ["a: 1\na: 2", "a: [", "a: 1\n---\nb: 2", "\u{7f}"] {
            let refused = yaml(text.as_bytes());
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
    }
}
