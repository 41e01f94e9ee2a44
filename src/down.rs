//! `orlop down`: stops all pods, unmounts and detaches everything of one Orlop, and leaves the data.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    Wrap,
    home::{self, Home},
    machine, node, process,
    say::say,
};

/// How long a running Orlop may take to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// One path for both cases: a running Orlop is asked to stop first, then the machine is cleared from journal and kernel.
pub(crate) fn run(dir: &Path, wrap: Wrap<'_>) -> Result<()> {
    machine::require_root("down")?;
    if home::is_ours(dir) && home::stop_running(dir, PATIENCE)? {
        say!("stopped orlop");
    }
    let home = Home::existing(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let parts = node::parts(&home, &node::Life::End, wrap)?;
    let down = orlop_nodeagent::teardown(parts);
    let report = process::to_its_end(runtime, down).context("take everything down")?;
    say!("{report}");
    anyhow::ensure!(report.is_clean(), "not everything could be taken down");
    Ok(())
}
