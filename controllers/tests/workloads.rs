//! Deployments and replica sets in a cluster: created, renewed, rolled back, stuck, resized, taken apart.

mod cluster;

use std::{collections::BTreeMap, time::Instant};

use cluster::{BROKEN, Cluster, pod_key};
use orlop_objects::{Key, Revision, kind};
use orlop_registry::{DeleteOptions, Part};
use orlop_store::Snapshot;
use serde_json::{Value, json};

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn deployment(replicas: i32, more: Value) -> Value {
    let mut spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template("one")});
    if let Value::Object(fields) = more {
        fields.into_iter().for_each(|(field, value)| spec[field] = value);
    }
    json!({"metadata": {"name": "web"}, "spec": spec})
}

fn web() -> Key {
    Key::new(&kind::DEPLOYMENT, "default", "web")
}

/// All pods wanted are of the newest template and available, and the status speaks of the newest spec.
async fn until_rolled_out(cluster: &Cluster, replicas: i32) {
    let out = |snapshot: &Snapshot| {
        let value = snapshot.get(&web()).expect("it is there").value();
        let (status, wanted) = (&value["status"], &json!(replicas));
        let count = |field: &str| status[field].as_i64().unwrap_or(0) == i64::from(replicas);
        status["observedGeneration"] == value["metadata"]["generation"]
            && &value["spec"]["replicas"] == wanted
            && ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].into_iter().all(count)
    };
    cluster.until("the deployment is rolled out", out).await;
}

fn condition(cluster: &Cluster, type_: &str) -> (String, String) {
    let value = cluster.get(&web());
    let all = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|c| c["type"] == type_).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// Image and wanted replicas of each set, by revision.
