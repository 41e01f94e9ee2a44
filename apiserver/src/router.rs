//! One request: identity, path, permission, verb, answer.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use orlop_registry::Who;
use serde_json::json;

use crate::{
    Identity,
    authorize::{self, Attributes},
    discovery,
    failure::Failure,
    health, join, openapi,
    path::{self, Joining, Route, Target},
    query::Query,
    reply::{self, Body},
    reviews,
    server::Inner,
    verbs,
};

/// What a verb needs to know about its request.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Arc<Inner>,
    pub(crate) who: &'a Identity,
    pub(crate) target: &'a Target<'a>,
    pub(crate) query: &'a Query<'a>,
    pub(crate) headers: &'a HeaderMap,
}

impl Call<'_> {
    /// The writer, as the registry records it.
    pub(crate) fn writer(&self) -> Who {
        Who { user: self.who.user.clone(), manager: manager(self.query, self.headers) }
    }

    /// The request, as permissions see it.
    pub(crate) fn attributes<'b>(&'b self, verb: &'b str) -> Attributes<'b> {
        Attributes {
            verb,
            kind: self.target.shown,
            subresource: self.target.sub(),
            namespace: self.target.namespace.as_deref().unwrap_or_default(),
            name: self.target.name.as_deref().unwrap_or_default(),
        }
    }

    /// `?dryRun=All`.
    pub(crate) fn dry_run(&self) -> Result<bool, Failure> {
        dry_run(self.query.all("dryRun"))
    }
}

/// Whether a write is only tried; every value but `All` is an error.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Failure> {
    let mut dry = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            let message = format!("dryRun: \"{value}\" is not supported; the one value is All");
            return Err(Failure::bad_request(message));
        }
        dry = true;
    }
    Ok(dry)
}

/// The field manager: as the client names it, else its program's name.
fn manager(query: &Query<'_>, headers: &HeaderMap) -> String {
    let agent = || headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("unknown");
    let name = query.get("fieldManager").unwrap_or_else(|| agent().split('/').next().unwrap_or_default());
    name.chars().filter(|c| !c.is_control()).take(128).collect()
}

/// Answers one request; a panic becomes a 500 and ends nothing else.
pub(crate) async fn answer(
    server: Arc<Inner>,
    who: Option<Arc<Identity>>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let work = AssertUnwindSafe(route(&server, who.as_deref(), &head, body)).catch_unwind();
    let pretty = head.uri.query().is_some_and(|query| query.contains("pretty"));
    match work.await {
        Ok(Ok(response)) if pretty => reply::pretty(response, head.uri.query()).await,
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => reply::failure(&failure),
        Err(_) => {
            tracing::error!(method = %head.method, path = head.uri.path(), "a request made the server panic");
            reply::failure(&Failure::internal("a bug in Orlop; its log says where"))
        }
    }
}

async fn route(
    server: &Arc<Inner>,
    who: Option<&Identity>,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    let route = path::parse(head.uri.path());
    let query = Query::parse(head.uri.query().unwrap_or_default())?;
    let reading = matches!(head.method, Method::GET | Method::HEAD);
    match &route {
        Ok(Route::Version | Route::Health(_)) if !reading => return Err(Failure::method_not_allowed()),
        Ok(Route::Version) => return Ok(reply::json(StatusCode::OK, &health::version())),
        Ok(Route::Health(path)) => return health::respond(path, &query, server.registry.store()),
        Ok(Route::Join(Joining::Join)) if head.method == Method::POST => {
            return join::respond(server, Joining::Join, None, body).await;
        }
        // Whether a path exists is nobody's business who has no name.
        _ => {}
    }
    let Some(who) = who else {
        return Err(Failure::unauthorized());
    };
    join::still_a_node(&server.registry.snapshot(), who)?;
    refuse_impersonation(&head.headers)?;
    match route? {
        Route::Join(which) if head.method == Method::POST => {
            join::respond(server, which, Some(who), body).await
        }
        Route::Join(_) => Err(Failure::method_not_allowed()),
        Route::Objects(target) => {
            let call = Call { server, who, target: &target, query: &query, headers: &head.headers };
            objects(&call, &head.method, body).await
        }
        Route::Review(review) if head.method == Method::POST => {
            reviews::respond(review, who, &server.registry, &head.headers, body).await
        }
        Route::Review(_) => Err(Failure::method_not_allowed()),
        _ if !reading => Err(Failure::method_not_allowed()),
        Route::OpenApi("v2") => Ok(old_schemas(&head.headers)),
        Route::OpenApi(path) => schemas(path, &query),
        discovery => discovery::respond(&discovery, &head.headers),
    }
}

