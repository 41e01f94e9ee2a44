//! What goes wrong in daily use is said in words, with the next step, and leaves nothing half made.
#![allow(clippy::disallowed_methods, reason = "these tests run curl; that is what they are for")]

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
        (
            claim,
            manifests::claim("nonsense", "1Gi1"),
            &["spec.resources.requests", "1Gi1", "did you mean 1Gi?"],
        ),
        (
            claim,
            manifests::claim("negative", "-1Gi"),
            &["spec.resources.requests[storage]", "greater than zero"],
        ),
        (claim, manifests::claim("empty", ""), &["spec.resources.requests[storage]", "such as 10Gi"]),
        (
            claim,
            json!({"metadata": {"name": "m"}, "spec": {"accessModes": ["ReadWrite"], "resources": {"requests": {"storage": "1Gi"}}}}),
            &["spec.accessModes[0]", "\"ReadWriteOnce\""],
        ),
        (
            &kind::STORAGE_CLASS,
            json!({"metadata": {"name": "c"}, "provisioner": "loop.orlop.dev", "reclaimPolicy": "Recycle"}),
            &["reclaimPolicy", "\"Delete\", \"Retain\""],
        ),
        (
            &kind::POD,
            pod_with(
                "spec",
                &json!({"initContainers": [{"name": "i", "image": "busybox", "restartPolicy": "Always"}]}),
            ),
            &["spec.initContainers[0].restartPolicy", "not built yet"],
        ),
        (
            &kind::POD,
            pod_with("spec", &json!({"volumes": [{"name": "m", "configMap": {"name": "c"}}]})),
            &["spec.volumes[0].configMap", "use emptyDir, hostPath, nfs, or a PersistentVolumeClaim"],
        ),
        (
            &kind::POD,
            pod_with("spec", &json!({"volumes": [{"name": "h", "hostPath": {"path": "/a/../b"}}]})),
            &["spec.volumes[0].hostPath.path", "must not contain '..'"],
        ),
        (
            &kind::POD,
            pod_with("spec", &json!({"serviceAccountName": "nobody"})),
            &["serviceaccount \"nobody\" not found", "create it first"],
        ),
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
        let namespace = if kind.namespaced { "default" } else { "" };
        let refusal =
            cluster.client.create(kind, namespace, &object).await.expect_err("must be refused").to_string();
        for word in words {
            assert!(refusal.contains(word), "{object}\n{refusal:?} should name {word:?}");
        }
    }
    assert!(cluster.client.list(&kind::PERSISTENT_VOLUME_CLAIM, None, &[]).await?.is_empty());
    assert!(cluster.client.list(&kind::POD, None, &[]).await?.is_empty());
    Ok(())
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
    cluster.told("alone", &["WaitForFirstConsumer", "waiting for first consumer"]).await?;
    // A pod whose claim is not there.
    cluster.create(&kind::POD, manifests::pod("lonely", "true", Some("nowhere"))).await?;
    cluster.told("lonely", &["FailedScheduling", "persistentvolumeclaim \"nowhere\" not found"]).await?;
    // An image that is not there.
    let mut pod = manifests::pod("imageless", "true", None);
    pod["spec"]["containers"][0]["image"] = json!("nosuch:1");
    cluster.create(&kind::POD, pod).await?;
    cluster.told("imageless", &["nosuch:1", "orlop image load"]).await?;
    // A claim larger than the pool, when a pod wants it.
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("huge", "100Pi")).await?;
    cluster.create(&kind::POD, manifests::pod("hungry", "true", Some("huge"))).await?;
    cluster.told("huge", &["ProvisioningFailed", "pool"]).await?;
    // A class whose provisioner nobody has.
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "odd"},
        "provisioner": "nobody.example.com"});
    cluster.create(&kind::STORAGE_CLASS, class).await?;
    let mut claim = manifests::claim("orphan", "1Gi");
    claim["spec"]["storageClassName"] = json!("odd");
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
    cluster.told("orphan", &["nobody.example.com"]).await?;
    // Claims of a class, and of a volume, that is not there.
    let volume = &kind::PERSISTENT_VOLUME_CLAIM;
    let with = |name: &str, field: &str, value: &str| {
        let mut claim = manifests::claim(name, "32Mi");
        claim["spec"][field] = value.into();
        claim
    };
    cluster.create(volume, with("classless", "storageClassName", "missing")).await?;
    cluster.told("classless", &["storageclass.storage.k8s.io \"missing\" not found", "create it"]).await?;
    cluster.create(volume, with("ghost", "volumeName", "nowhere")).await?;
    cluster.told("ghost", &["FailedBinding", "volume \"nowhere\" not found", "create it"]).await?;
    // A parameter that the driver does not know.
    let class = json!({"metadata": {"name": "typo"}, "provisioner": "loop.orlop.dev", "parameters": {"fsTyp": "ext4"}});
    cluster.create(&kind::STORAGE_CLASS, class).await?;
    cluster.create(volume, with("typo", "storageClassName", "typo")).await?;
    cluster.told("typo", &["ProvisioningFailed", "\"fsTyp\" is not known", "fsType"]).await?;
    let volumes = cluster.client.list(&kind::PERSISTENT_VOLUME, None, &[]).await?;
    assert!(volumes.is_empty(), "nothing half made: {volumes:?}");
    Ok(())
}

