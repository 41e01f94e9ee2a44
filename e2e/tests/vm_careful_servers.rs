//! Servers that were not set up for Orlop, or are not there: read-only, squashing root, closed to this node, exporting
//! something else, speaking another version, listening elsewhere, unreachable. Each is told on the claim, in words, with a
//! way out; nothing is left on the servers, nothing hangs, and what does work goes on beside it.
//!
//! | the server | the claim says |
//! |---|---|
//! | exports it read-only | export it for writing |
//! | squashes root, in a directory of root's | no_root_squash |
//! | squashes root, and the class asks for an owner | leave uid and gid out |
//! | squashes root, in a directory that everybody may write | nothing: it is Bound |
//! | exports it to others alone | as if it were not there; the kernel's shows an empty directory that is read-only |
//! | exports nothing there | compare the path with the server's list of exports |
//! | hears no ports from 1024 on, and the class says noresvport | leave noresvport out |
//! | does not speak this version | leave nfsvers out |
//! | listens on another port | nothing listens for NFS there |
//! | keeps locks of version 3 by a program that is not here | rpc.statd |
//! | is nowhere | this node has no way to the server |

use anyhow::{Result, ensure};
use orlop_e2e::guest::{Guest, Lab, Nodes, Shape, servers};
use serde_json::{Value, json};

const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const NAMESPACE: &str = "/api/v1/namespaces/default";
/// An address of the segment that no guest has.
const NOBODY: &str = "10.99.0.99";

/// One way in which a server is no good for a class.
struct Row {
    name: &'static str,
    share: &'static str,
    /// Further parameters of the class.
    parameters: Value,
    options: Vec<&'static str>,
    /// What the claim is told.
    says: &'static str,
}

fn row(name: &'static str, share: &'static str, says: &'static str) -> Row {
    Row { name, share, parameters: json!({}), options: Vec::new(), says }
}