/// Who asks to act as somebody else must not act as himself unnoticed.
fn refuse_impersonation(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("impersonate-user") {
        Some(_) => Err(Failure::bad_request(
            "Orlop does not impersonate yet: leave out --as, and use a kubeconfig of the user",
        )),
        None => Ok(()),
    }
}

/// `/openapi/v3` and what is below it. A document that is asked for by its hash never changes: clients keep it.
fn schemas(path: &str, query: &Query<'_>) -> Result<Response<Body>, Failure> {
    let (version, path) = path.split_once('/').unwrap_or((path, ""));
    if version != "v3" {
        return Err(Failure::no_such_path());
    }
    let index = openapi::index();
    if path.is_empty() {
        return Ok(reply::json(StatusCode::OK, &index));
    }
    let document = openapi::document(path).ok_or_else(Failure::no_such_path)?;
    let bytes = Bytes::from_owner(Shared(document));
    let mut response = reply::typed(StatusCode::OK, reply::JSON, reply::full(bytes));
    let address = index["paths"][path]["serverRelativeURL"].as_str().unwrap_or_default();
    if query.get("hash").is_some_and(|hash| address.ends_with(&format!("hash={hash}"))) {
        let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    }
    Ok(response)
}

/// `/openapi/v2` describes nothing: kubectl falls back to it for a kind that v3 does not know, and only an answer lets it
/// go on to say that there is no such kind.
fn old_schemas(headers: &HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.contains("proto-openapi.spec.v2") {
        let form = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return reply::typed(StatusCode::OK, form, reply::full(openapi::EMPTY_V2));
    }
    let info = json!({"title": "Orlop", "version": env!("CARGO_PKG_VERSION")});
    reply::json(StatusCode::OK, &json!({"swagger": "2.0", "info": info, "paths": {}}))
}

/// A schema document, sent without a copy.
struct Shared(Arc<[u8]>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

async fn objects(call: &Call<'_>, method: &Method, body: Incoming) -> Result<Response<Body>, Failure> {
    let named = call.target.name.is_some();
    let watch = call.query.flag("watch");
    let verb = match (method.as_str(), named) {
        ("GET" | "HEAD", _) if watch && call.target.sub().is_empty() => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(Failure::method_not_allowed()),
    };
    authorize::check(&call.server.registry.snapshot(), call.who, call.attributes(verb))?;
    match (verb, call.target.sub()) {
        ("watch", "") => verbs::watch::run(call),
        ("list", "") => verbs::list::run(call),
        ("get", "" | "status") => verbs::get::run(call),
        ("get", "scale") => verbs::scale::get(call),
        ("update", "scale") => verbs::scale::replace(call, body).await,
        ("patch", "scale") => verbs::scale::patch(call, body).await,
        ("get", "log") => verbs::logs::run(call).await,
        ("create", "") if !named => verbs::create::run(call, body).await,
        ("create", "binding") => verbs::bind::run(call, body).await,
        ("create", "eviction") => verbs::evict::run(call, body).await,
        ("update", "" | "status") => verbs::replace::run(call, body).await,
        ("update", "finalize") => verbs::bind::finalize(call, body).await,
        ("patch", "" | "status") => verbs::patch::run(call, body).await,
        ("delete", "") => verbs::delete::run(call, body).await,
        ("deletecollection", "") => verbs::delete::collection(call, body).await,
        _ => Err(Failure::method_not_allowed()),
    }
}
