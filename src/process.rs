//! What every command that stays shares: its log, its threads, and how it ends.

use std::{io::IsTerminal, time::Duration};

use anyhow::Result;
use tokio::{runtime::Runtime, signal::unix};

/// How long what is under way at the end may take to end as well. A call to a file server that is gone never does.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// Runs `work` to its end, with what it logs on standard error.
pub(crate) fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    log_to_standard_error();
    // Two threads serve a laptop's cluster; what blocks has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    to_its_end(runtime, work)
}

/// Answers what `work` answers, also while a thread is stuck in a call: dropping the runtime would wait for that.
pub(crate) fn to_its_end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let answer = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_CALLS);
    answer
}

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn until_stopped() -> Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Standard output belongs to people and scripts; what happens meanwhile goes to standard error.
fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ORLOP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Colours are for people: a log file is read by other programs too.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
