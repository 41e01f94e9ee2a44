//! One room per verb. Each reads its parameters, calls the registry or reads a snapshot, and presents the outcome.

pub(crate) mod bind;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod evict;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod patch;
pub(crate) mod replace;
pub(crate) mod scale;
pub(crate) mod watch;

use std::time::Duration;

use http::{Response, StatusCode};
use orlop_objects::Key;
use orlop_registry::{Door, Error, Outcome, Part};
use orlop_store as store;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    authorize,
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

/// Carries out a change of the main part under what its author may change; a status has no such bounds.
fn checked(
    call: &Call<'_>,
    key: &Key,
    old: Value,
    change: impl FnOnce(Value) -> Result<Value, Error>,
) -> Result<Value, Error> {
    match part(call) {
        Part::Status => change(old),
        _ => authorize::checked_change(call.who, key, old, change),
    }
}

/// Whether the author of a change still may make it, asked within its transaction: a body may have taken long, and what was a
/// node's when the request began need not be when the change is decided.
fn still_may(call: &Call<'_>, verb: &str, door: &mut Door<'_, '_>) -> Result<(), Error> {
    authorize::check_again(door, call.who, call.attributes(verb))
}

/// How long a write that others keep overtaking is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does a write again that lost every race of its transaction: in a crowd around one object a batch of the store lets
/// one through, and the transaction's own reruns may not be enough. What fails for any other reason fails at once.
async fn persistent<F: Future<Output = Result<Outcome, Error>>>(
    write: impl Fn() -> F,
) -> Result<Outcome, Error> {
    let (start, mut pause) = (Instant::now(), 1);
    loop {
        match write().await {
            Err(Error::Store(store::Error::Conflict)) if start.elapsed() < PATIENCE => {}
            outcome => return outcome,
        }
        // Random pauses dissolve the crowd; any uuid is random enough.
        let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        tokio::time::sleep(Duration::from_millis(1 + random * pause / 256)).await;
        pause = (pause * 2).min(64);
    }
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
