//! What pods have beside their claims: directories of their own, paths of the machine, init containers, addresses.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use harness::{Cluster, claim, first_container, pod, runs_again, wait_for};
use orlop_backends::host::{Host, Runtime, network::Network};
use serde_json::json;

/// Where the container's config mounts something from.
fn source_of(config: &serde_json::Value, target: &str) -> std::path::PathBuf {
    let mounts = config["mounts"].as_array().unwrap();
    let mount =
        mounts.iter().find(|m| m["destination"] == target).unwrap_or_else(|| panic!("nothing at {target}"));
    mount["source"].as_str().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_sees_directories_of_its_own_and_paths_of_the_machine() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let note = std::path::Path::new("/srv/shared/note");
    cluster.machine.create_dir(note.parent().unwrap()).unwrap();
    cluster.machine.write(note, b"kept").unwrap();
    cluster.create_pod("web", None, json!({
        "volumes": [{"name": "disk", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "host", "hostPath": {"path": "/srv/shared", "type": "Directory"}},
            {"name": "made", "hostPath": {"path": "/srv/shared/made", "type": "FileOrCreate"}},
            {"name": "dir", "hostPath": {"path": "/srv/made/deep"}}],
        "containers": [{"name": "main", "image": "busybox", "volumeMounts": [
            {"name": "disk", "mountPath": "/disk"}, {"name": "fast", "mountPath": "/fast"},
            {"name": "host", "mountPath": "/host"}, {"name": "made", "mountPath": "/made"}]}]})).await;
    let running = cluster.until_running("web").await;
    let config = cluster
        .machine
        .container_config(&format!("{}_main_0", running["metadata"]["uid"].as_str().unwrap()))
        .unwrap();
    let host = source_of(&config, "/host");
    assert!(
        host.starts_with(cluster.data()),
        "the container is given what was checked, not a name: {host:?}"
    );
    assert_eq!(cluster.machine.read(&host.join("note")), cluster.machine.read(note));
    cluster.machine.write(&source_of(&config, "/fast").join("x"), &[0; 1 << 20]).unwrap();
    cluster.machine.write(&source_of(&config, "/fast").join("y"), b"more").unwrap_err();
    cluster.machine.write(&source_of(&config, "/disk").join("x"), b"gone soon").unwrap();
    cluster.delete(&pod("web")).await;
    cluster.until_gone(&pod("web")).await;
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    assert!(cluster.machine.read(note).is_some(), "the machine's own files stay");
    assert!(
        cluster.machine.file(std::path::Path::new("/srv/made/deep")).unwrap().is_some_and(|f| f.directory)
    );
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_path_that_cannot_be_shown_is_told_with_the_way_out() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let own = cluster.data().join("pki");
    for (name, path, kind, words) in [
        ("own", own.to_str().unwrap(), "DirectoryOrCreate", "Orlop's own directory"),
        ("none", "/srv/none", "Directory", "DirectoryOrCreate"),
    ] {
        let volumes = json!([{"name": "host", "hostPath": {"path": path, "type": kind}}]);
        cluster.create_pod(name, None, json!({"volumes": volumes})).await;
        let mut events = cluster.client.mirror(&orlop_objects::kind::EVENT, &[]);
        let told = async {
            loop {
                let all = events.ready().await;
                let about = |e: &serde_json::Value| {
                    e["reason"] == "FailedMount" && e["involvedObject"]["name"] == name
                };
                match all.values().map(|o| o.value()).find(about) {
                    Some(event) => return event["message"].as_str().unwrap().to_owned(),
                    None => drop(events.changed().await),
                }
            }
        };
        let said = tokio::time::timeout(std::time::Duration::from_secs(30), told).await.unwrap();
        assert!(
            said.contains("MountVolume.SetUp failed for volume \"host\"") && said.contains(words),
            "{said}"
        );
        cluster.delete(&pod(name)).await;
        cluster.until_gone(&pod(name)).await;
    }
    assert_eq!(cluster.machine.file(&own).unwrap(), None);
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

/// The tutorial of a volume that is a directory of the node: nothing in it is ever deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_a_path_of_the_machine_is_shown_and_kept() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let note = std::path::Path::new("/mnt/data/index.html");
    cluster.machine.create_dir(note.parent().unwrap()).unwrap();
    cluster.machine.write(note, b"Hello").unwrap();
    cluster.create(&orlop_objects::kind::PERSISTENT_VOLUME, json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "task-pv-volume"}, "spec": {"storageClassName": "manual", "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/mnt/data"}}})).await;
    cluster
        .create(
            &orlop_objects::kind::PERSISTENT_VOLUME_CLAIM,
            json!({"apiVersion": "v1",
        "kind": "PersistentVolumeClaim", "metadata": {"name": "task"}, "spec": {"storageClassName": "manual",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}}),
        )
        .await;
    cluster.create_pod("web", Some("task"), json!({})).await;
    let running = cluster.until_running("web").await;
    let config = cluster
        .machine
        .container_config(&format!("{}_main_0", running["metadata"]["uid"].as_str().unwrap()))
        .unwrap();
    assert!(cluster.machine.read(&source_of(&config, "/data").join("index.html")).is_some());
    cluster.delete(&pod("web")).await;
    cluster.until_gone(&pod("web")).await;
    cluster.delete(&claim("task")).await;
    cluster.until_gone(&claim("task")).await;
    let volume = orlop_objects::Key::cluster(&orlop_objects::kind::PERSISTENT_VOLUME, "task-pv-volume");
    cluster.until(&volume, "released", |v| v["status"]["phase"] == "Released").await;
    cluster.delete(&volume).await;
    cluster.until_gone(&volume).await;
    assert!(cluster.machine.read(note).is_some());
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

