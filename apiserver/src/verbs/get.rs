//! Reading one object.

use http::{Response, StatusCode};

use crate::{failure::Failure, present::Presenter, reply::Body, router::Call};

pub(crate) fn run(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let key = super::key(call)?;
    let object = call.server.registry.snapshot().get(&key);
    let object = object.ok_or_else(|| Failure::not_found(call.target.shown, &key.name))?;
    Ok(presenter.respond(StatusCode::OK, &object))
}
