//! One request: identity, path, permission, verb, answer.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use orlop_registry::Who;

use crate::{
    Identity,
    failure::Failure,
    path::{self, Route, Target},
    query::Query,
    reply::{self, Body},
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
    match work.await {
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
    let Some(who) = who else { return Err(Failure::unauthorized()) };
    match route? {
        Route::Objects(target) => {
            let call = Call { server, who, target: &target, query: &query, headers: &head.headers };
            objects(&call, &head.method, body).await
        }
        _ => Err(Failure::no_such_path()),
    }
}

async fn objects(call: &Call<'_>, method: &Method, body: Incoming) -> Result<Response<Body>, Failure> {
    let named = call.target.name.is_some();
    match (method.as_str(), named, call.target.sub()) {
        ("GET" | "HEAD", _, "") if call.query.flag("watch")? => verbs::watch::run(call),
        ("GET" | "HEAD", false, _) => verbs::list::run(call),
        ("GET" | "HEAD", true, "" | "status") => verbs::get::run(call),
        ("POST", false, _) => verbs::create::run(call, body).await,
        ("PUT", true, "" | "status") => verbs::replace::run(call, body).await,
        ("PATCH", true, "" | "status") => verbs::patch::run(call, body).await,
        ("DELETE", true, "") => verbs::delete::run(call, body).await,
        _ => Err(Failure::method_not_allowed()),
    }
}
