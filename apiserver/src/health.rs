//! `/readyz`, `/livez`, `/healthz`, `/version`: the server about itself.

use http::{Response, StatusCode};
use orlop_store::Store;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    query::Query,
    reply::{self, Body},
};

/// A thing to check, by name; the reason when it fails.
type Check = (&'static str, fn(&Store) -> Result<(), String>);

const PING: Check = ("ping", |_| Ok(()));
const STORE: Check = ("store", |store| store.health().map_err(|error| error.to_string()));

/// Answers `readyz`, `readyz/store`, … A store that takes no writes makes the server unready, not dead: reads and
/// containers go on.
pub(crate) fn respond(path: &str, query: &Query<'_>, store: &Store) -> Result<Response<Body>, Failure> {
    let (which, one) = path.split_once('/').unwrap_or((path, ""));
    let all: &[Check] = if which == "livez" { &[PING] } else { &[PING, STORE] };
    let mut checks: Vec<Check> = all.to_vec();
    if !one.is_empty() {
        checks.retain(|(name, _)| *name == one);
    }
    if checks.is_empty() {
        return Err(Failure::no_such_path());
    }
    checks.retain(|(name, _)| !query.all("exclude").any(|excluded| excluded == *name));
    let (mut lines, mut healthy) = (String::new(), true);
    for (name, check) in checks {
        match check(store) {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => {
                healthy = false;
                lines.push_str(&format!("[-]{name} failed: {reason}\n"));
            }
        }
    }
    Ok(match healthy {
        true if !query.has("verbose") => reply::text(StatusCode::OK, "ok"),
        true => reply::text(StatusCode::OK, format!("{lines}{which} check passed\n")),
        false => reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{which} check failed\n")),
    })
}

/// `/version`: the level of the API, with our own version behind it.
pub(crate) fn version() -> Value {
    let platform = format!(
        "{}/{}",
        std::env::consts::OS,
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    );
    json!({
        "major": "1", "minor": "36", "gitVersion": concat!("v1.36.0+orlop.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": platform,
    })
}
