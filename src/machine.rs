//! The machine: what it must offer before anything is begun, and the way through which all that changes it goes.

use std::sync::Arc;

use anyhow::{Result, bail};
use orlop_backends::host::{Host, NfsServer, Runtime, network::Network};

/// The parts of the seam to Linux.
pub struct Machine {
    /// Files, file systems, loop devices, mounts.
    pub host: Arc<dyn Host>,
    /// Namespaces and containers.
    pub runtime: Arc<dyn Runtime>,
    /// Interfaces, addresses, routes.
    pub network: Arc<dyn Network>,
    /// Exports to other machines.
    pub nfs_server: Arc<dyn NfsServer>,
}

/// Puts something between Orlop and the machine, or hands it on as it is.
pub type Wrap<'a> = &'a dyn Fn(Machine) -> Machine;

/// Mounting, loop devices and containers need root.
pub(crate) fn require_root(command: &str) -> Result<()> {
    require_root_for(command, "it mounts file systems, attaches loop devices and runs containers")
}

/// The same for another reason.
pub(crate) fn require_root_for(command: &str, why: &str) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    bail!("`orlop {command}` needs root: {why}; try `sudo orlop {command}`")
}

/// Programs that volumes and containers need, with the Debian package that holds each.
const PROGRAMS: [(&str, &str); 4] =
    [("runc", "runc"), ("conmon", "conmon"), ("mkfs.ext4", "e2fsprogs"), ("blkid", "util-linux")];

/// Says which programs are missing. Not fatal: whatever needs one says so in an Event as well.
pub(crate) fn tell_missing_programs() {
    missing_programs().iter().for_each(|sentence| tracing::warn!("{sentence}"));
}

fn missing_programs() -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut dirs: Vec<&str> = path.split(':').filter(|d| !d.is_empty()).collect();
    dirs.extend(["/usr/sbin", "/sbin"]);
    PROGRAMS
        .iter()
        .filter(|(program, _)| !dirs.iter().any(|dir| std::path::Path::new(dir).join(program).is_file()))
        .map(|(program, package)| format!("{program} is not installed: install the package {package}"))
        .collect()
}
