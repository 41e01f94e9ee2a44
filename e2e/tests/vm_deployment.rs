//! A Deployment on one shared volume of Orlop's own: its replicas are on two nodes, and each serves the same file.

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    guest::{Lab, Nodes},
    manifests,
};
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIM: &str = "pages";
const PORT: u16 = 8080;

/// Three web servers that show what is on the claim.
fn deployment() -> Value {
    let labels = json!({"app": "web"});
    let main = json!({"name": "main", "image": "busybox",
        "command": ["sh", "-c", format!("trap exit TERM; httpd -f -p {PORT} -h /data & wait")],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    let pod = json!({"terminationGracePeriodSeconds": 1, "containers": [main],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]});
    json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod}}})
}

/// The node and the address of every pod of the Deployment.
fn replicas(nodes: &Nodes) -> Result<Vec<(String, String)>> {
    let list = nodes.get(PODS)?.context("pods")?;
    let web =
        list["items"].as_array().into_iter().flatten().filter(|p| p["metadata"]["labels"]["app"] == "web");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    web.map(|pod| text(&pod["spec"]["nodeName"]).zip(text(&pod["status"]["podIP"])))
        .collect::<Option<_>>()
        .context("a replica without node or address")
}

/// Waits until each replica answers a node with these words.
fn all_serve(nodes: &Nodes, replicas: &[(String, String)], words: &str) -> Result<()> {
    for (node, address) in replicas {
        let ask = format!("curl -fsS http://{address}:{PORT}/page | grep -qx '{words}'");
        nodes.node(1).until(&format!("`{words}` from {address} on {node}"), &ask)?;
    }
    Ok(())
}

/// Writes the page from a pod on this node.
fn write(nodes: &Nodes, node: &str, words: &str) -> Result<()> {
    let script = format!("echo {words} >/data/page.new && sync && mv /data/page.new /data/page");
    nodes.pod(&manifests::pod_on(node, "editor", &script, Some(CLAIM)))?;
    nodes.until_pod("editor", "Succeeded")?;
    nodes.delete("pods", "editor")
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_replicas_on_two_nodes_serve_one_file() -> Result<()> {
    let Some(lab) = Lab::open("vm_replicas_on_two_nodes_serve_one_file") else { return Ok(()) };
    let nodes = Nodes::start(&lab, 2)?;
    nodes.claim_of_many(CLAIM, "nfs", "32Mi")?;
    write(&nodes, "node-1", "first")?;
    nodes.create(DEPLOYMENTS, &deployment())?;
    let web = format!("{DEPLOYMENTS}/web");
    nodes.until(&web, "three available", |web| web["status"]["availableReplicas"] == 3)?;
    let replicas = replicas(&nodes)?;
    for node in ["node-1", "node-2"] {
        ensure!(replicas.iter().any(|(of, _)| of == node), "no replica is on {node}: {replicas:?}");
    }
    all_serve(&nodes, &replicas, "first")?;

    // What one node writes, every replica shows.
    write(&nodes, "node-2", "second")?;
    all_serve(&nodes, &replicas, "second")?;

    nodes.delete_at(&web)?;
    nodes.until(PODS, "no pod", |list| list["items"] == json!([]))?;
    nodes.delete("persistentvolumeclaims", CLAIM)?;
    nodes.until("/api/v1/persistentvolumes", "no volume", |list| list["items"] == json!([]))?;
    nodes.down()?;
    Ok(())
}