/// The table, as far as a server is there.
fn rows(closed: &'static str) -> Vec<Row> {
    let with = |options: &[&'static str], row: Row| Row { options: options.to_vec(), ..row };
    vec![
        row("read-only", "/read-only", "export it for writing"),
        row("squashed", "/squashed/private", "no_root_squash"),
        Row {
            parameters: json!({"uid": "1000", "gid": "1000"}),
            ..row("owned", "/squashed", "leave uid and gid out")
        },
        row("closed", "/closed", closed),
        row("absent", "/absent", "list of exports"),
        with(&["nfsvers=4.0"], row("old", "/shared", "leave nfsvers out")),
        with(&["nfsvers=3"], row("older", "/shared", "rpc.statd")),
        with(&["port=2050"], row("elsewhere", "/shared", "nothing listens for NFS there")),
    ]
}

fn claim_of(nodes: &Nodes, name: &str, server: &str, row: &Row) -> Result<()> {
    let mut parameters = json!({"server": server, "share": row.share});
    for (key, value) in row.parameters.as_object().into_iter().flatten() {
        parameters[key] = value.clone();
    }
    let class = json!({"metadata": {"name": name}, "provisioner": "nfs.orlop.dev",
        "parameters": parameters, "mountOptions": row.options});
    nodes.create(CLASSES, &class)?;
    nodes.claim_of_many(name, name, "1Mi")
}

/// A claim on what does work is bound, written and deleted; while others wait, as long as there are others.
fn works(nodes: &Nodes, server: &Guest, kind: &str, share: &'static str) -> Result<()> {
    let name = format!("{kind}-works");
    claim_of(nodes, &name, &server.address(), &row("works", share, ""))?;
    nodes.until_claim(&name, "Bound")?;
    nodes.pod(&orlop_e2e::manifests::pod(&name, "echo written >/data/file", Some(&name)))?;
    nodes.until_pod(&name, "Succeeded")?;
    server.run(&format!("grep -qx written /srv{share}/default-{name}-pvc-*/file"))?;
    nodes.delete("pods", &name)?;
    nodes.delete("persistentvolumeclaims", &name)?;
    server.until("the directory gone", &format!("! ls -d /srv{share}/default-{name}-pvc-* 2>/dev/null"))?;
    Ok(())
}

/// Before anything else of that server is mounted: the kernel has one connection to it, from one port, for all that is.
fn high_ports_are_told(nodes: &Nodes, server: &Guest, kind: &str) -> Result<()> {
    let name = format!("{kind}-low-ports");
    let row = Row { options: vec!["noresvport"], ..row("low-ports", "/low-ports", "leave noresvport out") };
    claim_of(nodes, &name, &server.address(), &row)?;
    println!("{kind}: {}: {}", row.name, nodes.until_said_of(&name, row.says)?);
    nodes.delete("persistentvolumeclaims", &name)?;
    server.run("! find /srv/low-ports -mindepth 1 | grep .")?;
    Ok(())
}

fn all_are_told(nodes: &Nodes, server: &Guest, kind: &str, closed: &'static str) -> Result<()> {
    high_ports_are_told(nodes, server, kind)?;
    let rows = rows(closed);
    let name = |row: &Row| format!("{kind}-{}", row.name);
    for row in &rows {
        claim_of(nodes, &name(row), &server.address(), row)?;
    }
    for row in &rows {
        println!("{kind}: {}: {}", row.name, nodes.until_said_of(&name(row), row.says)?);
    }
    works(nodes, server, kind, "/shared")?;
    works(nodes, server, &format!("{kind}-nobody"), "/squashed")?;
    for row in &rows {
        let claim = nodes.get(&format!("{NAMESPACE}/persistentvolumeclaims/{}", name(row)))?;
        ensure!(claim.is_some_and(|claim| claim["status"]["phase"] == "Pending"), "{}", row.name);
        nodes.delete("persistentvolumeclaims", &name(row))?;
    }
    // Nothing of any of them: neither a directory nor a mark.
    server.run("! find /srv/read-only /srv/closed /srv/squashed/private -mindepth 1 | grep .")?;
    server.run("! find /srv/shared /srv/squashed -name 'default-*' -o -name 'pvc-*' | grep .")?;
    Ok(())
}

/// Volumes that people make by hand pass no provisioner: the pod is told.
fn a_pod_is_told(nodes: &Nodes, server: &Guest) -> Result<()> {
    for (name, address, path, says) in [
        ("no-export", server.address(), "/absent", "list of exports"),
        ("no-server", NOBODY.to_owned(), "/shared", "no way to the server"),
    ] {
        let mut pod = orlop_e2e::manifests::pod(name, "true", None);
        pod["spec"]["volumes"] = json!([{"name": "data", "nfs": {"server": address, "path": path}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        nodes.pod(&pod)?;
        nodes.until_said_of(name, says)?;
        nodes.delete("pods", name)?;
    }
    Ok(())
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_servers_that_were_not_set_up_for_it_are_told_in_words() -> Result<()> {
    let Some(lab) = Lab::open("vm_servers_that_were_not_set_up_for_it_are_told_in_words") else {
        return Ok(());
    };
    let (ganesha, kernel) = (lab.start(Shape::new("ganesha", 11))?, lab.start(Shape::new("kernel", 12))?);
    let nodes = Nodes::start(&lab, 1)?;
    servers::careful_ganesha(&ganesha)?;
    servers::careful_kernel(&lab, &kernel)?;
    claim_of(&nodes, "nowhere", NOBODY, &row("nowhere", "/shared", ""))?;
    all_are_told(&nodes, &kernel, "kernel", "export it for writing")?;
    all_are_told(&nodes, &ganesha, "ganesha", "list of exports")?;
    nodes.until_said_of("nowhere", "no way to the server")?;
    nodes.delete("persistentvolumeclaims", "nowhere")?;
    a_pod_is_told(&nodes, &ganesha)?;
    nodes.down()?;
    Ok(())
}
