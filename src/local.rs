//! Commands that ask the running server of a data directory, over its socket.

use std::path::Path;

use anyhow::{Context, Result};
use orlop_client::{Client, UnixTransport};

use crate::home;

/// Runs `work` with a client of the server whose data directory `dir` is.
pub(crate) fn ask(dir: &Path, work: impl AsyncFnOnce(Client) -> Result<()>) -> Result<()> {
    home::require_ours(dir)?;
    let socket = dir.join("api.sock");
    // Nobody but root may look into the directory, and a server that was killed leaves its socket behind.
    std::os::unix::net::UnixStream::connect(&socket).with_context(|| {
        format!(
            "no server answers at {}: this command asks a running `orlop up` or `orlop server`, on its own machine and as \
             root; name its data directory with --data-dir",
            socket.display()
        )
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(Client::new(std::sync::Arc::new(UnixTransport::new(socket)))))
}