#[tokio::test]
async fn root_a_taken_volume_stays_with_its_claim() -> anyhow::Result<()> {
    if !machine::can_run("root_a_taken_volume_stays_with_its_claim") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let now = json!({"metadata": {"name": "now"}, "provisioner": "loop.orlop.dev", "volumeBindingMode": "Immediate"});
    cluster.create(&kind::STORAGE_CLASS, now).await?;
    let of_now = |name: &str| {
        let mut claim = manifests::claim(name, "32Mi");
        claim["spec"]["storageClassName"] = json!("now");
        claim
    };
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, of_now("owner")).await?;
    let owner = cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "owner", "Bound").await?;
    let mut thief = of_now("thief");
    thief["spec"]["volumeName"] = owner["spec"]["volumeName"].clone();
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, thief).await?;
    cluster
        .told("thief", &["already bound to a different claim", "default/owner", "names another volume"])
        .await?;
    let still = cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "owner", "Bound").await?;
    assert_eq!(still["spec"]["volumeName"], owner["spec"]["volumeName"]);
    cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "thief", "Pending").await?;
    Ok(())
}

/// What curl is answered: path and body of a POST (`PUT` where it says so), and words of the answer with its headers.
#[tokio::test]
async fn root_curl_is_told_what_is_wrong() -> anyhow::Result<()> {
    if !machine::can_run("root_curl_is_told_what_is_wrong") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let claim = manifests::claim("c", "1Gi").to_string();
    let old = manifests::claim("c", "1Gi")
        .to_string()
        .replace("\"name\":\"c\"", "\"name\":\"c\",\"resourceVersion\":\"1\"");
    let misspelt = claim.replace("accessModes", "acessModes");
    let second = json!({"metadata": {"name": "second", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "loop.orlop.dev"}).to_string();
    let unnamed = claim.replace("\"c\"", "\"d\"");
    let claims = "api/v1/namespaces/default/persistentvolumeclaims";
    let rows: Vec<(&str, String, &str, &[&str])> = vec![
        (
            "POST",
            format!("{claims}?fieldValidation=Strict"),
            &misspelt,
            &["400", "unknown field \\\"spec.acessModes\\\"", "did you mean"],
        ),
        ("POST", claims.to_owned(), &claim, &["201"]),
        ("POST", claims.to_owned(), &claim, &["409", "AlreadyExists"]),
        ("PUT", format!("{claims}/c"), &old, &["409", "the object has been modified"]),
        ("POST", claims.to_owned(), "{\"a\"", &["400", "not valid"]),
        ("POST", "api/v1/namespaces/default/podds".to_owned(), "{}", &["404"]),
        (
            "POST",
            "apis/storage.k8s.io/v1/storageclasses".to_owned(),
            &second,
            &["201", "warning:", "marked as default too", "is-default-class: \"false\""],
        ),
        ("POST", claims.to_owned(), &unnamed, &["201", "2 StorageClasses are marked as default", "is taken"]),
    ];
    for (method, path, body, words) in rows {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--request", method, "--data-binary", body]);
        curl.args(["--header", "Content-Type: application/yaml", "--unix-socket"])
            .arg(cluster.dir().join("api.sock"));
        let text =
            said(&curl.arg(format!("http://orlop/{path}")).output()?).replace("\\\"false\\\"", "\"false\"");
        for word in words {
            assert!(text.contains(word), "{method} {path}: {word:?} is not in\n{text}");
        }
    }
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
