//! Two subresources that change one thing: a pod's node, a namespace's finalizers.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::quote;
use orlop_registry::{Error, Part};
use serde_json::{Value, json};

use crate::{
    body,
    failure::Failure,
    present::Presenter,
    reply::{self, Body},
    router::Call,
};

/// `POST pods/NAME/binding`: puts a pod on a node.
pub(crate) async fn run(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let (key, dry_run) = (super::key(call)?, call.dry_run()?);
    let value = body::any(call.headers, &body::read(incoming).await?, body::BINDING)?;
    let found = value["kind"].as_str().unwrap_or("Binding");
    if found != "Binding" {
        let found = quote::text(found);
        return Err(Failure::bad_request(format!("the body must be a Binding, not {found}")));
    }
    super::create::same_namespace(&value, &key.namespace)?;
    let target = &value["target"];
    if !matches!(target["kind"].as_str(), None | Some("" | "Node")) {
        return Err(Failure::bad_request("target.kind: must be Node"));
    }
    let node = target["name"].as_str().unwrap_or_default();
    call.server.registry.bind(&key, node, &call.writer(), dry_run).await?;
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(reply::json(StatusCode::CREATED, &status))
}

/// `PUT namespaces/NAME/finalize`: what still holds a namespace that is being deleted.
pub(crate) async fn finalize(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let (key, dry_run) = (super::key(call)?, call.dry_run()?);
    let bytes = body::read(incoming).await?;
    let mut decoded = body::object(call.target, call.headers, call.query, &bytes)?;
    super::replace::check_name(&mut decoded.value, &key)?;
    let new = decoded.value;
    let change = |mut old: Value| -> Result<Value, Error> {
        let finalizers = new["spec"].get("finalizers").cloned().unwrap_or_else(|| json!([]));
        old["spec"]["finalizers"] = finalizers;
        // A version in the body is a precondition.
        if let Some(version) = new["metadata"].get("resourceVersion") {
            old["metadata"]["resourceVersion"] = version.clone();
        }
        Ok(old)
    };
    let outcome = call.server.registry.change(&key, Part::Whole, &call.writer(), dry_run, change).await?;
    Ok(super::written(&presenter, StatusCode::OK, &outcome, decoded.warnings))
}
