//! One room per verb. Each reads its parameters, calls the registry or reads a snapshot, and presents the outcome.

pub(crate) mod bind;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod patch;
pub(crate) mod replace;
pub(crate) mod watch;

use http::{Response, StatusCode};
use orlop_objects::Key;
use orlop_registry::{Outcome, Part};

use crate::{
    failure::Failure,
    present::Presenter,
    reply::{self, Body},
    router::Call,
};

/// The key of a request that names an object.
fn key(call: &Call<'_>) -> Result<Key, Failure> {
    call.target.key().ok_or_else(Failure::method_not_allowed)
}

/// Which half a PUT or PATCH may change.
fn part(call: &Call<'_>) -> Part {
    if call.target.sub() == "status" { Part::Status } else { Part::Main }
}

/// The answer to a write.
fn written(
    presenter: &Presenter,
    code: StatusCode,
    outcome: &Outcome,
    mut warnings: Vec<String>,
) -> Response<Body> {
    let mut response = presenter.respond(code, &outcome.object);
    warnings.extend_from_slice(&outcome.warnings);
    reply::warn(&mut response, &warnings);
    response
}
