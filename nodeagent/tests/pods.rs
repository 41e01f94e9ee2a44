//! What pods have beside their claims: directories of their own, paths of the machine, init containers.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use harness::{Cluster, claim, first_container, pod};
use orlop_backends::host::Host;
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
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}
