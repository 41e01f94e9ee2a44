//! `make compose-demo` on a kernel that has an NFS client, and version 2 of cgroups: Docker and the whole cluster inside one
//! guest. The demo fails when what it tells does not happen; its transcript is printed.
#![allow(clippy::disallowed_methods, reason = "what the guest is given is made by programs of this machine")]

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster,
    guest::{Lab, Shape},
    machine,
};

const TEST: &str = "vm_the_compose_demo_writes_from_three_nodes_at_once";
/// Five containers, three of them nodes, on one emulated processor.
const PATIENCE: Duration = Duration::from_secs(45 * 60);

fn there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs a program of the host, here rather than in the guest where it would take minutes.
fn succeeds(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", cluster::said(&output));
    Ok(())
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_the_compose_demo_writes_from_three_nodes_at_once() -> Result<()> {
    if let Some(missing) = ["dockerd", "docker", "docker-compose", "debootstrap"].iter().find(|p| !there(p)) {
        machine::skipped(
            TEST,
            format_args!("there is no {missing} (Debian: docker.io docker-compose debootstrap)"),
        );
        return Ok(());
    }
    let Some(lab) = Lab::open(TEST) else { return Ok(()) };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("e2e lies in the workspace")?;
    let scratch = tempfile::Builder::new().prefix("orlop-compose.").tempdir()?;
    let (orlop, demo) = (scratch.path().join("orlop"), root.join("examples/compose-demo.sh"));
    succeeds(Command::new("strip").arg("--strip-debug").arg("-o").arg(&orlop).arg(cluster::binary()))?;
    succeeds(Command::new("sh").arg(root.join("packaging/image.sh")).arg("--base"))?;
    let shape = Shape { memory: 5120, disks: vec![16 << 10], ..Shape::new("compose", 11) };
    let guest = lab.start(shape)?;
    // Where the plug-ins of docker's command line are: `docker compose` starts much sooner than `docker-compose`, in Python.
    let config = std::env::var("DOCKER_CONFIG").unwrap_or_else(|_| "/root/.docker".to_owned());
    let script = format!(
        "modprobe -a loop nfsv4 && mkfs.ext4 -q /dev/vda && mkdir -p /disk && mount /dev/vda /disk
         export DOCKER_CONFIG={config} TMPDIR=/disk ORLOP_BIN={} DEMO_CLIENT=curl DEMO_PATIENCE=20
         export ORLOP_NODE_GRACE=40s ORLOP_TOLERATION_SECONDS=10 ORLOP_HEALTH_INTERVAL=300s
         set -o pipefail
         bash {} 2>&1 | tee /dev/ttyS0",
        orlop.display(),
        demo.display()
    );
    let told = guest.send(&script)?.wait(PATIENCE)?;
    println!("{}", told.output);
    ensure!(told.code == 0, "the demo ended with {}", told.code);
    for node in ["on-node-1", "on-node-2", "on-node-3"] {
        ensure!(told.output.contains(&format!("{node} writes")), "{node} has not written");
    }
    Ok(())
}
