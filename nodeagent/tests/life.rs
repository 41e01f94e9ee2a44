//! Pods and volumes of one node from the API to the machine and back, on a machine in memory.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use harness::{Cluster, claim, first_container, pod, runs_again, wait_for};
use orlop_backends::host::{ContainerStatus, Host, Load, Runtime};
use orlop_objects::{Key, kind};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_pod_come_and_go_and_leave_nothing() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    let running = cluster.until_running("web").await;
    assert_eq!(first_container(&running)["restartCount"], 0);
    let bound = cluster.get(&claim("data")).await;
    assert_eq!(
        (&bound["status"]["phase"], &bound["status"]["capacity"]["storage"]),
        (&json!("Bound"), &json!("64Mi"))
    );
    cluster.delete(&pod("web")).await;
    cluster.until_gone(&pod("web")).await;
    cluster.delete(&claim("data")).await;
    let volume = bound["spec"]["volumeName"].as_str().unwrap().to_owned();
    cluster.until_gone(&Key::cluster(&kind::PERSISTENT_VOLUME, volume)).await;
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_starts_costs_one_status_write() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let store = cluster.registry.store();
    let mut versions = store.watch(&kind::POD, store.snapshot().revision()).unwrap();
    cluster.create_pod("web", None, json!({})).await;
    let mut phases = Vec::new();
    while phases.last().is_none_or(|phase| phase != "Running") {
        let change = versions.next().await.unwrap();
        phases.push(change.new.unwrap().value()["status"]["phase"].as_str().unwrap_or_default().to_owned());
    }
    // Created, given a node, running.
    assert_eq!(phases, ["Pending", "Pending", "Running"]);
    let running = cluster.until_running("web").await;
    let uid = running["metadata"]["uid"].as_str().unwrap();
    assert_eq!(first_container(&running)["containerID"], format!("runc://{uid}_main_0"));
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_reported_and_restart_policies_kept() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    for (name, policy, code, phase) in [
        ("ok", "Never", 0, "Succeeded"),
        ("bad", "Never", 3, "Failed"),
        ("fine", "OnFailure", 0, "Succeeded"),
    ] {
        cluster.create_pod(name, None, json!({"restartPolicy": policy})).await;
        let running = cluster.until_running(name).await;
        let uid = running["metadata"]["uid"].as_str().unwrap();
        cluster.machine.exit(&format!("{uid}_main_0"), code);
        let ended = cluster.until(&pod(name), phase, |p| p["status"]["phase"] == phase).await;
        let state = &first_container(&ended)["state"]["terminated"];
        assert_eq!(state["exitCode"], code, "{name}");
        assert_eq!(state["reason"], if code == 0 { "Completed" } else { "Error" });
    }
    cluster.create_pod("again", None, json!({"restartPolicy": "Always"})).await;
    let running = cluster.until_running("again").await;
    let uid = running["metadata"]["uid"].as_str().unwrap();
    cluster.machine.exit(&format!("{uid}_main_0"), 7);
    let again = cluster.until(&pod("again"), "a restart", runs_again).await;
    assert_eq!(first_container(&again)["lastState"]["terminated"]["exitCode"], 7);
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_kill_is_told_and_stays_told_when_its_bundle_is_gone() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_pod("big", None, json!({"restartPolicy": "Never"})).await;
    let running = cluster.until_running("big").await;
    let id = format!("{}_main_0", running["metadata"]["uid"].as_str().unwrap());
    let bundle = cluster.data().join("containers").join(&id);
    cluster.machine.create_sparse(&bundle.join("oom"), 0).unwrap();
    cluster.machine.exit(&id, 137);
    let told = |p: &serde_json::Value| {
        let ended = &first_container(p)["state"]["terminated"];
        p["status"]["phase"] == "Failed" && ended["reason"] == "OOMKilled" && ended["exitCode"] == 137
    };
    cluster.until(&pod("big"), "killed for memory", told).await;
    wait_for(|| cluster.machine.file(&bundle).unwrap().is_none()).await;
    agent.stop().await;
    let agent = cluster.agent().await;
    cluster.create_pod("marker", None, json!({})).await;
    cluster.until_running("marker").await;
    let after = cluster.get(&pod("big")).await;
    assert!(told(&after), "{after:#}");
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_containers_are_adopted() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    let before = cluster.machine.containers().unwrap();
    agent.stop().await;
    let agent = cluster.agent().await;
    cluster.create_pod("marker", None, json!({})).await;
    cluster.until_running("marker").await;
    let after = cluster.machine.containers().unwrap();
    assert!(before.iter().all(|c| after.contains(c)), "{before:?} {after:?}");
    assert_eq!(first_container(&cluster.until_running("web").await)["restartCount"], 0);
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_containers_start_again_on_their_data() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    agent.stop().await;
    cluster.machine.reboot();
    let agent = cluster.agent().await;
    let again = cluster.until(&pod("web"), "a restart", runs_again).await;
    assert_eq!(first_container(&again)["lastState"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert_eq!(cluster.machine.overwritten(), 0);
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_was_forced_out_of_the_api_is_taken_down() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    let running = cluster.until_running("web").await;
    let uid = running["metadata"]["uid"].as_str().unwrap().to_owned();
    cluster.client.delete(&pod("web"), &json!({"gracePeriodSeconds": 0})).await.unwrap();
    cluster.until_gone(&pod("web")).await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    wait_for(|| cluster.machine.containers().unwrap().iter().all(|c| !c.id.starts_with(&uid))).await;
    agent.stop().await;
    cluster.stop().await;
}

/// As it is when a node was called out of service while it was cut off, and comes back after all.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_lets_go_of_what_was_taken_from_it() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    let volume = cluster.get(&claim("data")).await["spec"]["volumeName"].as_str().unwrap().to_owned();
    let attachments = async || cluster.client.list(&kind::VOLUME_ATTACHMENT, None, &[]).await.unwrap();
    let own = attachments().await.remove(0).key;
    agent.stop().await;

    cluster.client.delete(&pod("web"), &json!({"gracePeriodSeconds": 0})).await.unwrap();
    cluster.until(&own, "asked to go", |a| a["metadata"]["deletionTimestamp"].is_string()).await;
    cluster.client.patch(&own, None, &json!({"metadata": {"finalizers": null}})).await.unwrap();
    cluster.until_gone(&own).await;
    let other = json!({"metadata": {"name": "elsewhere"}, "spec": {"attacher": "loop.orlop.dev", "nodeName": "node-2",
        "source": {"persistentVolumeName": volume}}});
    let other = cluster.create(&kind::VOLUME_ATTACHMENT, other).await.key;
    let running = cluster.machine.containers().unwrap();
    assert!(running.iter().any(|c| matches!(c.status, ContainerStatus::Running)), "{running:?}");

    let agent = cluster.agent().await;
    wait_for(|| cluster.leftovers().iter().all(|left| left.starts_with("data/pool/"))).await;
    assert_eq!(
        attachments().await.iter().map(|a| &a.key).collect::<Vec<_>>(),
        [&other],
        "the other node keeps it"
    );
    assert_eq!(cluster.machine.overwritten(), 0);
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_signals_is_killed_when_its_grace_is_over() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_pod("deaf", None, json!({})).await;
    let running = cluster.until_running("deaf").await;
    let id = format!("{}_main_0", running["metadata"]["uid"].as_str().unwrap());
    cluster.machine.ignore_signals(&id);
    cluster.delete(&pod("deaf")).await;
    wait_for(|| cluster.machine.signals(&id) == [15]).await;
    let store = cluster.registry.store();
    let mut versions = store.watch(&kind::POD, store.snapshot().revision()).unwrap();
    cluster.until_gone(&pod("deaf")).await;
    let last = versions.next().await.unwrap().new.expect("a last status comes before the end").value();
    assert_eq!(first_container(&last)["state"]["terminated"]["exitCode"], 137);
    assert_eq!(first_container(&last)["state"]["terminated"]["reason"], "Error");
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

/// What failed once and is not wanted any more must not keep the agent awake.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_waits_for_a_grace_to_end_is_idle() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let containers = json!([{"name": "main", "image": "busybox"}, {"name": "lost", "image": "nginx"}]);
    let more = json!({"containers": containers, "terminationGracePeriodSeconds": 2});
    cluster.create_pod("deaf", None, more).await;
    let failed = |p: &serde_json::Value| {
        let all = p["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        all.iter().any(|c| c["state"]["waiting"]["reason"] == "ImagePullBackOff")
            && all.iter().any(|c| c["ready"] == true)
    };
    let running = cluster.until(&pod("deaf"), "half running", failed).await;
    let id = format!("{}_main_0", running["metadata"]["uid"].as_str().unwrap());
    cluster.machine.ignore_signals(&id);
    cluster.delete(&pod("deaf")).await;
    wait_for(|| cluster.machine.signals(&id) == [15]).await;
    let before = cluster.machine.looks();
    wait_for(|| cluster.machine.signals(&id).contains(&9) || cluster.machine.signals(&id).is_empty()).await;
    let looks = cluster.machine.looks() - before;
    assert!(looks < 60, "the machine was looked at {looks} times while a grace ran out");
    cluster.until_gone(&pod("deaf")).await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_named_with_the_way_out() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    for (name, policy, reason) in [("a", "IfNotPresent", "ErrImagePull"), ("b", "Never", "ErrImageNeverPull")]
    {
        let containers = json!([{"name": "main", "image": "nginx", "imagePullPolicy": policy}]);
        cluster.create_pod(name, None, json!({"containers": containers})).await;
        let waits = |p: &serde_json::Value| first_container(p)["state"]["waiting"]["reason"] == reason;
        let waiting = cluster.until(&pod(name), reason, waits).await;
        let message = first_container(&waiting)["state"]["waiting"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("nginx") && message.contains("orlop image load"), "{message}");
    }
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn down_takes_everything_off_the_machine_and_up_brings_it_back() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    let running = cluster.until_running("web").await;
    let id = format!("{}_main_0", running["metadata"]["uid"].as_str().unwrap());
    agent.stop().await;
    let machine = std::sync::Arc::new(cluster.machine.clone());
    let report = orlop_nodeagent::teardown(cluster.parts(machine)).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.pods, report.volumes), (1, 1));
    let machine = std::sync::Arc::new(cluster.machine.clone());
    let again = orlop_nodeagent::teardown(cluster.parts(machine)).await.unwrap();
    assert_eq!((again.pods, again.volumes, again.is_clean()), (0, 0, true), "only records are left");
    let left: Vec<String> = cluster.leftovers().into_iter().filter(|l| !l.contains("data/")).collect();
    assert_eq!(left, [format!("container {id} {:?}", exited(&cluster, &id))]);
    let agent = cluster.agent().await;
    let again = cluster.until(&pod("web"), "a restart", runs_again).await;
    assert_eq!(first_container(&again)["lastState"]["terminated"]["exitCode"], 143);
    agent.stop().await;
    cluster.stop().await;
}