/// The advice that a volume gets whose policy cannot be followed is followed: then its file goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_could_not_be_recycled_is_deleted_when_its_policy_says_so() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    let name = cluster.get(&claim("data")).await["spec"]["volumeName"].as_str().unwrap().to_owned();
    let volume = orlop_objects::Key::cluster(&orlop_objects::kind::PERSISTENT_VOLUME, name);
    let policy = |policy: &str| json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
    cluster.client.patch(&volume, None, &policy("Recycle")).await.unwrap();
    cluster.delete(&pod("web")).await;
    cluster.delete(&claim("data")).await;
    cluster.until(&volume, "failed", |v| v["status"]["reason"] == "VolumeFailedRecycle").await;
    cluster.client.patch(&volume, None, &policy("Delete")).await.unwrap();
    cluster.until_gone(&volume).await;
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_in_order_are_restarted_and_end_before_the_others_start() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let inits = json!([{"name": "first", "image": "busybox"}, {"name": "second", "image": "busybox"}]);
    cluster.create_pod("web", None, json!({"initContainers": inits})).await;
    let init = |p: &serde_json::Value, n: usize| p["status"]["initContainerStatuses"][n].clone();
    let runs = |n: usize| move |p: &serde_json::Value| init(p, n)["state"]["running"].is_object();
    let starting = cluster.until(&pod("web"), "the first", runs(0)).await;
    let uid = starting["metadata"]["uid"].as_str().unwrap();
    assert_eq!(starting["status"]["phase"], "Pending");
    assert_eq!(init(&starting, 1)["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(first_container(&starting)["state"]["waiting"]["reason"], "PodInitializing");
    cluster.machine.exit(&format!("{uid}_first_0"), 1);
    let again = cluster
        .until(&pod("web"), "the first again", |p| init(p, 0)["restartCount"] == 1 && runs(0)(p))
        .await;
    assert_eq!(init(&again, 0)["lastState"]["terminated"]["exitCode"], 1);
    cluster.machine.exit(&format!("{uid}_first_1"), 0);
    let second = cluster.until(&pod("web"), "the second", runs(1)).await;
    assert_eq!(
        (&init(&second, 0)["ready"], &init(&second, 0)["state"]["terminated"]["reason"]),
        (&json!(true), &json!("Completed"))
    );
    assert_eq!(first_container(&second)["ready"], false);
    cluster.machine.exit(&format!("{uid}_second_0"), 0);
    let running = cluster.until_running("web").await;
    let initialized = running["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "Initialized")
        .unwrap();
    assert_eq!(initialized["status"], "True");

    cluster
        .create_pod(
            "never",
            None,
            json!({"restartPolicy": "Never", "initContainers": [{"name": "i", "image": "busybox"}]}),
        )
        .await;
    let starting = cluster.until(&pod("never"), "its init container", runs(0)).await;
    cluster.machine.exit(&format!("{}_i_0", starting["metadata"]["uid"].as_str().unwrap()), 2);
    cluster.until(&pod("never"), "failed", |p| p["status"]["phase"] == "Failed").await;
    for name in ["web", "never"] {
        cluster.delete(&pod(name)).await;
        cluster.until_gone(&pod(name)).await;
    }
    // A pod that has ended is gone from the API at once; its agent follows.
    wait_for(|| cluster.leftovers().is_empty()).await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_have_addresses_of_the_nodes_range_and_keep_them() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let addresses = |pod: &serde_json::Value| pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    let mut all = std::collections::BTreeSet::new();
    for name in ["a", "b", "c"] {
        cluster.create_pod(name, None, json!({})).await;
        all.insert(addresses(&cluster.until_running(name).await));
    }
    assert_eq!(all.len(), 3, "{all:?}");
    let node = cluster.get(&orlop_objects::Key::cluster(&orlop_objects::kind::NODE, harness::NODE)).await;
    let range: orlop_objects::cidr::Cidr = node["spec"]["podCIDR"].as_str().unwrap().parse().unwrap();
    assert_eq!(node["spec"]["podCIDRs"], json!([range.to_string()]));
    assert!(all.iter().all(|a| range.contains(a.parse().unwrap())), "{all:?} in {range}");
    let links = cluster.machine.links().unwrap();
    let cables: std::collections::BTreeSet<String> = links
        .iter()
        .filter_map(|link| cluster.machine.address_of(&link.name))
        .map(|a| a.to_string())
        .collect();
    assert_eq!(cables, all, "what is told is so");
    cluster.create_pod("host", None, json!({"hostNetwork": true})).await;
    let host = cluster.until_running("host").await;
    assert_eq!(host["status"]["podIP"], host["status"]["hostIP"]);

    // Down and up again: the same pod has the same address, and a new one none that is used.
    agent.stop().await;
    let machine = std::sync::Arc::new(cluster.machine.clone());
    assert!(orlop_nodeagent::teardown(cluster.parts(machine)).await.unwrap().is_clean());
    assert!(
        cluster.machine.links().unwrap().iter().all(|link| link.kind.is_empty()),
        "neither bridge nor cable"
    );
    assert_eq!(cluster.machine.passage("0123abcd"), None);
    let agent = cluster.agent().await;
    let again = cluster.until(&pod("a"), "a restart", runs_again).await;
    assert!(all.contains(&addresses(&again)));
    cluster.create_pod("d", None, json!({})).await;
    assert!(!all.contains(&addresses(&cluster.until_running("d").await)));
    for name in ["a", "b", "c", "d", "host"] {
        cluster.delete(&pod(name)).await;
        cluster.until_gone(&pod(name)).await;
    }
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_make_a_network_pods_run_and_the_node_says_why() {
    let cluster = Cluster::start().await;
    cluster.machine.forbid_network(true);
    let agent = cluster.agent().await;
    cluster.create_pod("web", None, json!({})).await;
    let running = cluster.until_running("web").await;
    assert!(running["status"]["podIP"].is_null());
    let condition = |node: &serde_json::Value| {
        let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|c| c["type"] == "NetworkUnavailable").unwrap_or_default()
    };
    let key = orlop_objects::Key::cluster(&orlop_objects::kind::NODE, harness::NODE);
    let node = cluster.until(&key, "a word about the network", |n| condition(n)["status"] == "True").await;
    let message = condition(&node)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("only their loopback") && message.contains("NET_ADMIN"), "{message}");
    // Given the right, the pod that runs gets its address.
    cluster.machine.forbid_network(false);
    cluster.until(&pod("web"), "an address", |p| p["status"]["podIP"].is_string()).await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_to_other_nodes_come_and_go_with_them() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let other = |name: &str, range: &str, address: &str| {
        (
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": range, "podCIDRs": [range]}}),
            json!({"status": {"addresses": [{"type": "InternalIP", "address": address}]}}),
        )
    };
    for (body, status) in
        [other("near", "172.30.1.0/24", "192.0.2.3"), other("far", "172.30.2.0/24", "198.51.100.1")]
    {
        let node = cluster.create(&orlop_objects::kind::NODE, body).await;
        cluster.client.patch(&node.key, Some("status"), &status).await.unwrap();
    }
    let ways = || -> Vec<String> {
        let routes =
            cluster.machine.routes().unwrap().into_iter().filter(|r| r.instance == Some(0x0123_abcd));
        routes.map(|r| format!("{} via {}", r.to, r.via.unwrap())).collect()
    };
    wait_for(|| ways() == ["172.30.1.0/24 via 192.0.2.3"]).await;
    // The other is on no segment of this machine, and the node says so.
    let key = orlop_objects::Key::cluster(&orlop_objects::kind::NODE, harness::NODE);
    let limited = |n: &serde_json::Value| {
        let all = n["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().any(|c| {
            c["reason"] == "PodNetworkLimited" && c["message"].as_str().unwrap().contains("172.30.2.0/24")
        })
    };
    cluster.until(&key, "a word about the route", limited).await;
    wait_for(|| cluster.machine.passage("0123abcd").is_some_and(|p| p.peers.len() == 2)).await;
    for name in ["near", "far"] {
        cluster.delete(&orlop_objects::Key::cluster(&orlop_objects::kind::NODE, name)).await;
    }
    wait_for(|| ways().is_empty()).await;
    agent.stop().await;
    cluster.stop().await;
}

/// A death in the middle of a creation: it was never started, so nothing has ended that could be restarted or Failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_left_half_made_is_the_same_attempt_still() {
    let cluster = Cluster::start().await;
    for name in ["wanted", "unwanted"] {
        cluster.create_pod(name, None, json!({"restartPolicy": "Never"})).await;
        let bound = cluster.get(&pod(name)).await;
        cluster.machine.leave_half_made(&format!("{}_main_0", bound["metadata"]["uid"].as_str().unwrap()));
    }
    cluster.delete(&pod("unwanted")).await;
    let agent = cluster.agent().await;
    let running = cluster.until_running("wanted").await;
    assert_eq!(first_container(&running)["restartCount"], 0);
    cluster.until_gone(&pod("unwanted")).await;
    wait_for(|| cluster.machine.containers().unwrap().len() == 1).await;
    agent.stop().await;
    cluster.stop().await;
}
