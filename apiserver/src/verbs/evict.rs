//! `POST pods/NAME/eviction`: deletes a pod, as `kubectl drain` does. There are no budgets that could refuse it.

use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::quote;
use orlop_registry::DeleteOptions;
use serde_json::{Value, json};

use crate::{
    body,
    failure::Failure,
    reply::{self, Body},
    router::Call,
};

const API_VERSION: &str = "policy/v1";

pub(crate) async fn run(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let (key, dry_run) = (super::key(call)?, call.dry_run()?);
    let value = read(call.headers, incoming).await?;
    super::create::same_namespace(&value, &key.namespace)?;
    if let Some(found) =
        value["metadata"]["name"].as_str().filter(|name| !name.is_empty() && *name != key.name)
    {
        return Err(Failure::bad_request(format!(
            "name in URL does not match name in Eviction object: it is {:?} and {:?}",
            key.name,
            quote::text(found)
        )));
    }
    let options = match &value["deleteOptions"] {
        Value::Null => DeleteOptions::default(),
        options => super::delete::from_body(options)?,
    };
    let options = DeleteOptions { dry_run: dry_run || options.dry_run, ..options };
    let writer = call.writer();
    super::persistent(|| call.server.registry.evict(&key, &options, &writer)).await?;
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(reply::json(StatusCode::CREATED, &status))
}

/// The Eviction; an empty body is one that says nothing.
async fn read(headers: &HeaderMap, incoming: Incoming) -> Result<Value, Failure> {
    let bytes = body::read(incoming).await?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    let value = body::any(headers, &bytes, body::EVICTION)?;
    let kind = value["kind"].as_str().unwrap_or("Eviction");
    if kind != "Eviction" || !value.is_object() {
        let kind = quote::text(kind);
        return Err(Failure::bad_request(format!("the body must be an Eviction, not {kind}")));
    }
    match value["apiVersion"].as_str() {
        None | Some("" | API_VERSION) => Ok(value),
        Some(other) => Err(Failure::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({API_VERSION})",
            quote::text(other)
        ))),
    }
}