/// Of a device with a file in the pool nothing is recorded, and nobody tells whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn down_leaves_and_tells_what_may_be_its_own() {
    let cluster = Cluster::start().await;
    let pool = cluster.data().join("pool");
    let file = pool.join("pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77.img");
    cluster.machine.create_dir(&pool).unwrap();
    cluster.machine.create_sparse(&file, 1 << 20).unwrap();
    cluster.machine.attach_loop(&file, false).unwrap();
    for silent in [true, false] {
        cluster.machine.let_loops_be_silent(&pool, silent);
        let machine = std::sync::Arc::new(cluster.machine.clone());
        let report = orlop_nodeagent::teardown(cluster.parts(machine)).await.unwrap();
        assert_eq!(
            report.left.iter().filter(|left| left.contains("/dev/loop0")).count(),
            usize::from(silent),
            "{report}"
        );
        assert_eq!(cluster.machine.loops().unwrap().len(), usize::from(silent));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_when_others_fill_the_room_that_volumes_were_promised() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("web", Some("data"), json!({})).await;
    cluster.until_running("web").await;
    agent.stop().await;
    let (filler, node) = (cluster.data().join("filler"), Key::cluster(&kind::NODE, harness::NODE));
    let free = cluster.machine.space(&cluster.data()).unwrap().available - (32 << 20);
    cluster.machine.create_sparse(&filler, free).unwrap();
    cluster.machine.allocate(&filler, free).unwrap();
    let says = |node: &serde_json::Value, status: &str| {
        let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|c| c["type"] == "DiskPressure" && c["status"] == status)
    };
    let agent = cluster.agent().await;
    let pressed = cluster.until(&node, "disk pressure", |node| says(node, "True").is_some()).await;
    let message = says(&pressed, "True").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("64 MiB are promised to volumes") && message.contains("image rm"), "{message}");
    agent.stop().await;
    cluster.machine.remove_file(&filler).unwrap();
    let agent = cluster.agent().await;
    cluster.until(&node, "no disk pressure", |node| says(node, "False").is_some()).await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_when_the_kernel_has_little_left() {
    let (cluster, node) = (Cluster::start().await, Key::cluster(&kind::NODE, harness::NODE));
    let says = |node: &serde_json::Value, wanted: [&str; 2]| {
        let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is = |name: &str| all.iter().find(|c| c["type"] == name).map(|c| c["status"].clone());
        is("MemoryPressure") == Some(wanted[0].into()) && is("PIDPressure") == Some(wanted[1].into())
    };
    for (load, wanted) in [
        (Some(Load { memory: 50 << 20, tasks: 100, most_tasks: 1000 }), ["True", "False"]),
        (Some(Load { memory: 1 << 30, tasks: 950, most_tasks: 1000 }), ["False", "True"]),
        (None, ["False", "False"]),
    ] {
        cluster.machine.be_loaded(load);
        let agent = cluster.agent().await;
        cluster.until(&node, &format!("pressure {wanted:?}"), |node| says(node, wanted)).await;
        agent.stop().await;
    }
    // What is not known is not said to be well.
    let (agent, _) = cluster.faulty_agent("load: 1000*error(EIO)".parse().unwrap()).await;
    cluster.until(&node, "nothing known", |node| says(node, ["Unknown", "Unknown"])).await;
    agent.stop().await;
    cluster.stop().await;
}

