//! A server that is there already stops for two minutes and comes back: what that means for the pods that use it, for those
//! that do not, and for the node. States are asserted; times are printed, for a guest is emulated.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use orlop_e2e::{
    guest::{
        Guest, Lab, Nodes, Shape,
        probes::{Figures, Probes},
        servers,
    },
    manifests,
};
use serde_json::json;

const CLAIM: &str = "data";
/// How long is measured before the server stops, and how long it is stopped at least.
const BEFORE: Duration = Duration::from_secs(90);
const STOPPED: Duration = Duration::from_secs(120);
/// Writes as long as it can, by as little work as can be.
const WRITER: &str = "echo one >/data/one; while n=$((n+1)); do echo $n >/data/now || exit; sleep 1; done";

/// A claim on the server, by the manifests of the provisioner that everybody has, and a pod that writes to it.
fn write_to(nodes: &Nodes, server: &Guest) -> Result<()> {
    let share = json!({"server": server.address(), "share": "/shared", "archiveOnDelete": "true"});
    let class = json!({"metadata": {"name": "nfs-client"}, "parameters": share,
        "provisioner": "k8s-sigs.io/nfs-subdir-external-provisioner"});
    nodes.create("/apis/storage.k8s.io/v1/storageclasses", &class)?;
    nodes.claim_of_many(CLAIM, "nfs-client", "1Mi")?;
    nodes.pod(&manifests::pod("writer", WRITER, Some(CLAIM)))?;
    nodes.until_pod("writer", "Running")?;
    server.until("the file", "grep -qx one /srv/shared/default-data-pvc-*/one")?;
    let mounted = nodes.node(1).run("grep ' nfs4 ' /proc/self/mountinfo")?;
    ensure!(mounted.contains("vers=4.2") && mounted.contains(",hard,"), "{mounted}");
    Ok(())
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_a_claim_on_a_server_that_stops_and_comes_back() -> Result<()> {
    let Some(lab) = Lab::open("vm_a_claim_on_a_server_that_stops_and_comes_back") else { return Ok(()) };
    let server = lab.start(Shape::new("server", 11))?;
    let nodes = Nodes::start(&lab, 1)?;
    servers::ganesha(&server)?;
    write_to(&nodes, &server)?;
    let (mut probes, mut before, mut during) = (Probes::new(&nodes)?, Figures::default(), Figures::default());
    probes.measure(BEFORE, &mut before)?;

    // The server stops. The writer hangs in the kernel; pods without it start and end.
    server.run("kill -STOP $(cat /run/ganesha.pid)")?;
    let stopped = Instant::now();
    probes.measure(STOPPED / 2, &mut during)?;

    // The pod that uses it goes when it is asked to, and its successor is told what it waits for.
    let begun = Instant::now();
    nodes.delete("pods", "writer")?;
    let deleted = begun.elapsed();
    nodes.pod(&manifests::pod("reader", "grep -qx one /data/one", Some(CLAIM)))?;
    nodes.until_said_of("reader", "does not answer")?;
    probes.measure(STOPPED.saturating_sub(stopped.elapsed()), &mut during)?;

    // It comes back, and everything goes on by itself.
    server.run("kill -CONT $(cat /run/ganesha.pid)")?;
    let (outage, begun) = (stopped.elapsed(), Instant::now());
    nodes.until_pod("reader", "Succeeded")?;
    let recovered = begun.elapsed();
    nodes.delete("pods", "reader")?;
    nodes.delete("persistentvolumeclaims", CLAIM)?;
    server.until("the archive", "grep -qx one /srv/shared/archived-default-data-pvc-*/one")?;
    nodes.node(1).until("nothing mounted", "! grep -q ' nfs4 ' /proc/self/mountinfo")?;

    println!("before, {} s:\n{before}", BEFORE.as_secs());
    println!("server stopped, {} s:\n{during}", outage.as_secs());
    println!("  pod that uses it deleted after {:.1} s (its grace is 1 s)", deleted.as_secs_f64());
    println!("its successor done {:.1} s after the server was back", recovered.as_secs_f64());
    nodes.down()?;
    Ok(())
}
