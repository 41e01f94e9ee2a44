//! The one place where the agent reads the clock, and how times are written.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use orlop_backends::host::Process;
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

/// Clock ticks per second in `/proc` (USER_HZ, the same on every architecture that Linux runs on today).
const TICKS: u64 = 100;

/// When a process started, by the kernel's own record.
pub(crate) fn start_of(process: Process) -> Timestamp {
    static BOOT: OnceLock<Timestamp> = OnceLock::new();
    let boot = *BOOT.get_or_init(|| {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
        let seconds = line.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        Timestamp::from_second(seconds).unwrap_or_default()
    });
    let after =
        SignedDuration::from_millis(i64::try_from(process.started * 1000 / TICKS).unwrap_or_default());
    boot.checked_add(after).unwrap_or(boot)
}