fn exited(cluster: &Cluster, id: &str) -> ContainerStatus {
    cluster.machine.containers().unwrap().into_iter().find(|c| c.id == id).unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_cannot_be_met_is_told_why_and_leaves_nothing() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "huge"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "900Ti"}}}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    cluster.create_pod("web", Some("huge"), json!({})).await;
    let mut events = cluster.client.mirror(&kind::EVENT, &[]);
    let told = async {
        loop {
            let all = events.ready().await;
            let failed = all.values().map(|o| o.value()).find(|e| e["reason"] == "ProvisioningFailed");
            match failed {
                Some(event) => return event,
                None => drop(events.changed().await),
            }
        }
    };
    let event = tokio::time::timeout(std::time::Duration::from_secs(30), told).await.unwrap();
    assert_eq!(event["involvedObject"]["name"], "huge");
    assert!(event["message"].as_str().unwrap().contains("900 TiB"), "{event}");
    cluster.client.delete(&pod("web"), &json!({"gracePeriodSeconds": 0})).await.unwrap();
    cluster.delete(&claim("huge")).await;
    cluster.until_gone(&claim("huge")).await;
    assert_eq!(cluster.leftovers(), Vec::<String>::new());
    agent.stop().await;
    cluster.stop().await;
}

/// Whether a pod's container waits, and says so in these words.
fn waits_for(words: &str) -> impl Fn(&serde_json::Value) -> bool + Copy {
    move |pod| {
        let message = first_container(pod)["state"]["waiting"]["message"].as_str().unwrap_or_default();
        message.contains(words)
    }
}

