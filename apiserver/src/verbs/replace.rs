//! Replacing an object, or its status.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::{Key, quote};
use orlop_registry::Door;
use serde_json::{Value, json};

use super::create::same_namespace;
use crate::{body, failure::Failure, present::Presenter, reply::Body, router::Call};

pub(crate) async fn run(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let (key, dry_run) = (super::key(call)?, call.dry_run()?);
    let bytes = body::read(incoming).await?;
    let mut decoded = body::object(call.target, call.headers, call.query, &bytes)?;
    check_name(&mut decoded.value, &key)?;
    let registry = &call.server.registry;
    let value = decoded.value;
    let replace = |old: Value| super::checked(call, &key, old, |_| Ok(value.clone()));
    let (part, writer) = (super::part(call), call.writer());
    let change = |door: &mut Door<'_, '_>| {
        super::still_may(call, "update", door)?;
        door.change(&key, part, replace)
    };
    let outcome = super::persistent(|| registry.write(&writer, dry_run, change)).await?;
    Ok(super::written(&presenter, StatusCode::OK, &outcome, decoded.warnings))
}

/// Refuses a body about another object than the path's, and fills in what it left out.
pub(super) fn check_name(value: &mut Value, key: &Key) -> Result<(), Failure> {
    same_namespace(value, &key.namespace)?;
    match value["metadata"]["name"].as_str() {
        Some(name) if name != key.name && !name.is_empty() => {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                quote::text(name),
                key.name
            )));
        }
        _ => {}
    }
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    value["metadata"]["name"] = key.name.as_str().into();
    if !key.namespace.is_empty() {
        value["metadata"]["namespace"] = key.namespace.as_str().into();
    }
    Ok(())
}
