//! A shared pool of loop files lies on a file server, which stops with a volume of the pool attached. Its node is started
//! without the pool and used meanwhile, everything but what lies in the pool can be taken down, and the rest when the server
//! is back. States are asserted; times are printed, for a guest is emulated.

use std::time::Instant;

use anyhow::{Result, ensure};
use orlop_e2e::{
    guest::{Guest, Lab, Nodes, Shape, servers},
    manifests, shared_pool,
};

const COMMON: &str = "/srv/common";
const POOLS: &str = "--pool common=/srv/common,shared --pool default=/disk/data/pool";
const KILL: &str = "kill -KILL $(cat /run/orlop.pid)";
/// As its unit's manager does it, and until it has ended.
const STOP: &str = "pid=$(cat /run/orlop.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done";
/// A thread of the agent's waits for an answer of the NFS server.
const WAITS: &str = "cat /proc/$(cat /run/orlop.pid)/task/*/stack | grep -q wait_bit_killable";
const WRITER: &str = "echo one >/data/one && sync && echo written && exec sleep 3600";

/// A pod with a volume in the pool on the server, and one beside it with a volume on the node's own disk.
fn prepared(lab: &Lab, server: &Guest) -> Result<Nodes> {
    let nodes = Nodes::start(lab, 1)?;
    let node = nodes.node(1);
    node.run(&format!(
        "{KILL}; mkdir -p {COMMON} && mount -t nfs4 -o hard,vers=4.2 {}:/shared {COMMON}",
        server.address()
    ))?;
    nodes.serve_with(POOLS)?;
    nodes.create("/apis/storage.k8s.io/v1/storageclasses", &shared_pool::class())?;
    for (name, claim) in
        [("in-pool", shared_pool::claim("in-pool")), ("beside", manifests::claim("beside", "32Mi"))]
    {
        nodes.create("/api/v1/namespaces/default/persistentvolumeclaims", &claim)?;
        nodes.pod(&manifests::pod(name, WRITER, Some(name)))?;
        // A sync that is under way when the server stops would wait for it: it is one of all file systems.
        nodes.until_logged(name, "written")?;
    }
    Ok(nodes)
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_a_shared_pool_on_a_server_that_stops() -> Result<()> {
    let Some(lab) = Lab::open("vm_a_shared_pool_on_a_server_that_stops") else { return Ok(()) };
    let server = lab.start(Shape::new("server", 11))?;
    servers::ganesha(&server)?;
    let nodes = prepared(&lab, &server)?;
    let node = nodes.node(1);

    // The server stops, and the node's Orlop is about to make a volume. It ends when it is asked to. It is started as its
    // log advises, and the node can be used.
    server.run("kill -STOP $(cat /run/ganesha.pid)")?;
    nodes.create("/api/v1/namespaces/default/persistentvolumeclaims", &shared_pool::claim("stuck"))?;
    nodes.pod(&manifests::pod("stuck", "true", Some("stuck")))?;
    node.until("a call that its server does not answer", WAITS)?;
    let begun = Instant::now();
    node.run(STOP)?;
    println!("stopped in {:.1} s amid a call that its server does not answer", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    nodes.serve()?;
    nodes.pod(&manifests::pod("meanwhile", "exec sleep 3600", None))?;
    nodes.until_pod("meanwhile", "Running")?;
    println!("ready and a pod started {:.1} s after a start without the pool", begun.elapsed().as_secs_f64());

    // Everything else can be taken down.
    let begun = Instant::now();
    node.run(KILL)?;
    let down = nodes.try_down(node)?;
    println!("taken down in {:.1} s while the server is stopped", begun.elapsed().as_secs_f64());
    ensure!(down.code != 0, "something is left: {}", down.output);
    for part in ["still here: volume", "it lies in pool \"common\", which this node goes on without"] {
        ensure!(down.output.contains(part), "no {part:?}: {}", down.output);
    }
    node.run("! pgrep conmon && ! losetup --list --noheadings --output BACK-FILE | grep /disk/data/pool")?;

    // The server is back: nothing is lost, and all goes.
    server.run("kill -CONT $(cat /run/ganesha.pid)")?;
    nodes.down()?;
    nodes.serve_with(POOLS)?;
    // Taken down with the rest, it has ended; nobody starts it again.
    nodes.until_pod("in-pool", "Failed")?;
    nodes.delete("pods", "in-pool")?;
    nodes.pod(&manifests::pod("reader", "grep -qx one /data/one", Some("in-pool")))?;
    nodes.until_pod("reader", "Succeeded")?;
    node.run(KILL)?;
    nodes.down()?;
    node.run(&format!("umount {COMMON}"))?;
    Ok(())
}
