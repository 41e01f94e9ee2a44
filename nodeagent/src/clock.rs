//! The one place where the agent reads the clock, and how times are written.

use jiff::Timestamp;
use tokio::time::Instant;

/// Now, by the wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// RFC 3339 in UTC with seconds, as Kubernetes writes times.
pub(crate) fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 3339 in UTC with microseconds (`MicroTime`).
pub(crate) fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The monotonic instant at which the wall clock will show `at`.
pub(crate) fn instant(at: Timestamp) -> Instant {
    let left = at.duration_since(now());
    Instant::now() + std::time::Duration::try_from(left).unwrap_or_default()
}
