//! How things end: what is kept, what goes, and in which order.

mod cluster;

use cluster::{Cluster, claim, claim_key, pod, pod_key, volume, volume_key, who};
use orlop_objects::{Key, kind};
use orlop_registry::{DeleteOptions, Part};
use serde_json::{Value, json};

fn manual(name: &str) -> Value {
    let mut claim = claim(name);
    claim["spec"]["storageClassName"] = "manual".into();
    claim
}

async fn bound_to(cluster: &Cluster, claim: &str) -> String {
    cluster.until_is(&claim_key(claim), "/status/phase", json!("Bound")).await;
    cluster.get(&claim_key(claim))["spec"]["volumeName"].as_str().expect("bound").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_volume_stays_and_is_nobody_elses() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME, volume("v", "manual", "1Gi")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manual("data")).await;
    bound_to(&cluster, "data").await;
    cluster.delete(&claim_key("data")).await;
    cluster.until_is(&volume_key("v"), "/status/phase", json!("Released")).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manual("data")).await;
    cluster.until_said("data", "ProvisioningFailed", "not found").await;
    assert_eq!(
        cluster.get(&claim_key("data"))["status"]["phase"],
        "Pending",
        "another claim under the same name"
    );
    // Its administrator gives it back.
    cluster
        .change(&volume_key("v"), Part::Main, |value| {
            value["spec"]["claimRef"].take();
        })
        .await;
    cluster.until_is(&claim_key("data"), "/status/phase", json!("Bound")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_volume_whose_policy_became_retain_keeps_its_data() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    let name = bound_to(&cluster, "data").await;
    cluster
        .change(&volume_key(&name), Part::Main, |value| {
            value["spec"]["persistentVolumeReclaimPolicy"] = "Retain".into();
        })
        .await;
    cluster.delete(&pod_key("web")).await;
    cluster.until_gone(&pod_key("web")).await;
    cluster.delete(&claim_key("data")).await;
    cluster.until_is(&volume_key(&name), "/status/phase", json!("Released")).await;
    cluster.delete(&volume_key(&name)).await;
    cluster.until_gone(&volume_key(&name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recycling_is_refused_in_words() {
    let cluster = Cluster::new(&["n1"]).await;
    let mut recycled = volume("v", "manual", "1Gi");
    recycled["spec"]["persistentVolumeReclaimPolicy"] = "Recycle".into();
    cluster.create(&kind::PERSISTENT_VOLUME, recycled).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manual("data")).await;
    bound_to(&cluster, "data").await;
    cluster.delete(&claim_key("data")).await;
    cluster.until_said("v", "VolumeFailedRecycle", "No recycler plugin found for the volume!").await;
    cluster.until_is(&volume_key("v"), "/status/phase", json!("Failed")).await;
    assert_eq!(cluster.get(&volume_key("v"))["status"]["reason"], "VolumeFailedRecycle");
    // Its administrator gives it back: nothing is said of it any more.
    let give_back = |value: &mut Value| drop(value["spec"]["claimRef"].take());
    cluster.change(&volume_key("v"), Part::Main, give_back).await;
    cluster.until_is(&volume_key("v"), "/status/phase", json!("Available")).await;
    let status = cluster.get(&volume_key("v"))["status"].take();
    assert_eq!((&status["reason"], &status["message"]), (&Value::Null, &Value::Null), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_could_not_be_recycled_is_deleted_as_the_advice_says() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
    let name = bound_to(&cluster, "data").await;
    let follow = |policy: &'static str| {
        move |value: &mut Value| value["spec"]["persistentVolumeReclaimPolicy"] = policy.into()
    };
    cluster.change(&volume_key(&name), Part::Main, follow("Recycle")).await;
    cluster.delete(&pod_key("web")).await;
    cluster.delete(&claim_key("data")).await;
    cluster.until_is(&volume_key(&name), "/status/phase", json!("Failed")).await;
    cluster
        .until_said(&name, "VolumeFailedRecycle", "set spec.persistentVolumeReclaimPolicy to Delete")
        .await;
    cluster.change(&volume_key(&name), Part::Main, follow("Delete")).await;
    cluster.until_gone(&volume_key(&name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_pod_holds_neither_claim_nor_volume() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("job", "data")).await;
    cluster.until_is(&pod_key("job"), "/status/phase", json!("Running")).await;
    let name = bound_to(&cluster, "data").await;
    cluster
        .change(&pod_key("job"), Part::Status, |value| value["status"]["phase"] = "Succeeded".into())
        .await;
    cluster.delete(&claim_key("data")).await;
    cluster.until_gone(&claim_key("data")).await;
    cluster.until_gone(&volume_key(&name)).await;
    assert_eq!(cluster.get(&pod_key("job"))["status"]["phase"], "Succeeded", "its record stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_claim_and_the_replacement_of_its_pod_do_not_wait_for_each_other() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    let mut template = pod("-", "data");
    template["metadata"] = json!({"labels": {"app": "web"}});
    let body = json!({"metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}});
    cluster.create(&kind::DEPLOYMENT, body).await;
    let running = |snapshot: &orlop_store::Snapshot| {
        let pods = snapshot.list(&kind::POD, None, None).map(|pod| pod.value());
        pods.filter(|pod| pod["status"]["phase"] == "Running").count() == 1
    };
    cluster.until("its pod runs", running).await;
    let volume = bound_to(&cluster, "data").await;
    let first = cluster.names(&kind::POD).remove(0);

    cluster.delete(&claim_key("data")).await;
    cluster.until_said("data", "ClaimInUse", &first).await;
    cluster.delete(&pod_key(&first)).await;
    cluster.until_gone(&claim_key("data")).await;
    cluster.until_gone(&volume_key(&volume)).await;
    // The replacement goes on by itself as soon as there is a claim again.
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.until("the replacement runs", running).await;
    assert!(!cluster.names(&kind::POD).contains(&first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_takes_its_content_with_it() {
    let cluster = Cluster::new(&["n1"]).await;
    cluster.create(&kind::NAMESPACE, json!({"metadata": {"name": "team"}})).await;
    let account = Key::new(&kind::SERVICE_ACCOUNT, "team", "default");
    cluster.until("the account is there", |snapshot| snapshot.get(&account).is_some()).await;
    let made = [(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")), (&kind::POD, pod("web", "data"))];
    for (kind, body) in made {
        cluster.registry.create(kind, "team", body, &who(), false).await.expect("it is valid");
    }
    let web = Key::new(&kind::POD, "team", "web");
    cluster.until_is(&web, "/status/phase", json!("Running")).await;
    let team = Key::cluster(&kind::NAMESPACE, "team");
    cluster.delete(&team).await;
    cluster.until_gone(&team).await;
    for kind in kind::ALL.iter().filter(|kind| kind.namespaced) {
        let snapshot = cluster.registry.snapshot();
        let left: Vec<String> = snapshot.list(kind, Some("team"), None).map(|o| o.key.to_string()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let volumes =
        |snapshot: &orlop_store::Snapshot| snapshot.list(&kind::PERSISTENT_VOLUME, None, None).count();
    cluster.until("its volume is gone", |snapshot| volumes(snapshot) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_something_goes_with_it() {
    let cluster = Cluster::new(&["n1"]).await;
    let owned_by = |name: &str, owner: &Value| {
        json!({"metadata": {"name": name, "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap",
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]}})
    };
    let map = |name: &str| Key::new(&kind::CONFIG_MAP, "default", name);
    for owner in ["background", "foreground", "orphaned"] {
        let key = cluster.create(&kind::CONFIG_MAP, json!({"metadata": {"name": owner}})).await;
        let body = owned_by(&format!("{owner}-child"), &cluster.get(&key));
        cluster.create(&kind::CONFIG_MAP, body).await;
    }
    for (owner, propagation) in
        [("background", "Background"), ("foreground", "Foreground"), ("orphaned", "Orphan")]
    {
        let options = DeleteOptions { propagation: Some(propagation.to_owned()), ..DeleteOptions::default() };
        cluster.registry.delete(&map(owner), &options, &who()).await.expect("it is there");
        cluster.until_gone(&map(owner)).await;
    }
    cluster.until_gone(&map("background-child")).await;
    cluster.until_gone(&map("foreground-child")).await;
    let child = cluster.get(&map("orphaned-child"));
    assert!(child["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty), "{child}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_another_owner_stays_when_one_goes_with_all_that_it_owns() {
    let cluster = Cluster::new(&["n1"]).await;
    let map = |name: &str| Key::new(&kind::CONFIG_MAP, "default", name);
    let mut owners = Vec::new();
    for name in ["goes", "stays"] {
        let key = cluster.create(&kind::CONFIG_MAP, json!({"metadata": {"name": name}})).await;
        let uid = cluster.get(&key)["metadata"]["uid"].clone();
        owners.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid,
            "blockOwnerDeletion": true}));
    }
    for (name, owners) in [("alone", &owners[..1]), ("shared", &owners[..])] {
        let body = json!({"metadata": {"name": name, "ownerReferences": owners}});
        cluster.create(&kind::CONFIG_MAP, body).await;
    }
    let uid = cluster.get(&map("shared"))["metadata"]["uid"].clone();
    let options = DeleteOptions { propagation: Some("Foreground".to_owned()), ..DeleteOptions::default() };
    for (owner, other) in [("goes", "alone"), ("stays", "shared")] {
        cluster.registry.delete(&map(owner), &options, &who()).await.expect("it is there");
        cluster.until_gone(&map(owner)).await;
        cluster.until_gone(&map(other)).await;
        if owner == "goes" {
            let shared = cluster.get(&map("shared"));
            assert_eq!(
                (&shared["metadata"]["uid"], shared["metadata"]["deletionTimestamp"].is_null()),
                (&uid, true)
            );
            assert_eq!(shared["metadata"]["ownerReferences"], json!([owners[1]]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_that_is_deleted_comes_back() {
    let cluster = Cluster::new(&["n1"]).await;
    let account = Key::new(&kind::SERVICE_ACCOUNT, "default", "default");
    let first = cluster.get(&account)["metadata"]["uid"].clone();
    cluster.delete(&account).await;
    let again = |snapshot: &orlop_store::Snapshot| {
        snapshot.get(&account).is_some_and(|account| account.value()["metadata"]["uid"] != first)
    };
    cluster.until("another account is there", again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_can_be_repeated() {
    let cluster = Cluster::new(&[]).await;
    let before = cluster.registry.snapshot().revision();
    orlop_controllers::bootstrap(&cluster.registry).await.expect("all is there");
    assert_eq!(cluster.registry.snapshot().revision(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_was_deleted_stays_deleted() {
    let cluster = Cluster::new(&[]).await;
    let class = |name: &str| Key::cluster(&kind::STORAGE_CLASS, name);
    let default = json!({"storageclass.kubernetes.io/is-default-class": "true"});
    cluster.delete(&class("loop")).await;
    cluster
        .create(
            &kind::STORAGE_CLASS,
            json!({"metadata": {"name": "mine", "annotations": default},
        "provisioner": "loop.orlop.dev"}),
        )
        .await;
    orlop_controllers::bootstrap(&cluster.registry).await.expect("it may be repeated");
    assert_eq!(cluster.names(&kind::STORAGE_CLASS), ["mine", "nfs"]);
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    assert_eq!(cluster.get(&claim_key("data"))["spec"]["storageClassName"], "mine");

    // A cluster of an earlier build, which noted nothing and had no class `nfs`.
    let forget = |value: &mut Value| value["metadata"]["annotations"] = json!({});
    cluster.change(&Key::cluster(&kind::NAMESPACE, "kube-system"), Part::Main, forget).await;
    cluster.delete(&class("nfs")).await;
    orlop_controllers::bootstrap(&cluster.registry).await.expect("it may be repeated");
    assert_eq!(cluster.names(&kind::STORAGE_CLASS), ["loop", "mine", "nfs"]);
    let annotations = cluster.get(&class("loop"))["metadata"]["annotations"].take();
    assert_ne!(
        annotations["storageclass.kubernetes.io/is-default-class"], "true",
        "`mine` stays the default one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_whose_owner_cannot_be_looked_up_is_kept() {
    let cluster = Cluster::new(&["n1"]).await;
    let owned = |name: &str, owner: Value| {
        let mut volume = volume(name, "manual", "1Gi");
        volume["metadata"]["ownerReferences"] = json!([owner]);
        volume
    };
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "data", "uid": "u1"});
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "name": "x", "uid": "u2"});
    // The first one's owner is in a namespace that the reference cannot name; the second one's is gone.
    cluster.create(&kind::PERSISTENT_VOLUME, owned("v", claim)).await;
    cluster.create(&kind::PERSISTENT_VOLUME, owned("w", class)).await;
    cluster.until_gone(&volume_key("w")).await;
    let kept = cluster.get(&volume_key("v"));
    assert_eq!((&kept["metadata"]["name"], kept["metadata"].get("deletionTimestamp")), (&json!("v"), None));
}
