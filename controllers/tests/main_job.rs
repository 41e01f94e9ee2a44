//! The main job, from the claim to the volume's end, with everything real but the machine.

mod cluster;

use cluster::{Cluster, claim, claim_key, pod, pod_key, volume_key};
use orlop_objects::kind;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_gets_a_volume_pods_come_and_go_and_all_is_taken_down_again() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster
        .until_said("data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
        .await;
    cluster.create(&kind::POD, pod("writer", "data")).await;
    cluster.until_is(&pod_key("writer"), "/status/phase", json!("Running")).await;

    let bound = cluster.get(&claim_key("data"));
    let name = bound["spec"]["volumeName"].as_str().expect("bound").to_owned();
    assert_eq!(bound["status"]["phase"], "Bound");
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    assert_eq!(bound["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"], "yes");
    let volume = cluster.get(&volume_key(&name));
    assert_eq!(volume["status"]["phase"], "Bound");
    assert_eq!(volume["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);
    cluster.until_said("writer", "Scheduled", "Successfully assigned default/writer to n1").await;
    cluster.until_said("writer", "SuccessfulAttachVolume", "AttachVolume.Attach succeeded for volume").await;

    cluster.delete(&pod_key("writer")).await;
    cluster.until("detached", |s| s.list(&kind::VOLUME_ATTACHMENT, None, None).next().is_none()).await;
    cluster.create(&kind::POD, pod("reader", "data")).await;
    cluster.until_is(&pod_key("reader"), "/status/phase", json!("Running")).await;

    cluster.delete(&claim_key("data")).await;
    cluster.until_said("data", "ClaimInUse", "reader").await;
    cluster.delete(&pod_key("reader")).await;
    cluster.until_gone(&claim_key("data")).await;
    cluster.until_gone(&volume_key(&name)).await;
    assert!(cluster.names(&kind::VOLUME_ATTACHMENT).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_with_a_new_claim_runs_after_at_most_six_commits() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    // From here on: the node is chosen, the volume is made, bound, the pod placed with its attachment, attached, runs.
    let before = created(&cluster, "web").await;
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
    let commits = cluster.commits_since(before).await;
    assert!(commits <= 6, "{commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_that_stop_and_start_all_the_time_reach_the_same_end() {
    let mut cluster = Cluster::new(&["n1", "n2"]).await;
    for n in 0..5 {
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim(&format!("data-{n}"))).await;
        cluster.create(&kind::POD, pod(&format!("web-{n}"), &format!("data-{n}"))).await;
    }
    let running = |cluster: &Cluster| {
        let snapshot = cluster.registry.snapshot();
        let pods = snapshot.list(&kind::POD, None, None).map(|pod| pod.value());
        pods.filter(|pod| pod["status"]["phase"] == "Running").count()
    };
    restart_until(&mut cluster, |cluster| running(cluster) == 5).await;
    assert_eq!(cluster.names(&kind::PERSISTENT_VOLUME).len(), 5);
    assert_eq!(cluster.names(&kind::VOLUME_ATTACHMENT).len(), 5);
    for n in 0..5 {
        cluster.delete(&pod_key(&format!("web-{n}"))).await;
        cluster.delete(&claim_key(&format!("data-{n}"))).await;
    }
    restart_until(&mut cluster, |cluster| cluster.names(&kind::PERSISTENT_VOLUME).is_empty()).await;
    assert!(cluster.names(&kind::VOLUME_ATTACHMENT).is_empty());
}

/// Stops and starts the controllers until the world is so, for a bounded time.
async fn restart_until(cluster: &mut Cluster, reached: impl Fn(&Cluster) -> bool) {
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while !reached(cluster) {
        assert!(tokio::time::Instant::now() < patience, "not reached in a minute\n{}", cluster.describe());
        cluster.stop().await;
        cluster.start();
        tokio::task::yield_now().await;
    }
}

/// The commit that created a pod.
async fn created(cluster: &Cluster, pod: &str) -> u64 {
    let mut watch = cluster.registry.store().watch(&kind::POD, 1000).expect("it is recent");
    loop {
        let change = watch.next().await.expect("it was created");
        if change.key.name == pod && change.old.is_none() {
            return change.revision;
        }
    }
}
