//! Patching an object, or its status: merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch.
//!
//! The registry runs the patch again when somebody else was faster; only a patch that carries a `resourceVersion` can
//! conflict.

mod operations;

use std::sync::{Mutex, PoisonError};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::{FieldError, Key, decode::FieldValidation, patch::strategic};
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
        "application/json-patch+json" => operations::read(bytes).map(Patch::Json),
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
        Patch::Json(patch) => operations::apply(key, value, patch),
    }
}

fn invalid(key: &Key, error: FieldError) -> Error {
    Error::Invalid { key: key.clone(), causes: vec![error] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_holds_no_more_objects_than_what_it_patches() {
        for form in ["merge-patch", "strategic-merge-patch"] {
            let media_type = format!("application/{form}+json");
            let body =
                |objects: usize| format!("{{\"status\":{{\"images\":[{}{{}}]}}}}", "{},".repeat(objects - 3));
            assert!(parse(&media_type, body(20_000).as_bytes()).is_ok());
            let refused = parse(&media_type, body(20_001).as_bytes()).expect_err("it is too much");
            assert_eq!(refused.code, StatusCode::PAYLOAD_TOO_LARGE, "{}", refused.message);
            let words = "the body is too large: it holds more than 20000 objects of JSON; make several of it";
            assert_eq!(refused.message, words);
        }
    }

    #[test]
    fn a_json_patch_holds_no_more_objects_either() {
        let value = "{},".repeat(20_000);
        let patch = format!("[{{\"op\":\"add\",\"path\":\"/x\",\"value\":[{value}{{}}]}}]");
        let refused = parse("application/json-patch+json", patch.as_bytes()).expect_err("it is too much");
        assert!(refused.message.contains("more than 20000 objects"), "{}", refused.message);
    }
}
