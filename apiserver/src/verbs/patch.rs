//! Patching an object, or its status: merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch.
//!
//! The registry runs the patch again when somebody else was faster; only a patch that carries a `resourceVersion` can
//! conflict.

use std::sync::{Mutex, PoisonError};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use json_patch::PatchOperation;
use orlop_objects::{Cause, FieldError, Key, decode::FieldValidation, patch::strategic};
use orlop_registry::{Door, Error};
use serde_json::Value;

use crate::{
    body::{self, Decoded},
    events,
    failure::Failure,
    path::Target,
    present::Presenter,
    reply::Body,
    router::Call,
};

/// Operations in one JSON patch, as in Kubernetes.
const OPERATIONS: usize = 10_000;
/// How many bytes the `copy` operations of one JSON patch may add.
const GROWTH: usize = body::LIMIT;

/// A parsed patch.
#[derive(Debug)]
pub(super) enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
    Strategic(Value),
}

pub(crate) async fn run(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let (key, dry_run) = (super::key(call)?, call.dry_run()?);
    let validation = body::validation(call.query)?;
    let bytes = body::read(incoming).await?;
    let patch = parse(body::media_type(call.headers), &bytes)?;
    let registry = &call.server.registry;
    let warnings = Mutex::new(Vec::new());
    let apply = |old: Value| {
        let decoded = patched(call.target, &key, &patch, old, validation)?;
        // The last attempt counts: it is the one that is committed.
        *warnings.lock().unwrap_or_else(PoisonError::into_inner) = decoded.warnings;
        Ok(decoded.value)
    };
    let apply = |old: Value| super::checked(call, &key, old, apply);
    let (part, writer) = (super::part(call), call.writer());
    let change = |door: &mut Door<'_, '_>| {
        super::still_may(call, "patch", door)?;
        door.change(&key, part, apply)
    };
    let outcome = super::persistent(|| registry.write(&writer, dry_run, &change)).await?;
    Ok(super::written(&presenter, StatusCode::OK, &outcome, warnings.into_inner().unwrap_or_default()))
}

pub(super) fn parse(media_type: &str, bytes: &[u8]) -> Result<Patch, Failure> {
    match media_type {
        "application/merge-patch+json" => object(bytes).map(Patch::Merge),
        "application/strategic-merge-patch+json" => object(bytes).map(Patch::Strategic),
        "application/json-patch+json" => operations(bytes),
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
            Err(Failure::unsupported_media_type(
                "Orlop does not do server-side apply yet: use `kubectl apply` without --server-side",
            ))
        }
        other => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json; \
             it was \"{other}\""
        ))),
    }
}

fn object(bytes: &[u8]) -> Result<Value, Failure> {
    let patch = body::json(bytes)?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(Failure::bad_request("a merge patch must be a JSON object"))
    }
}

fn operations(bytes: &[u8]) -> Result<Patch, Failure> {
    let patch: json_patch::Patch = serde_json::from_slice(bytes)
        .map_err(|e| Failure::bad_request(format!("the body is not a JSON patch: {e}")))?;
    if patch.0.len() > OPERATIONS {
        return Err(Failure::too_large(format!(
            "the JSON patch has {} operations; {OPERATIONS} are allowed",
            patch.0.len()
        )));
    }
    Ok(Patch::Json(patch))
}

/// One attempt, on the object as it is now.
fn patched(
    target: &Target<'_>,
    key: &Key,
    patch: &Patch,
    old: Value,
    validation: FieldValidation,
) -> Result<Decoded, Error> {
    let old = if target.shown == target.kind { old } else { events::to_shown(old) };
    let mut new = match patch {
        Patch::Strategic(patch) => strategic(target.kind, old, patch).map_err(|e| invalid(key, e))?,
        plain => apply(key, plain, old)?,
    };
    body::check_type(target.shown, &mut new).map_err(|f| Error::BadRequest(f.message))?;
    super::replace::check_name(&mut new, key).map_err(|f| Error::BadRequest(f.message))?;
    body::checked(target, new, validation).map_err(|f| Error::BadRequest(f.message))
}

/// The patch on a value that has no merge rules of its own; a strategic merge is a plain one there.
pub(super) fn apply(key: &Key, patch: &Patch, mut value: Value) -> Result<Value, Error> {
    match patch {
        Patch::Merge(patch) | Patch::Strategic(patch) => {
            json_patch::merge(&mut value, patch);
            Ok(value)
        }
        Patch::Json(patch) => apply_operations(key, value, patch),
    }
}

fn invalid(key: &Key, error: FieldError) -> Error {
    Error::Invalid { key: key.clone(), causes: vec![error] }
}

/// Operations one by one, so that what `copy` adds up to is known before it is done.
fn apply_operations(key: &Key, mut value: Value, patch: &json_patch::Patch) -> Result<Value, Error> {
    let mut grown = 0;
    for operation in &patch.0 {
        if let PatchOperation::Copy(copy) = operation {
            grown += value.pointer(copy.from.as_str()).map_or(0, |copied| copied.to_string().len());
        }
        if grown > GROWTH {
            let message = format!("the copy operations of the JSON patch add more than {GROWTH} bytes");
            return Err(Error::BadRequest(message));
        }
        json_patch::patch(&mut value, std::slice::from_ref(operation))
            .map_err(|e| invalid(key, FieldError::new("patch", Cause::Invalid, e.to_string())))?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;
    use serde_json::json;

    use super::*;

    /// Doubling by `copy` would fill the memory within forty operations.
    #[test]
    fn copies_may_not_add_up_beyond_the_limit() {
        let doubling: Vec<_> =
            (0..40).map(|n| json!({"op": "copy", "from": "", "path": format!("/x{n}")})).collect();
        let patch = serde_json::from_value(json!(doubling)).expect("is a patch");
        let key = Key::new(&kind::CONFIG_MAP, "default", "x");
        let refused = apply_operations(&key, json!({"data": {"a": "1"}}), &patch);
        assert!(
            matches!(&refused, Err(Error::BadRequest(message)) if message.contains("copy operations")),
            "{refused:?}"
        );
    }

    #[test]
    fn there_may_be_ten_thousand_operations() {
        let operations = |count| {
            let test = json!({"op": "test", "path": "/data/a", "value": "1"});
            operations(json!(vec![test; count]).to_string().as_bytes())
        };
        assert!(operations(10_000).is_ok());
        let refused = operations(10_001).expect_err("is too long");
        assert_eq!(refused.message, "the JSON patch has 10001 operations; 10000 are allowed");
    }
}
