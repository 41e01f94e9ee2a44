//! The one image that tests need: busybox, made from Debian's static binary.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::{
    cluster::{Cluster, said},
    member::Member,
};

/// Writes an archive that holds `busybox:latest`.
pub fn write_busybox(archive: &Path) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/busybox-image.sh");
    let output = Command::new("sh").arg(script).arg(archive).output()?;
    ensure!(output.status.success(), "busybox-image.sh: {}", said(&output));
    Ok(())
}

/// Makes `busybox:latest` and loads it.
pub fn load_busybox(cluster: &Cluster) -> Result<()> {
    let archive = cluster.dir().with_file_name("busybox.tar");
    write_busybox(&archive)?;
    cluster.run(&["image", "load", &archive.to_string_lossy()])?;
    Ok(())
}

/// The same on a further node: every node has images of its own.
pub fn load_busybox_on(member: &Member) -> Result<()> {
    let archive = member.dir().with_file_name("busybox.tar");
    write_busybox(&archive)?;
    let output = member.command(&["image", "load", &archive.to_string_lossy()]).output()?;
    ensure!(output.status.success(), "orlop image load: {}", said(&output));
    Ok(())
}
