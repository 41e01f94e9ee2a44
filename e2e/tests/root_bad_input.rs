//! What goes wrong in daily use is said in words, with the next step, and leaves nothing half made.

use orlop_e2e::{
    cluster::{Cluster, said},
    images, machine, manifests,
};
use orlop_objects::{Kind, kind};
use serde_json::{Value, json};

/// Objects that are refused when they arrive: kind, object, words that the refusal must hold.
fn refused() -> Vec<(&'static Kind, Value, &'static [&'static str])> {
    let claim = &kind::PERSISTENT_VOLUME_CLAIM;
    vec![
        (claim, manifests::claim("zero", "0"), &["spec.resources.requests[storage]", "greater than zero"]),
        (claim, manifests::claim("nonsense", "1Gi1"), &["spec.resources.requests", "1Gi1"]),
        (&kind::POD, pod_with("spec", &json!({"hostPID": true})), &["spec.hostPID"]),
        (
            &kind::POD,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "Bad_Name"}, "spec": {}}),
            &["metadata.name"],
        ),
    ]
}

fn pod_with(field: &str, extra: &Value) -> Value {
    let mut pod = manifests::pod("p", "true", None);
    for (key, value) in extra.as_object().expect("an object") {
        pod[field][key] = value.clone();
    }
    pod
}

#[tokio::test]
async fn root_bad_objects_are_refused_in_words() -> anyhow::Result<()> {
    if !machine::can_run("root_bad_objects_are_refused_in_words") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    for (kind, object, words) in refused() {
        let refusal =
            cluster.client.create(kind, "default", &object).await.expect_err("must be refused").to_string();
        for word in words {
            assert!(refusal.contains(word), "{object}\n{refusal:?} should name {word:?}");
        }
    }
    assert!(cluster.client.list(&kind::PERSISTENT_VOLUME_CLAIM, None, &[]).await?.is_empty());
    assert!(cluster.client.list(&kind::POD, None, &[]).await?.is_empty());
    Ok(())
}

/// Waits until an event about `name` holds all `words`.
async fn told(cluster: &Cluster, name: &str, words: &[&str]) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    loop {
        let reasons = cluster.reasons(name).await?;
        if reasons.iter().any(|reason| words.iter().all(|word| reason.contains(word))) {
            return Ok(());
        }
        anyhow::ensure!(
            started.elapsed() < orlop_e2e::cluster::PATIENCE,
            "{name}: no event with {words:?} in {reasons:#?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn root_what_cannot_go_on_says_why() -> anyhow::Result<()> {
    if !machine::can_run("root_what_cannot_go_on_says_why") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    // A claim alone waits for its consumer.
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("alone", "32Mi")).await?;
    told(&cluster, "alone", &["WaitForFirstConsumer", "waiting for first consumer"]).await?;
    // A pod whose claim is not there.
    cluster.create(&kind::POD, manifests::pod("lonely", "true", Some("nowhere"))).await?;
    told(&cluster, "lonely", &["FailedScheduling", "persistentvolumeclaim \"nowhere\" not found"]).await?;
    // An image that is not there.
    let mut pod = manifests::pod("imageless", "true", None);
    pod["spec"]["containers"][0]["image"] = json!("nosuch:1");
    cluster.create(&kind::POD, pod).await?;
    told(&cluster, "imageless", &["nosuch:1", "orlop image load"]).await?;
    // A claim larger than the pool, when a pod wants it.
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("huge", "100Pi")).await?;
    cluster.create(&kind::POD, manifests::pod("hungry", "true", Some("huge"))).await?;
    told(&cluster, "huge", &["ProvisioningFailed", "pool"]).await?;
    // A class whose provisioner nobody has.
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "odd"},
        "provisioner": "nobody.example.com"});
    cluster.create(&kind::STORAGE_CLASS, class).await?;
    let mut claim = manifests::claim("orphan", "1Gi");
    claim["spec"]["storageClassName"] = json!("odd");
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
    told(&cluster, "orphan", &["nobody.example.com"]).await?;
    let volumes = cluster.client.list(&kind::PERSISTENT_VOLUME, None, &[]).await?;
    assert!(volumes.is_empty(), "nothing half made: {volumes:?}");
    Ok(())
}

#[test]
fn root_the_command_line_says_what_is_wrong() -> anyhow::Result<()> {
    if !machine::can_run("root_the_command_line_says_what_is_wrong") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let scratch = tempfile::tempdir()?;
    let scratch = scratch.path().to_string_lossy().into_owned();
    std::fs::write(format!("{scratch}/file"), "not an archive")?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let fresh = format!("{scratch}/fresh");
    for (arguments, words) in [
        (vec!["up", "--listen", "127.0.0.1:0"], vec!["is in use by another orlop", "--data-dir"]),
        (vec!["--data-dir", &scratch, "up"], vec!["not a data directory of Orlop", "--data-dir"]),
        (vec!["--data-dir", &scratch, "reset", "--yes"], vec!["not a data directory of Orlop"]),
        (vec!["--data-dir", &fresh, "up", "--listen", &address], vec!["in use", "--listen"]),
        (vec!["image", "load", "/nonexistent.tar"], vec!["/nonexistent.tar"]),
        (vec!["image", "load", &format!("{scratch}/file")], vec!["not an image", "docker save"]),
        (vec!["image", "rm", "nosuch:1"], vec!["nosuch:1"]),
    ] {
        let output = cluster.command(&arguments).output()?;
        let text = said(&output);
        assert!(!output.status.success(), "{arguments:?} should fail: {text}");
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {text:?} should hold {word:?}");
        }
    }
    assert!(std::path::Path::new(&scratch).join("file").exists(), "a foreign directory is left alone");
    Ok(())
}
