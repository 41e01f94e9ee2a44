//! How claims find volumes, or hear why not.

mod cluster;

use cluster::{Cluster, claim, claim_key, pod, pod_key, volume, volume_key};
use orlop_objects::kind;
use orlop_registry::Part;
use serde_json::{Value, json};

fn claim_of(name: &str, class: &str, size: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "resources": {"requests": {"storage": size}}}})
}

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode, "reclaimPolicy": "Delete"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_a_class_without_object_gets_the_smallest_volume_that_fits() {
    let cluster = Cluster::new(&["n1"]).await;
    for (name, size) in [("large", "10Gi"), ("right", "5Gi"), ("small", "1Gi")] {
        cluster.create(&kind::PERSISTENT_VOLUME, volume(name, "manual", size)).await;
        cluster.until_is(&volume_key(name), "/status/phase", json!("Available")).await;
    }
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("task", "manual", "3Gi")).await;
    cluster.until_is(&claim_key("task"), "/status/phase", json!("Bound")).await;
    let bound = cluster.get(&claim_key("task"));
    assert_eq!(bound["spec"]["volumeName"], "right");
    assert_eq!(bound["status"]["capacity"]["storage"], "5Gi");
    assert_eq!(cluster.get(&volume_key("right"))["status"]["phase"], "Bound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_is_bound_when_its_volume_comes() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("task", "manual", "3Gi")).await;
    cluster
        .until_said("task", "ProvisioningFailed", "storageclass.storage.k8s.io \"manual\" not found")
        .await;
    cluster.create(&kind::PERSISTENT_VOLUME, volume("v", "manual", "3Gi")).await;
    cluster.until_is(&claim_key("task"), "/status/phase", json!("Bound")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_claims_race_for_few_volumes_and_none_is_held_twice() {
    let cluster = Cluster::new(&["n1"]).await;
    for n in 0..30 {
        let body = claim_of(&format!("c{n}"), "manual", "1Gi");
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
        if n % 3 == 0 {
            cluster.create(&kind::PERSISTENT_VOLUME, volume(&format!("v{n}"), "manual", "1Gi")).await;
        }
    }
    let bound = |snapshot: &orlop_store::Snapshot| {
        let claims = snapshot.list(&kind::PERSISTENT_VOLUME_CLAIM, None, None).map(|claim| claim.value());
        claims.filter(|claim| claim["status"]["phase"] == "Bound").count()
    };
    cluster.until("ten are bound", |snapshot| bound(snapshot) == 10).await;
    let snapshot = cluster.registry.snapshot();
    for object in snapshot.list(&kind::PERSISTENT_VOLUME, None, None) {
        let volume = object.value();
        let holder = volume["spec"]["claimRef"]["name"].as_str().expect("it is bound");
        let claim = cluster.get(&claim_key(holder));
        assert_eq!(claim["spec"]["volumeName"], *object.meta.name);
        assert_eq!(claim["metadata"]["uid"], volume["spec"]["claimRef"]["uid"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_names_a_taken_volume_hears_who_has_it() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME, volume("v", "manual", "3Gi")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("first", "manual", "3Gi")).await;
    cluster.until_is(&claim_key("first"), "/status/phase", json!("Bound")).await;
    let mut second = claim_of("second", "manual", "3Gi");
    second["spec"]["volumeName"] = "v".into();
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, second).await;
    cluster
        .until_said(
            "second",
            "FailedBinding",
            "already bound to a different claim. It is held by claim default/first",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immediate_class_gets_its_volume_without_a_pod() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::STORAGE_CLASS, class("loop-now", "loop.orlop.dev", "Immediate")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("now", "loop-now", "1Gi")).await;
    cluster.until_is(&claim_key("now"), "/status/phase", json!("Bound")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provisioner_that_nobody_has_is_named_with_those_there_are() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::STORAGE_CLASS, class("cloud", "ebs.csi.aws.com", "Immediate")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("far", "cloud", "1Gi")).await;
    cluster.until_said("far", "ExternalProvisioning", "external provisioner 'ebs.csi.aws.com'").await;
    cluster.until_said("far", "ExternalProvisioning", "Installed: loop.orlop.dev").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_without_class_takes_the_default_one_that_appears() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.delete(&orlop_objects::Key::cluster(&kind::STORAGE_CLASS, "loop")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster
        .until_said(
            "data",
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
        )
        .await;
    let mut now = class("now", "loop.orlop.dev", "Immediate");
    now["metadata"]["annotations"] = json!({"storageclass.kubernetes.io/is-default-class": "true"});
    cluster.create(&kind::STORAGE_CLASS, now).await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Bound")).await;
    assert_eq!(cluster.get(&claim_key("data"))["spec"]["storageClassName"], "now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_class_takes_the_volume_that_its_pods_node_reaches() {
    let cluster = Cluster::new(&["n1", "n2"]).await;
    cluster
        .create(&kind::STORAGE_CLASS, class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"))
        .await;
    let mut disk = volume("disk", "local", "5Gi");
    disk["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}]}});
    cluster.create(&kind::PERSISTENT_VOLUME, disk).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("data", "local", "1Gi")).await;
    cluster.until_said("data", "WaitForFirstConsumer", "waiting for first consumer").await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster.until_is(&pod_key("web"), "/spec/nodeName", json!("n2")).await;
    assert_eq!(cluster.get(&claim_key("data"))["spec"]["volumeName"], "disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_asks_for_more_hears_that_it_keeps_what_it_has() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Bound")).await;
    let ask = |value: &mut Value| value["spec"]["resources"]["requests"]["storage"] = "2Gi".into();
    cluster.change(&claim_key("data"), Part::Main, ask).await;
    let words = "volumes do not grow yet; the claim asks for 2Gi and keeps 1Gi";
    cluster.until_said("data", "VolumeResizeFailed", words).await;
    assert_eq!(cluster.get(&claim_key("data"))["status"]["capacity"]["storage"], "1Gi");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_volume_vanishes_is_lost_and_says_so() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME, volume("v", "manual", "3Gi")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim_of("data", "manual", "3Gi")).await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Bound")).await;
    cluster.delete(&volume_key("v")).await;
    cluster.until_said("v", "VolumeInUse", "still bound to claim default/data").await;
    cluster.change(&volume_key("v"), Part::Main, |value| value["metadata"]["finalizers"] = json!([])).await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Lost")).await;
    cluster.until_said("data", "ClaimLost", "Bound claim has lost its PersistentVolume.").await;
}
