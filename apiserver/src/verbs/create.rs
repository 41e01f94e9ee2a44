//! Creating an object.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_registry::Door;
use serde_json::Value;

use crate::{authorize, body, failure::Failure, present::Presenter, reply::Body, router::Call};

pub(crate) async fn run(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let dry_run = call.dry_run()?;
    let bytes = body::read(incoming).await?;
    let decoded = body::object(call.target, call.headers, call.query, &bytes)?;
    let namespace = namespace(call, &decoded.value)?;
    let registry = &call.server.registry;
    let (kind, wish) = (call.target.kind, call.attributes("create"));
    let may = |door: &mut Door<'_, '_>, value: &Value| authorize::check_created(door, call.who, wish, value);
    let outcome = registry.create_if(kind, &namespace, decoded.value, &call.writer(), dry_run, may).await?;
    Ok(super::written(&presenter, StatusCode::CREATED, &outcome, decoded.warnings))
}

/// The namespace that the object goes to; path and body must not disagree.
fn namespace(call: &Call<'_>, value: &Value) -> Result<String, Failure> {
    let target = call.target;
    match target.namespace.as_deref() {
        Some(namespace) => {
            same_namespace(value, namespace)?;
            Ok(namespace.to_owned())
        }
        None if target.kind.namespaced => Err(Failure::method_not_allowed()),
        None => Ok(String::new()),
    }
}

/// Refuses a body that names another namespace than the path.
pub(super) fn same_namespace(value: &Value, namespace: &str) -> Result<(), Failure> {
    match value["metadata"]["namespace"].as_str() {
        None | Some("") => Ok(()),
        Some(found) if found == namespace => Ok(()),
        Some(_) => Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}