fn sets(cluster: &Cluster) -> Vec<(String, String, i64)> {
    let snapshot = cluster.registry.snapshot();
    let read = |value: Value| {
        let revision = value["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
        let image = value["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
        let wants = value["spec"]["replicas"].as_i64();
        (revision.unwrap_or("?").to_owned(), image.unwrap_or("?").to_owned(), wants.unwrap_or(-1))
    };
    let mut sets: Vec<_> =
        snapshot.list(&kind::REPLICA_SET, None, None).map(|set| read(set.value())).collect();
    sets.sort();
    sets
}

/// At every moment since `from`: how many pods there were, how many of them were ready, and of how many images.
async fn moments(cluster: &Cluster, from: Revision) -> Vec<(usize, usize, usize)> {
    let mut pods: BTreeMap<String, Value> = BTreeMap::new();
    let mut moments = Vec::new();
    for (name, value) in cluster.history(&kind::POD, from).await {
        if value.is_null() {
            pods.remove(&name);
        } else {
            pods.insert(name, value);
        }
        let active = || pods.values().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let ready = active().filter(|pod| pod["status"]["phase"] == "Running").count();
        let mut images: Vec<_> =
            pods.values().map(|pod| pod["spec"]["containers"][0]["image"].to_string()).collect();
        images.sort();
        images.dedup();
        moments.push((active().count(), ready, images.len()));
    }
    moments
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_made_renewed_and_rolled_back() {
    let cluster = Cluster::new(&["n1", "n2"]).await;
    let from = cluster.registry.snapshot().revision();
    cluster.create(&kind::DEPLOYMENT, deployment(3, json!({}))).await;
    until_rolled_out(&cluster, 3).await;
    cluster
        .until("it is available", |_| {
            condition(&cluster, "Available") == ("True".to_owned(), "MinimumReplicasAvailable".to_owned())
        })
        .await;
    cluster.until("it is whole", |_| condition(&cluster, "Progressing").1 == "NewReplicaSetAvailable").await;
    cluster.until_said("web", "ScalingReplicaSet", "Scaled up replica set web-").await;
    let names = cluster.names(&kind::POD);
    let set = cluster.names(&kind::REPLICA_SET).remove(0);
    assert!(names.iter().all(|name| name.starts_with(&format!("{set}-"))), "{names:?} of {set}");
    cluster.until_said(&set, "SuccessfulCreate", &format!("Created pod: {}", names[0])).await;

    cluster.set_image(&web(), "two").await;
    until_rolled_out(&cluster, 3).await;
    let both = |first: i64, second: i64| {
        vec![("1".to_owned(), "one".to_owned(), first), ("2".to_owned(), "two".to_owned(), second)]
    };
    cluster.until("the old set is empty", |_| sets(&cluster) == both(0, 3)).await;
    // maxSurge and maxUnavailable are 25 %: of three, one more, and none less.
    let seen = moments(&cluster, from).await;
    assert!(seen.iter().all(|(pods, ..)| *pods <= 4), "{seen:?}");
    let first = seen.iter().position(|(_, ready, _)| *ready == 3).expect("three were ready once");
    assert!(seen[first..].iter().all(|(_, ready, _)| *ready >= 3), "{seen:?}");

    // What `kubectl rollout undo` does.
    cluster.set_image(&web(), "one").await;
    until_rolled_out(&cluster, 3).await;
    let back = vec![("2".to_owned(), "two".to_owned(), 0), ("3".to_owned(), "one".to_owned(), 3)];
    cluster.until("the first set has come back", |_| sets(&cluster) == back).await;
    cluster.until_is(&web(), "/metadata/annotations/deployment.kubernetes.io~1revision", json!("3")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreate_never_has_two_versions() {
    let cluster = Cluster::new(&["n1"]).await;
    let from = cluster.registry.snapshot().revision();
    cluster.create(&kind::DEPLOYMENT, deployment(3, json!({"strategy": {"type": "Recreate"}}))).await;
    until_rolled_out(&cluster, 3).await;
    cluster.set_image(&web(), "two").await;
    until_rolled_out(&cluster, 3).await;
    let seen = moments(&cluster, from).await;
    assert!(seen.iter().all(|(.., images)| *images <= 1), "{seen:?}");
    assert_eq!(cluster.names(&kind::POD).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_update_keeps_what_works_and_says_so() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::DEPLOYMENT, deployment(4, json!({"progressDeadlineSeconds": 1}))).await;
    until_rolled_out(&cluster, 4).await;
    cluster.set_image(&web(), BROKEN).await;
    let late = ("False".to_owned(), "ProgressDeadlineExceeded".to_owned());
    cluster.until("the deadline passes", |_| condition(&cluster, "Progressing") == late).await;
    cluster.until_is(&web(), "/status/availableReplicas", json!(3)).await;
    assert_eq!(condition(&cluster, "Available").0, "True");
    cluster.set_image(&web(), "one").await;
    until_rolled_out(&cluster, 4).await;
    cluster.until("it is whole", |_| condition(&cluster, "Progressing").1 == "NewReplicaSetAvailable").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_deployment_is_resized_and_not_renewed() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::DEPLOYMENT, deployment(2, json!({}))).await;
    until_rolled_out(&cluster, 2).await;
    cluster.change(&web(), Part::Main, |value| value["spec"]["paused"] = true.into()).await;
    cluster.until("it says so", |_| condition(&cluster, "Progressing").1 == "DeploymentPaused").await;
    cluster.set_image(&web(), "two").await;
    cluster.change(&web(), Part::Main, |value| value["spec"]["replicas"] = 5.into()).await;
    cluster.until_is(&web(), "/status/availableReplicas", json!(5)).await;
    assert_eq!(sets(&cluster), [("1".to_owned(), "one".to_owned(), 5)]);
    cluster.change(&web(), Part::Main, |value| value["spec"]["paused"] = false.into()).await;
    until_rolled_out(&cluster, 5).await;
    cluster
        .until("the new set has all", |_| sets(&cluster)[1] == ("2".to_owned(), "two".to_owned(), 5))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_adopted_released_and_replaced() {
    let mut cluster = Cluster::new(&["n1", "n2"]).await;
    let loose = json!({"metadata": {"name": "loose", "labels": {"app": "web"}},
        "spec": {"nodeName": "n2", "containers": [{"name": "c", "image": "one"}]}});
    cluster.create(&kind::POD, loose).await;
    cluster.until_is(&pod_key("loose"), "/status/phase", json!("Running")).await;
    let set = json!({"metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("one")}});
    let set = cluster.create(&kind::REPLICA_SET, set).await;
    cluster.until_is(&set, "/status/availableReplicas", json!(2)).await;
    assert_eq!(cluster.get(&pod_key("loose"))["metadata"]["ownerReferences"][0]["name"], "web");
    assert_eq!(cluster.names(&kind::POD).len(), 2);

    // A label changed by hand: somebody wants to look at this pod in peace.
    cluster
        .change(&pod_key("loose"), Part::Main, |pod| pod["metadata"]["labels"]["app"] = "aside".into())
        .await;
    cluster.until("another one is made", |s| s.list(&kind::POD, None, None).count() == 3).await;
    cluster.until_is(&pod_key("loose"), "/metadata/ownerReferences", json!([])).await;

    // On a node that is lost, a pod whose deletion was asked for stays, and is replaced all the same.
    cluster
        .change(&pod_key("loose"), Part::Main, |pod| pod["metadata"]["labels"]["app"] = "web".into())
        .await;
    cluster.until_is(&set, "/status/replicas", json!(2)).await;
    cluster.change(&set, Part::Main, |set| set["spec"]["replicas"] = 3.into()).await;
    cluster.until_is(&set, "/status/availableReplicas", json!(3)).await;
    cluster.lose_node(1, "n2").await;
    let on_n2 = |pod: &Value| pod["spec"]["nodeName"] == "n2";
    let lost: Vec<Key> = {
        let snapshot = cluster.registry.snapshot();
        let pods = snapshot.list(&kind::POD, None, None).filter(|pod| on_n2(&pod.value()));
        pods.map(|pod| pod.key.clone()).collect()
    };
    for key in &lost {
        cluster.delete(key).await;
    }
    let all = 3 + lost.len();
    cluster.until("they are replaced", |s| s.list(&kind::POD, None, None).count() == all).await;
    cluster.until_is(&set, "/status/terminatingReplicas", json!(lost.len())).await;
    cluster.until_is(&set, "/status/availableReplicas", json!(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_cannot_be_made_are_a_condition_and_an_event() {
    let cluster = Cluster::new(&["n1"]).await;
    let mut deployment = deployment(2, json!({}));
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = "builder".into();
    cluster.create(&kind::DEPLOYMENT, deployment).await;
    cluster
        .until("it says so", |_| {
            condition(&cluster, "ReplicaFailure") == ("True".to_owned(), "FailedCreate".to_owned())
        })
        .await;
    let set = cluster.names(&kind::REPLICA_SET).remove(0);
    cluster.until_said(&set, "FailedCreate", "serviceaccount \"builder\" not found").await;
    // The same words each time, whatever name was drawn: else saying so would wake the next try.
    cluster
        .until_said(&set, "FailedCreate", &format!("Error creating: pods default/{set}-: forbidden"))
        .await;
    cluster.create(&kind::SERVICE_ACCOUNT, json!({"metadata": {"name": "builder"}})).await;
    until_rolled_out(&cluster, 2).await;
    cluster.until("nothing fails any more", |_| condition(&cluster, "ReplicaFailure").0.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_takes_its_pods_along_or_leaves_them() {
    let cluster = Cluster::new(&["n1"]).await;
    let count = |kind: &'static orlop_objects::Kind| cluster.names(kind).len();
    for how in ["Foreground", "Background"] {
        cluster.create(&kind::DEPLOYMENT, deployment(2, json!({}))).await;
        until_rolled_out(&cluster, 2).await;
        let options = DeleteOptions { propagation: Some(how.to_owned()), ..DeleteOptions::default() };
        cluster.registry.delete(&web(), &options, &cluster::who()).await.expect("it is there");
        if how == "Foreground" {
            cluster.until_gone(&web()).await;
            assert_eq!((count(&kind::REPLICA_SET), count(&kind::POD)), (0, 0), "it goes last");
        }
        let empty = |s: &Snapshot| {
            [&kind::DEPLOYMENT, &kind::REPLICA_SET, &kind::POD]
                .iter()
                .all(|k| s.list(k, None, None).count() == 0)
        };
        cluster.until(how, empty).await;
    }
    cluster.create(&kind::DEPLOYMENT, deployment(2, json!({}))).await;
    until_rolled_out(&cluster, 2).await;
    let pods = cluster.names(&kind::POD);
    let options = DeleteOptions { propagation: Some("Orphan".to_owned()), ..DeleteOptions::default() };
    cluster.registry.delete(&web(), &options, &cluster::who()).await.expect("it is there");
    cluster.until_gone(&web()).await;
    assert_eq!((count(&kind::REPLICA_SET), count(&kind::POD)), (1, 2));
    // A deployment of the same template takes them over as they are.
    cluster.create(&kind::DEPLOYMENT, deployment(2, json!({}))).await;
    until_rolled_out(&cluster, 2).await;
    assert_eq!(cluster.names(&kind::POD), pods);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pods() {
    let cluster = Cluster::new(&["n1", "n2"]).await;
    let started = Instant::now();
    cluster.create(&kind::DEPLOYMENT, deployment(100, json!({}))).await;
    cluster.until("all pods are made", |s| s.list(&kind::POD, None, None).count() == 100).await;
    let made = started.elapsed();
    until_rolled_out(&cluster, 100).await;
    let out = started.elapsed();
    println!("a deployment of 100: pods made in {made:?}, available in {out:?}");
    cluster.change(&web(), Part::Main, |value| value["spec"]["replicas"] = 0.into()).await;
    cluster.until("all pods are gone", |s| s.list(&kind::POD, None, None).count() == 0).await;
    println!("and gone in {:?}", started.elapsed().saturating_sub(out));
}

/// The nodes that have a running pod with this image.
fn daemons(snapshot: &Snapshot, image: &str) -> Vec<String> {
    let runs =
        |pod: &Value| pod["status"]["phase"] == "Running" && pod["spec"]["containers"][0]["image"] == image;
    let pods = snapshot.list(&kind::POD, None, None).map(|pod| pod.value()).filter(runs);
    let mut nodes: Vec<_> =
        pods.filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)).collect();
    nodes.sort();
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_is_on_every_node_that_it_fits() {
    let mut cluster = Cluster::new(&["n1", "n2"]).await;
    let set = json!({"metadata": {"name": "logs"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("one")}});
    let set = cluster.create(&kind::DAEMON_SET, set).await;
    cluster.until("on both", |s| daemons(s, "one") == ["n1", "n2"]).await;
    cluster.add_node("n3").await;
    cluster.until("on the third", |s| daemons(s, "one") == ["n1", "n2", "n3"]).await;
    cluster.until_is(&set, "/status/numberAvailable", json!(3)).await;

    let n2 = Key::cluster(&kind::NODE, "n2");
    let taint = |effect: Value| move |node: &mut Value| node["spec"]["taints"] = effect.clone();
    cluster.change(&n2, Part::Main, taint(json!([{"key": "mine", "effect": "NoExecute"}]))).await;
    cluster.until("not where it may not be", |s| daemons(s, "one") == ["n1", "n3"]).await;
    cluster.until_is(&set, "/status/desiredNumberScheduled", json!(2)).await;
    cluster.change(&n2, Part::Main, taint(json!([]))).await;
    cluster.until("back again", |s| daemons(s, "one") == ["n1", "n2", "n3"]).await;

    let image = "/spec/template/spec/containers/0/image";
    cluster.change(&set, Part::Main, |v| *v.pointer_mut(image).expect("it is there") = "two".into()).await;
    cluster.until("renewed", |s| daemons(s, "two") == ["n1", "n2", "n3"]).await;
    cluster.until_is(&set, "/status/updatedNumberScheduled", json!(3)).await;
    cluster.delete(&set).await;
    cluster.until("gone", |s| s.list(&kind::POD, None, None).count() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selector_of_expressions_alone_finds_its_orphans() {
    let cluster = Cluster::new(&["n1"]).await;
    for name in ["a", "b"] {
        let labels = json!({"app": "web", "tier": "front", "zone": name});
        let pod = json!({"metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "c", "image": "one"}]}});
        cluster.create(&kind::POD, pod).await;
    }
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]});
    let set = json!({"metadata": {"name": "any"},
        "spec": {"replicas": 2, "selector": selector, "template": template("one")}});
    let set = cluster.create(&kind::REPLICA_SET, set).await;
    cluster.until_is(&set, "/status/availableReplicas", json!(2)).await;
    assert_eq!(cluster.names(&kind::POD), ["a", "b"]);
    // Each is adopted once.
    let owners =
        |name: &str| cluster.get(&pod_key(name))["metadata"]["ownerReferences"].as_array().map(Vec::len);
    assert_eq!((owners("a"), owners("b")), (Some(1), Some(1)));
}
