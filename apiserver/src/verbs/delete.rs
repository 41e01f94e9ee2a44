//! Deleting an object, or a collection.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::quote;
use orlop_registry::{DeleteOptions, Door, Error, Outcome};
use serde_json::{Value, json};

use crate::{
    body,
    failure::{Details, Failure},
    filter::Filter,
    present::Presenter,
    query::Query,
    reply::{self, Body},
    router::{self, Call},
};

pub(crate) async fn run(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let key = super::key(call)?;
    let options = options(call, incoming).await?;
    let writer = call.writer();
    let delete = |door: &mut Door<'_, '_>| {
        super::still_may(call, "delete", door)?;
        door.delete(&key, &options)
    };
    let outcome = super::persistent(|| call.server.registry.write(&writer, options.dry_run, delete)).await?;
    if outcome.gone {
        return Ok(reply::json(StatusCode::OK, &success(call, &outcome)));
    }
    Ok(super::written(&presenter, StatusCode::OK, &outcome, Vec::new()))
}

/// Deletes what a list with the same parameters would show; answers that list. What somebody else deletes meanwhile is
/// gone just as well.
pub(crate) async fn collection(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let filter = Filter::new(call.target, call.query)?;
    let options = options(call, incoming).await?;
    let snapshot = call.server.registry.snapshot();
    let all = snapshot.list(call.target.kind, filter.namespace.as_deref(), None);
    let doomed: Vec<_> =
        all.filter(|object| filter.matches(object)).map(|object| object.key.clone()).collect();
    let (mut deleted, writer) = (Vec::new(), call.writer());
    for key in doomed {
        match super::persistent(|| call.server.registry.delete(&key, &options, &writer)).await {
            Ok(outcome) => deleted.push(outcome.object),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(super::list::whole(presenter, call.server.registry.snapshot().revision(), deleted))
}

/// What a client is told about an object that is gone.
fn success(call: &Call<'_>, outcome: &Outcome) -> Value {
    let kind = call.target.shown;
    let details = Details {
        name: outcome.object.key.name.clone(),
        group: kind.group.to_owned(),
        kind: kind.plural.to_owned(),
        uid: outcome.object.meta.uid.clone(),
        ..Details::default()
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details.value()})
}

/// The options, from the body where there is one, else from the query.
async fn options(call: &Call<'_>, incoming: Incoming) -> Result<DeleteOptions, Failure> {
    let bytes = body::read(incoming).await?;
    if bytes.is_empty() {
        return from_query(call.query);
    }
    let value = body::any(call.headers, &bytes, body::DELETE_OPTIONS)?;
    from_body(&value)
}

pub(super) fn from_query(query: &Query<'_>) -> Result<DeleteOptions, Failure> {
    let propagation = match (query.get("propagationPolicy"), query.flag("orphanDependents")) {
        (Some(policy), _) => Some(policy.to_owned()),
        (None, orphan) => query.has("orphanDependents").then(|| orphaning(orphan)),
    };
    checked(DeleteOptions {
        grace: query.number("gracePeriodSeconds")?,
        dry_run: router::dry_run(query.all("dryRun"))?,
        propagation,
        ..DeleteOptions::default()
    })
}

fn orphaning(orphan: bool) -> String {
    if orphan { "Orphan" } else { "Background" }.to_owned()
}

pub(super) fn from_body(value: &Value) -> Result<DeleteOptions, Failure> {
    let kind = value["kind"].as_str().unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        let kind = quote::text(kind);
        return Err(Failure::bad_request(format!("the body of a DELETE must be DeleteOptions, not {kind}")));
    }
    let preconditions = &value["preconditions"];
    let revision = preconditions["resourceVersion"].as_str().map(|text| {
        text.parse().map_err(|_| {
            let text = quote::text(text);
            Failure::bad_request(format!("preconditions.resourceVersion: \"{text}\" is no version"))
        })
    });
    let dry_run = value["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
    checked(DeleteOptions {
        grace: value["gracePeriodSeconds"].as_i64(),
        uid: preconditions["uid"].as_str().map(str::to_owned),
        revision: revision.transpose()?,
        dry_run: router::dry_run(dry_run)?,
        propagation: match (value["propagationPolicy"].as_str(), value["orphanDependents"].as_bool()) {
            (Some(policy), _) => Some(policy.to_owned()),
            (None, orphan) => orphan.map(orphaning),
        },
    })
}

fn checked(options: DeleteOptions) -> Result<DeleteOptions, Failure> {
    if options.grace.is_some_and(|seconds| seconds < 0) {
        return Err(Failure::bad_request("gracePeriodSeconds: must not be negative"));
    }
    match options.propagation.as_deref() {
        None | Some("Orphan" | "Background" | "Foreground") => Ok(options),
        Some(other) => Err(Failure::bad_request(format!(
            "propagationPolicy: \"{}\" is none of Orphan, Background, Foreground",
            quote::text(other)
        ))),
    }
}