/// Pods that name their node themselves pass no scheduler: the agent has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_for_one_pod_is_shown_to_one_pod_at_a_time() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "own"},
        "spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "64Mi"}}}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    cluster.create_pod("first", Some("own"), json!({})).await;
    cluster.until_running("first").await;
    cluster.create_pod("second", Some("own"), json!({"nodeName": harness::NODE})).await;
    let waits = waits_for("ReadWriteOncePod");
    let second = cluster.until(&pod("second"), "waiting for the first", waits).await;
    assert_eq!(second["status"]["phase"], "Pending");
    cluster.delete(&pod("first")).await;
    cluster.until_running("second").await;
    agent.stop().await;
    cluster.stop().await;
}

/// An attachment goes without its agent's word, and the volume is another node's: who has it here keeps it, over a new life
/// of the agent too; who comes new waits until it is given to this node again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_staged_is_shown_to_no_new_pod() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    cluster.create_claim("data").await;
    cluster.create_pod("old", Some("data"), json!({})).await;
    cluster.until_running("old").await;
    let bound = cluster.get(&claim("data")).await;
    let attachment = |name: &str, node: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name},
            "spec": {"attacher": "loop.orlop.dev", "nodeName": node,
                "source": {"persistentVolumeName": bound["spec"]["volumeName"]}}})
    };
    let all = cluster.client.list(&kind::VOLUME_ATTACHMENT, None, &[]).await.unwrap();
    let own = all[0].key.clone();
    let other = cluster.create(&kind::VOLUME_ATTACHMENT, attachment("by-hand", "elsewhere")).await;
    cluster.delete(&own).await;
    cluster.client.patch(&own, None, &json!({"metadata": {"finalizers": []}})).await.unwrap();
    cluster.until_gone(&own).await;
    let waits = waits_for("is being attached");
    cluster.create_pod("new", Some("data"), json!({"nodeName": harness::NODE})).await;
    cluster.until(&pod("new"), "waiting for its volume", waits).await;
    agent.stop().await;
    let agent = cluster.agent().await;
    cluster.create_pod("newer", Some("data"), json!({"nodeName": harness::NODE})).await;
    cluster.until(&pod("newer"), "waiting for its volume", waits).await;
    let old = cluster.until_running("old").await;
    assert_eq!(first_container(&old)["restartCount"], 0);
    cluster.delete(&other.key).await;
    cluster.until_running("new").await;
    cluster.until_running("newer").await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_somebody_has_deleted_is_made_anew() {
    let cluster = Cluster::start().await;
    let agent = cluster.agent().await;
    let key = Key::cluster(&kind::NODE, harness::NODE);
    let old = cluster.get(&key).await["metadata"]["uid"].take();
    cluster.delete(&key).await;
    let is_new =
        |node: &serde_json::Value| node["metadata"]["uid"] != old && node["spec"]["podCIDR"].is_string();
    cluster.until(&key, "there again", is_new).await;
    cluster.create_pod("web", None, json!({})).await;
    cluster.until_running("web").await;
    agent.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_can_more_by_now_is_told_anew() {
    let cluster = Cluster::start().await;
    let (node, drivers) =
        (Key::cluster(&kind::NODE, harness::NODE), Key::cluster(&kind::CSI_NODE, harness::NODE));
    let driver = |name: &str| json!({"name": name, "nodeID": harness::NODE, "topologyKeys": ["old"]});
    let before = [driver("nfs.orlop.dev"), driver("csi.example.org")];
    let body = json!({"metadata": {"name": harness::NODE}, "spec": {"drivers": before}});
    cluster.client.create(&kind::CSI_NODE, "", &body).await.unwrap();
    let agent = cluster.agent().await;
    cluster.until(&node, "registered", |node| node["spec"]["podCIDR"].is_string()).await;
    let told = cluster.get(&drivers).await["spec"]["drivers"].take();
    let keys = |name: &str| {
        let found = told.as_array().unwrap().iter().find(|driver| driver["name"] == name);
        found.map(|driver| driver["topologyKeys"].clone()).unwrap_or_default()
    };
    assert_eq!(keys("nfs.orlop.dev"), json!(["kubernetes.io/hostname"]));
    assert_eq!(keys("csi.example.org"), json!(["old"]), "another's entry is another's");
    assert!(!keys("loop.orlop.dev").is_null());
    agent.stop().await;
    cluster.stop().await;
}
