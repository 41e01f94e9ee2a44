//! Bodies in Kubernetes' protobuf, as typed clients send them: `kubectl create deployment`, Helm, the CSI sidecars.
//! Answers are JSON, which the same clients take.

use orlop_objects::{
    Kind,
    protobuf::{self, Envelope, Error},
    quote,
    schema::table,
};
use serde_json::{Map, Value};

use super::check_type;
use crate::failure::Failure;

pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// An object of `kind`, and where fields are that the table lacks.
pub(super) fn object(kind: &'static Kind, bytes: &[u8]) -> Result<(Value, Vec<String>), Failure> {
    let envelope = Envelope::open(bytes).map_err(|e| unreadable(&e))?;
    let mut said = type_meta(&envelope);
    // What the message is must be known before it can be read.
    check_type(kind, &mut said)?;
    let message = protobuf::read(table::root(kind), &envelope).map_err(|e| unreadable(&e))?;
    Ok((joined(said, message.value), message.unknown))
}

/// A message that is no kind's object, by the short name of its type: `meta.v1.DeleteOptions`.
pub(super) fn any(type_name: &str, bytes: &[u8]) -> Result<Value, Failure> {
    let root = table::short(type_name).expect("a test reads every type that the callers name");
    let expected = type_name.rsplit('.').next().unwrap_or_default();
    let envelope = Envelope::open(bytes).map_err(|e| unreadable(&e))?;
    if !envelope.kind.is_empty() && envelope.kind != expected {
        let found = quote::text(envelope.kind);
        return Err(Failure::bad_request(format!(
            "the body must be a message of {expected}, not of {found}"
        )));
    }
    let message = protobuf::read(root, &envelope).map_err(|e| unreadable(&e))?;
    Ok(joined(type_meta(&envelope), message.value))
}

fn type_meta(envelope: &Envelope<'_>) -> Value {
    let said = [("apiVersion", envelope.api_version), ("kind", envelope.kind)];
    let said = said.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(field, text)| (field.to_owned(), Value::from(text))).collect::<Map<_, _>>().into()
}

fn joined(mut said: Value, message: Value) -> Value {
    if let (Value::Object(said), Value::Object(message)) = (&mut said, message) {
        said.extend(message);
    }
    said
}

fn unreadable(error: &Error) -> Failure {
    Failure::bad_request(format!("the body is not valid protobuf: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `v1 DeleteOptions` with a grace of 0 s.
    const DELETE: &[u8] = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x02\x08\x00";

    #[test]
    fn every_type_that_is_asked_for_is_in_the_table() {
        for name in super::super::MESSAGES {
            assert!(table::short(name).is_some(), "{name}");
        }
    }

    #[test]
    fn another_kind_is_refused_before_it_is_read() {
        let read = any("meta.v1.DeleteOptions", DELETE).expect("it is one");
        assert_eq!(read, json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}));
        let refused = any("policy.v1.Eviction", DELETE).expect_err("it is another");
        assert_eq!(refused.message, "the body must be a message of Eviction, not of DeleteOptions");
        let refused = object(&orlop_objects::kind::POD, DELETE).expect_err("it is another");
        assert!(refused.message.starts_with("the kind in the data (DeleteOptions)"), "{}", refused.message);
    }
}
