//! Pods' addresses on the real kernel: pods that listen on the same port, seen from the node and from each other.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE},
    images, machine, manifests, remains,
};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

/// A page that says who serves it, on port 80, until the pod is deleted.
fn web(name: &str) -> Value {
    let script =
        "mkdir /www && echo I am $(hostname) at $POD_IP > /www/index.html && exec httpd -f -p 80 -h /www";
    let mut pod = manifests::pod(name, script, None);
    pod["spec"]["containers"][0]["env"] =
        json!([{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    pod
}

/// A script that asks there, and fails without an answer. By nc: wget of a static busybox looks for a library.
fn ask(address: IpAddr) -> String {
    format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} 80 | grep -q 'I am' || exit 1")
}

fn address(pod: &Value) -> Result<IpAddr> {
    let text = pod["status"]["podIP"].as_str().with_context(|| format!("no podIP in {:#}", pod["status"]))?;
    assert_eq!(pod["status"]["podIPs"], json!([{"ip": text}]));
    Ok(text.parse()?)
}

/// What is served on port 80 there; waits until somebody listens.
fn get(address: IpAddr) -> Result<String> {
    let begun = std::time::Instant::now();
    let mut stream = loop {
        match TcpStream::connect_timeout(&SocketAddr::new(address, 80), Duration::from_secs(5)) {
            Ok(stream) => break stream,
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "connect to {address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned())
}

/// Whether this machine lets the agent make a network; says loudly why not.
async fn has_network(cluster: &Cluster, test: &str) -> Result<bool> {
    let nodes = cluster.client.list(&kind::NODE, None, &[]).await?;
    let node = nodes.first().context("a node")?.key.clone();
    let of = |node: Option<&Value>| {
        let conditions = node.and_then(|n| n["status"]["conditions"].as_array()).cloned().unwrap_or_default();
        conditions.into_iter().find(|c| c["type"] == "NetworkUnavailable")
    };
    let node = cluster.until(&node, "a word about the network", |n| of(n).is_some()).await?;
    let condition = of(node.as_ref()).context("the condition")?;
    if condition["status"] == "True" {
        machine::skipped(test, &condition["message"]);
        return Ok(false);
    }
    Ok(true)
}

#[tokio::test]
async fn root_three_servers_on_one_port_of_one_node_do_not_collide() -> Result<()> {
    let test = "root_three_servers_on_one_port_of_one_node_do_not_collide";
    if !machine::can_run(test) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    if !has_network(&cluster, test).await? {
        return Ok(());
    }
    let names = ["web-0", "web-1", "web-2"];
    for name in names {
        cluster.create(&kind::POD, web(name)).await?;
    }
    let mut addresses = Vec::new();
    for name in names {
        let pod = cluster.phase(&kind::POD, name, "Running").await?;
        addresses.push(address(&pod)?);
    }
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 3, "{addresses:?}");
    for (name, address) in names.iter().zip(&addresses) {
        assert_eq!(get(*address)?, format!("I am {name} at {address}"), "from the node");
    }
    // From one another: a fourth asks all three, and its own name is in its hosts file.
    let asks: Vec<String> = addresses.iter().map(|a| ask(*a)).collect();
    let script = format!("{}; grep -q \"^$POD_IP\t$(hostname)\" /etc/hosts && echo known", asks.join("; "));
    let mut client = web("client");
    client["spec"]["containers"][0]["command"][2] = script.into();
    cluster.create(&kind::POD, client).await?;
    cluster.phase(&kind::POD, "client", "Succeeded").await?;

    // Killed and started again, pods keep their addresses; a pod of the node's network has the node's.
    cluster.kill()?;
    cluster.up(&[])?;
    let mut host = manifests::pod("host", "sleep 3600", None);
    host["spec"]["hostNetwork"] = true.into();
    cluster.create(&kind::POD, host).await?;
    let host = cluster.phase(&kind::POD, "host", "Running").await?;
    assert_eq!(host["status"]["podIP"], host["status"]["hostIP"]);
    for (name, known) in names.iter().zip(&addresses) {
        let pod =
            cluster.client.get(&Key::new(&kind::POD, "default", *name)).await?.context("is there")?.value();
        assert_eq!(address(&pod)?, *known);
        assert_eq!(get(*known)?, format!("I am {name} at {known}"));
    }
    for name in ["client", "host", "web-0"] {
        cluster.delete(&kind::POD, name).await?;
    }
    assert_eq!(remains::interfaces(&cluster.dir()).len(), 3, "the bridge and two cables");
    cluster.run(&["down"])?;
    cluster.wait()?;
    assert_eq!(remains::interfaces(&cluster.dir()), Vec::<String>::new());
    assert_eq!(remains::at_work(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

/// Who a server on a pod's own node sees when the pod speaks to it: by that, exports are given and refused. What other
/// machines see is shown where the rules are made (`root_a_pod_is_not_taken_for_its_node`).
async fn seen_by_its_node(cluster: &Cluster, node: &str) -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let (seen, peer) = mpsc::channel();
    // Who speaks is told at once that this was all.
    std::thread::spawn(move || listener.accept().map(|(_, peer)| seen.send(peer)));
    let name = format!("seen-by-{node}");
    let script = format!("echo hello | nc -w 2 $HOST_IP {port}; true");
    let mut pod = manifests::pod(&name, &script, None);
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["containers"][0]["env"] =
        json!([{"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]);
    cluster.create(&kind::POD, pod).await?;
    let pod = cluster.phase(&kind::POD, &name, "Succeeded").await?;
    let peer = peer.try_recv().context("the pod has spoken to its node")?;
    assert_eq!(peer.ip(), address(&pod)?, "and not under the node's address {}", pod["status"]["hostIP"]);
    Ok(())
}

/// Two agents of one cluster on one machine: each has a bridge and a range of its own.
#[tokio::test]
async fn root_pods_of_two_nodes_reach_each_other() -> Result<()> {
    let test = "root_pods_of_two_nodes_reach_each_other";
    if !machine::can_run(test) {
        return Ok(());
    }
    let cluster = Cluster::start_server()?;
    let nodes = [cluster.join("net-a", &[]).await?, cluster.join("net-b", &[]).await?];
    for node in &nodes {
        cluster.node_ready(&node.name).await?;
        images::load_busybox_on(node)?;
    }
    if !has_network(&cluster, test).await? {
        return Ok(());
    }
    let mut addresses = Vec::new();
    for (name, node) in ["web-a", "web-b"].iter().zip(&nodes) {
        let mut pod = web(name);
        pod["spec"]["nodeName"] = node.name.as_str().into();
        cluster.create(&kind::POD, pod).await?;
        addresses.push(address(&cluster.phase(&kind::POD, name, "Running").await?)?);
    }
    for (node, asked) in nodes.iter().zip(addresses.iter().rev()) {
        let name = format!("ask-from-{}", node.name);
        let mut pod = manifests::pod(&name, &ask(*asked), None);
        pod["spec"]["nodeName"] = node.name.as_str().into();
        cluster.create(&kind::POD, pod).await?;
        cluster.phase(&kind::POD, &name, "Succeeded").await?;
        let seen = seen_by_its_node(&cluster, &node.name).await;
        seen.with_context(|| format!("-- {} said:\n{}", node.name, node.log()))?;
    }
    let ranges: BTreeSet<String> = cluster
        .client
        .list(&kind::NODE, None, &[])
        .await?
        .iter()
        .map(|node| node.value()["spec"]["podCIDR"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    Ok(())
}
