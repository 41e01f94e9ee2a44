//! What this machine must offer before anything is begun.

use anyhow::{Result, bail};

/// Mounting, loop devices and containers need root.
pub(crate) fn require_root(command: &str) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    bail!(
        "`orlop {command}` needs root: it mounts file systems, attaches loop devices and runs containers; try `sudo orlop {command}`"
    )
}

/// Programs that volumes and containers need, with the Debian package that holds each.
const PROGRAMS: [(&str, &str); 4] =
    [("runc", "runc"), ("conmon", "conmon"), ("mkfs.ext4", "e2fsprogs"), ("blkid", "util-linux")];

/// Programs that are missing, as sentences. Not fatal: whatever needs one says so in an Event as well.
pub(crate) fn missing_programs() -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut dirs: Vec<&str> = path.split(':').filter(|d| !d.is_empty()).collect();
    dirs.extend(["/usr/sbin", "/sbin"]);
    PROGRAMS
        .iter()
        .filter(|(program, _)| !dirs.iter().any(|dir| std::path::Path::new(dir).join(program).is_file()))
        .map(|(program, package)| format!("{program} is not installed: install the package {package}"))
        .collect()
}
