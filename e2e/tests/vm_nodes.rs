//! Three nodes with a kernel's NFS client write one volume at once, each in a guest: on a server that was there already, and
//! on an export of their own. Servers are killed and lose their power under load, and so do nodes; nothing that was synced
//! is lost, and no writer that lives sees an error.

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    guest::{Guest, Lab, Nodes, Shape, condition, servers},
    manifests,
};
use serde_json::{Value, json};

const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const CLAIM: &str = "board";

/// Appends its own numbers, one by one, each on the server's disk before it is told. An error ends it, loudly.
fn writer(name: &str) -> String {
    format!(
        "n=0; while n=$((n+1)); do echo $n >>/data/{name} && sync /data/{name} || break; echo wrote $n; sleep 0.3; done; \
         echo FAILED; exit 1"
    )
}

fn pod_on(node: &str, name: &str, script: &str) -> Value {
    manifests::pod_on(node, name, script, Some(CLAIM))
}

fn node_names() -> impl Iterator<Item = String> {
    (1..=3).map(|i| format!("node-{i}"))
}

/// Starts a writer on every node and waits until each has written.
fn write_everywhere(nodes: &Nodes) -> Result<()> {
    for node in node_names() {
        nodes.pod(&pod_on(&node, &format!("on-{node}"), &writer(&node)))?;
    }
    node_names().try_for_each(|node| nodes.until_logged(&format!("on-{node}"), "wrote 3"))
}

/// The last number that a writer was told to be on disk.
fn told(nodes: &Nodes, node: &str) -> Result<u64> {
    let log = nodes.log(&format!("on-{node}"))?;
    ensure!(!log.contains("FAILED"), "the writer on {node} saw an error:\n{log}");
    let last = log.lines().rev().find_map(|line| line.strip_prefix("wrote ")?.parse().ok());
    last.with_context(|| format!("the writer on {node} wrote nothing:\n{log}"))
}

/// Waits until the writers of these nodes have written more than they had.
fn go_on(nodes: &Nodes, names: &[String]) -> Result<()> {
    let before = names.iter().map(|node| told(nodes, node)).collect::<Result<Vec<_>>>()?;
    for (node, before) in names.iter().zip(before) {
        nodes.until_logged(&format!("on-{node}"), &format!("wrote {}", before + 3))?;
    }
    Ok(())
}

/// Every number up to the last one told is in the file, once and in order, as another node reads it.
fn nothing_is_lost(nodes: &Nodes, names: &[String]) -> Result<()> {
    for node in names {
        let told = told(nodes, node)?;
        let check =
            format!("seq {told} >/tmp/want; head -n {told} /data/{node} | cmp - /tmp/want && echo whole");
        let reader = format!("check-{node}");
        nodes.pod(&pod_on(if node == "node-1" { "node-2" } else { "node-1" }, &reader, &check))?;
        nodes.until_pod(&reader, "Succeeded")?;
        nodes.delete("pods", &reader)?;
    }
    Ok(())
}

/// Bytes locked in one node's mount are refused in another's.
fn locks_exclude(holder: &Guest, asker: &Guest) -> Result<()> {
    let program = env!("CARGO_BIN_EXE_range_lock");
    let file = |guest: &Guest| {
        anyhow::Ok(format!("{}/lock", guest.run("findmnt -n -t nfs4 -o TARGET | grep /mount$ | head -n 1")?))
    };
    let (held, asked) = (file(holder)?, file(asker)?);
    holder.run(&format!("setsid {program} {held} 0 10 hold >/run/locked 2>&1 & echo $! >/run/holder"))?;
    holder.until("a lock", "grep -q locked /run/locked")?;
    let code = |bytes: &str| anyhow::Ok(asker.answer(&format!("{program} {asked} {bytes}"))?.code);
    assert_eq!(
        (code("0 10")?, code("9 1")?, code("10 10")?),
        (1, 1, 0),
        "locked, the last byte of it, beside it"
    );
    holder.run("kill $(cat /run/holder)")?;
    asker.until("the lock of one that ended", &format!("{program} {asked} 0 10"))?;
    Ok(())
}

