//! Stateful sets in a cluster: numbers, claims, order, updates, lost nodes.

mod cluster;

use std::collections::BTreeSet;

use cluster::{BROKEN, Cluster, claim_key, pod_key};
use orlop_objects::{Key, kind};
use orlop_registry::{DeleteOptions, Part};
use orlop_store::Snapshot;
use serde_json::{Value, json};

fn set(replicas: i32, more: Value) -> Value {
    let mut spec = json!({"replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one",
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}]});
    if let Value::Object(fields) = more {
        fields.into_iter().for_each(|(field, value)| spec[field] = value);
    }
    json!({"metadata": {"name": "web"}, "spec": spec})
}

fn web() -> Key {
    Key::new(&kind::STATEFUL_SET, "default", "web")
}

async fn resize(cluster: &Cluster, replicas: i32) {
    cluster.change(&web(), Part::Main, |set| set["spec"]["replicas"] = replicas.into()).await;
}

async fn until_whole(cluster: &Cluster, replicas: i64) {
    let whole = |snapshot: &Snapshot| {
        let value = snapshot.get(&web()).expect("it is there").value();
        let status = &value["status"];
        let count = |field: &str| status[field].as_i64().unwrap_or(0) == replicas;
        status["observedGeneration"] == value["metadata"]["generation"]
            && status["currentRevision"] == status["updateRevision"]
            && ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "currentReplicas"]
                .into_iter()
                .all(count)
    };
    cluster.until("the set is whole", whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_come_in_order_and_find_their_claims_again() {
    let cluster = Cluster::new(&["n1"]).await;
    let from = cluster.registry.snapshot().revision();
    cluster.create(&kind::STATEFUL_SET, set(3, json!({}))).await;
    until_whole(&cluster, 3).await;
    assert_eq!(cluster.names(&kind::POD), ["web-0", "web-1", "web-2"]);
    assert_eq!(cluster.names(&kind::PERSISTENT_VOLUME_CLAIM), ["data-web-0", "data-web-1", "data-web-2"]);
    cluster
        .until_said("web", "SuccessfulCreate", "create Claim data-web-0 Pod web-0 in StatefulSet web success")
        .await;
    let pod = cluster.get(&pod_key("web-1"));
    assert_eq!(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "1");
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("web-1"), &json!("web")));
    assert_eq!(cluster.get(&claim_key("data-web-1"))["metadata"]["labels"], json!({"app": "web"}));
    let volumes: Vec<Value> = ["data-web-1", "data-web-2"]
        .map(|name| cluster.get(&claim_key(name))["spec"]["volumeName"].clone())
        .into();

    resize(&cluster, 1).await;
    cluster.until_gone(&pod_key("web-1")).await;
    until_whole(&cluster, 1).await;
    assert_eq!(cluster.names(&kind::PERSISTENT_VOLUME_CLAIM).len(), 3);
    resize(&cluster, 3).await;
    until_whole(&cluster, 3).await;
    let again =
        ["data-web-1", "data-web-2"].map(|name| cluster.get(&claim_key(name))["spec"]["volumeName"].clone());
    assert_eq!(volumes, again);

    // Up: each was made when the one below was ready. Down: each went when the one above was gone.
    let mut ready: BTreeSet<String> = BTreeSet::new();
    let mut there: BTreeSet<String> = BTreeSet::new();
    for (name, pod) in cluster.history(&kind::POD, from).await {
        if pod.is_null() {
            there.remove(&name);
            ready.remove(&name);
            continue;
        }
        if there.insert(name.clone()) {
            assert!(
                there.iter().filter(|other| **other < name).all(|other| ready.contains(other)),
                "{name} too early"
            );
        }
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            assert_eq!(there.last(), Some(&name), "{name} went before its turn");
        }
        if pod["status"]["phase"] == "Running" {
            ready.insert(name);
        }
    }

    cluster.delete(&web()).await;
    cluster.until("the pods are gone", |s| s.list(&kind::POD, None, None).count() == 0).await;
    assert_eq!(cluster.names(&kind::PERSISTENT_VOLUME_CLAIM).len(), 3);
    cluster
        .until("the revisions are gone", |s| s.list(&kind::CONTROLLER_REVISION, None, None).count() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_go_where_the_policy_says_so() {
    let cluster = Cluster::new(&["n1"]).await;
    let policy =
        json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"}});
    cluster.create(&kind::STATEFUL_SET, set(2, policy)).await;
    until_whole(&cluster, 2).await;
    resize(&cluster, 1).await;
    cluster.until_gone(&claim_key("data-web-1")).await;
    until_whole(&cluster, 1).await;
    assert_eq!(cluster.names(&kind::PERSISTENT_VOLUME_CLAIM), ["data-web-0"]);
    resize(&cluster, 2).await;
    until_whole(&cluster, 2).await;
    cluster.delete(&web()).await;
    cluster
        .until("the claims are gone", |s| s.list(&kind::PERSISTENT_VOLUME_CLAIM, None, None).count() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_goes_downwards_to_the_partition_and_back() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::STATEFUL_SET, set(3, json!({}))).await;
    until_whole(&cluster, 3).await;
    cluster
        .change(&web(), Part::Main, |set| {
            set["spec"]["updateStrategy"] =
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
        })
        .await;
    cluster.set_image(&web(), "two").await;
    let images = |s: &Snapshot| {
        let image = |n: usize| {
            s.get(&pod_key(&format!("web-{n}")))
                .map(|pod| pod.value()["spec"]["containers"][0]["image"].clone())
        };
        [0, 1, 2].map(image)
    };
    let are =
        |wanted: [&'static str; 3]| move |s: &Snapshot| images(s) == wanted.map(|image| Some(json!(image)));
    cluster.until("down to the partition", are(["one", "two", "two"])).await;
    cluster.until_is(&web(), "/status/updatedReplicas", json!(2)).await;
    let status = cluster.get(&web())["status"].clone();
    assert_ne!(status["currentRevision"], status["updateRevision"]);
    // Below the partition, a lost pod comes back as it was.
    cluster.delete(&pod_key("web-0")).await;
    cluster.until_is(&web(), "/status/readyReplicas", json!(3)).await;
    cluster.until("as it was", are(["one", "two", "two"])).await;
    cluster
        .change(&web(), Part::Main, |set| {
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into();
        })
        .await;
    until_whole(&cluster, 3).await;
    assert!(are(["two", "two", "two"])(&cluster.registry.snapshot()));

    // What `kubectl rollout undo` does with the first revision.
    cluster.set_image(&web(), "one").await;
    until_whole(&cluster, 3).await;
    assert!(are(["one", "one", "one"])(&cluster.registry.snapshot()));
    let revisions: BTreeSet<i64> = {
        let snapshot = cluster.registry.snapshot();
        let all = snapshot.list(&kind::CONTROLLER_REVISION, None, None);
        all.filter_map(|revision| revision.value()["revision"].as_i64()).collect()
    };
    assert_eq!(revisions, BTreeSet::from([2, 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_pods_do_not_wait_for_each_other() {
    let cluster = Cluster::new(&["n1"]).await;
    let mut parallel = set(3, json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 5}}));
    parallel["spec"]["template"]["spec"]["containers"][0]["image"] = BROKEN.into();
    cluster.create(&kind::STATEFUL_SET, parallel).await;
    cluster.until("all are made", |s| s.list(&kind::POD, None, None).count() == 3).await;
    assert_eq!(cluster.names(&kind::POD), ["web-5", "web-6", "web-7"]);
    cluster.set_image(&web(), "one").await;
    until_whole(&cluster, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_on_a_lost_node_holds_its_successor_back() {
    let mut cluster = Cluster::new(&["n1", "n2"]).await;
    let mut plain = set(2, json!({"volumeClaimTemplates": null}));
    plain["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].take();
    cluster.create(&kind::STATEFUL_SET, plain).await;
    until_whole(&cluster, 2).await;
    let node = cluster.get(&pod_key("web-1"))["spec"]["nodeName"].as_str().expect("it has one").to_owned();
    let uid = cluster.get(&pod_key("web-1"))["metadata"]["uid"].clone();
    cluster.lose_node(usize::from(node == "n2"), &node).await;
    cluster.delete(&pod_key("web-1")).await;
    cluster.until_said("web", "PodHeldByLostNode", "there is never more than one web-1").await;
    assert_eq!(cluster.get(&pod_key("web-1"))["metadata"]["uid"], uid);
    // Its node's end is certain: an administrator says so.
    let forced = DeleteOptions { grace: Some(0), ..DeleteOptions::default() };
    cluster.registry.delete(&pod_key("web-1"), &forced, &cluster::who()).await.expect("it is there");
    let replaced =
        |s: &Snapshot| s.get(&pod_key("web-1")).is_some_and(|pod| pod.value()["metadata"]["uid"] != uid);
    cluster.until("it is replaced", replaced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_taken_apart_is_put_together_again() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::STATEFUL_SET, set(2, json!({}))).await;
    until_whole(&cluster, 2).await;
    let uid = |name: &str| cluster.get(&pod_key(name))["metadata"]["uid"].clone();
    let before = [uid("web-0"), uid("web-1")];
    let options = DeleteOptions { propagation: Some("Orphan".to_owned()), ..DeleteOptions::default() };
    cluster.registry.delete(&web(), &options, &cluster::who()).await.expect("it is there");
    cluster.until_gone(&web()).await;
    let larger = json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}}}}]});
    cluster.create(&kind::STATEFUL_SET, set(3, larger)).await;
    until_whole(&cluster, 3).await;
    assert_eq!([uid("web-0"), uid("web-1")], before);
    assert_eq!(cluster.get(&claim_key("data-web-2"))["spec"]["resources"]["requests"]["storage"], "2Gi");
}
