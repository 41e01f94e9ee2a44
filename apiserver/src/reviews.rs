//! Questions about oneself: `SelfSubjectAccessReview`, `SelfSubjectReview`. Nothing is stored.

use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::kind;
use orlop_registry::Registry;
use serde_json::{Value, json};

use crate::{
    AUTHENTICATED, Identity, MASTERS,
    authorize::{self, Attributes},
    body, events,
    failure::Failure,
    path::Review,
    reply::{self, Body},
};

/// Answers a review.
pub(crate) async fn respond(
    review: Review,
    who: &Identity,
    registry: &Registry,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Response<Body>, Failure> {
    let type_name = match review {
        Review::Access => body::ACCESS_REVIEW,
        Review::Subject => body::SUBJECT_REVIEW,
    };
    let mut value = body::any(headers, &body::read(incoming).await?, type_name)?;
    if !value.is_object() {
        return Err(Failure::bad_request("the body must be an object"));
    }
    for (_, group, _, kind) in Review::ALL.into_iter().filter(|(which, ..)| *which == review) {
        value["apiVersion"] = format!("{group}/v1").into();
        value["kind"] = kind.into();
    }
    value["status"] = match review {
        Review::Subject => {
            let groups: Vec<_> = who.groups.iter().map(String::as_str).chain([AUTHENTICATED]).collect();
            json!({"userInfo": {"username": who.user, "groups": groups}})
        }
        Review::Access => access(who, registry, &value["spec"]),
    };
    Ok(reply::json(StatusCode::CREATED, &value))
}

fn access(who: &Identity, registry: &Registry, spec: &Value) -> Value {
    let wish = &spec["resourceAttributes"];
    if !wish.is_object() {
        // Paths that are no resources are open to everybody with a name.
        return json!({"allowed": spec["nonResourceAttributes"].is_object()});
    }
    if who.is_in(MASTERS) {
        return json!({"allowed": true});
    }
    let text = |field: &str| wish[field].as_str().unwrap_or_default();
    let (group, plural) = (text("group"), text("resource"));
    let shown = (group == events::SHOWN.group && plural == events::SHOWN.plural).then_some(&events::SHOWN);
    let Some(kind) = kind::by_plural(group, plural).or(shown) else {
        return json!({"allowed": false, "reason": "there is no such resource"});
    };
    let wish = Attributes {
        verb: text("verb"),
        kind,
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
    };
    match authorize::decide(&registry.snapshot(), who, wish) {
        Ok(()) => json!({"allowed": true}),
        Err(reason) => json!({"allowed": false, "reason": reason}),
    }
}