fn clear(nodes: &Nodes) -> Result<()> {
    for node in node_names() {
        nodes.delete("pods", &format!("on-{node}"))?;
    }
    nodes.delete("persistentvolumeclaims", CLAIM)?;
    nodes.until("/api/v1/persistentvolumes", "no volume", |list| list["items"] == json!([]))?;
    nodes.down()?;
    Ok(())
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_three_nodes_write_to_a_kernels_server_that_loses_its_power() -> Result<()> {
    let Some(lab) = Lab::open("vm_three_nodes_write_to_a_kernels_server_that_loses_its_power") else {
        return Ok(());
    };
    let mut server = lab.start(Shape::new("cellar", 11))?;
    let nodes = Nodes::start(&lab, 3)?;
    servers::kernel(&lab, &server)?;
    let class = json!({"metadata": {"name": "cellar"}, "provisioner": "nfs.orlop.dev",
        "parameters": {"server": server.address(), "share": "/"}});
    nodes.create(CLASSES, &class)?;
    nodes.claim_of_many(CLAIM, "cellar", "16Mi")?;
    write_everywhere(&nodes)?;
    locks_exclude(nodes.node(2), nodes.node(3))?;

    // The server loses its power while three write, and comes back with what was on its disk.
    let all: Vec<String> = node_names().collect();
    server.cut_power();
    server.power_on()?;
    servers::kernel(&lab, &server)?;
    go_on(&nodes, &all)?;
    nothing_is_lost(&nodes, &all)?;
    clear(&nodes)?;
    assert_eq!(server.run("ls /srv/shared")?, "", "the volume's directory went with its claim");
    Ok(())
}

/// The number of the node that keeps the claim's volume, once there is one.
fn keeper(nodes: &Nodes) -> Result<usize> {
    let claim = nodes.until_claim(CLAIM, "Bound")?;
    let volume = claim["spec"]["volumeName"].as_str().context("the name of a volume")?;
    let volume = nodes.get(&format!("/api/v1/persistentvolumes/{volume}"))?.context("a volume")?;
    let keeper = volume["metadata"]["annotations"]["volume.orlop.dev/keeper"].as_str().context("a keeper")?;
    Ok(keeper.trim_start_matches("node-").parse()?)
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_three_nodes_write_to_an_export_of_their_own() -> Result<()> {
    let Some(lab) = Lab::open("vm_three_nodes_write_to_an_export_of_their_own") else { return Ok(()) };
    let mut nodes = Nodes::start(&lab, 3)?;
    nodes.claim_of_many(CLAIM, "nfs", "64Mi")?;
    let keeper = keeper(&nodes)?;
    let others: Vec<usize> = (1..=3).filter(|i| *i != keeper).collect();
    write_everywhere(&nodes)?;
    locks_exclude(nodes.node(others[0]), nodes.node(others[1]))?;

    // The NFS server dies; the keeper's agent starts it again, and the clients go on after its grace period.
    let all: Vec<String> = node_names().collect();
    nodes.node(keeper).run("pkill -KILL -x ganesha.nfsd")?;
    go_on(&nodes, &all)?;
    nothing_is_lost(&nodes, &all)?;

    // A node that is neither keeper nor server loses its power: the others go on, and it comes back.
    let dies = *others.iter().find(|i| **i != 1).context("a node that is neither keeper nor server")?;
    let name = format!("node-{dies}");
    nodes.node_mut(dies).cut_power();
    let silent = |node: &Value| condition(node, "Ready").is_some_and(|status| status != "True");
    nodes.until(&format!("/api/v1/nodes/{name}"), "not Ready", silent)?;
    let left: Vec<String> = node_names().filter(|node| *node != name).collect();
    go_on(&nodes, &left)?;
    nodes.node_mut(dies).power_on()?;
    nodes.start_again(dies)?;
    nothing_is_lost(&nodes, &left)?;

    // So does the keeper, with the volume on its disk: the one writer that is left waits for it, and sees no error.
    nodes.node_mut(keeper).cut_power();
    nodes.node_mut(keeper).power_on()?;
    nodes.start_again(keeper)?;
    let left: Vec<String> = left.into_iter().filter(|node| *node != format!("node-{keeper}")).collect();
    go_on(&nodes, &left)?;
    nothing_is_lost(&nodes, &left)?;
    clear(&nodes)
}
