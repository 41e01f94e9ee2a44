//! Volumes on file servers, on the real kernel, with directories in the place of the servers: everything about them but
//! the network. What the network does is tried in guests.

use std::path::{Path, PathBuf};

use orlop_e2e::{cluster::Cluster, images, machine, manifests};
use orlop_objects::{Key, Kind, kind};
use serde_json::{Value, json};

const SERVER: &str = "nfs.example.org";

/// An Orlop, and the share that `nfs.example.org:/srv/nfs` is.
struct Stand {
    cluster: Cluster,
    servers: tempfile::TempDir,
}

impl Stand {
    fn start() -> anyhow::Result<Self> {
        let servers = tempfile::tempdir()?;
        std::fs::create_dir_all(servers.path().join(SERVER).join("srv/nfs"))?;
        let mut stand = Self { cluster: Cluster::prepared()?, servers };
        stand.up()?;
        images::load_busybox(&stand.cluster)?;
        Ok(stand)
    }

    fn up(&mut self) -> anyhow::Result<()> {
        let servers = self.servers.path().to_string_lossy().into_owned();
        self.cluster.up_by(Path::new(env!("CARGO_BIN_EXE_sharing-orlop")), &[("ORLOP_SERVERS", &servers)])
    }

    fn share(&self) -> PathBuf {
        self.servers.path().join(SERVER).join("srv/nfs")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.share()).expect("the share");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.retain(|name| name != ".orlop");
        names.sort();
        names
    }

    /// Creates the objects of a file of the example.
    async fn apply(&self, file: &str) -> anyhow::Result<()> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a checkout").join("examples/nfs-subdir");
        let text = std::fs::read_to_string(path.join(file))?;
        for document in text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document)?;
            let kind = kind_of(object["kind"].as_str().unwrap_or_default());
            self.cluster.create(kind, object).await?;
        }
        Ok(())
    }

    async fn class(&self, name: &str, parameters: Value) -> anyhow::Result<()> {
        let body = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "nfs.orlop.dev", "parameters": parameters});
        self.cluster.create(&kind::STORAGE_CLASS, body).await?;
        Ok(())
    }

    async fn claim(&self, name: &str, class: &str) -> anyhow::Result<()> {
        let mut claim = manifests::claim(name, "1Mi");
        claim["spec"]["storageClassName"] = json!(class);
        self.cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
        Ok(())
    }
}

fn kind_of(name: &str) -> &'static Kind {
    match name {
        "StorageClass" => &kind::STORAGE_CLASS,
        "PersistentVolumeClaim" => &kind::PERSISTENT_VOLUME_CLAIM,
        "PersistentVolume" => &kind::PERSISTENT_VOLUME,
        "StatefulSet" => &kind::STATEFUL_SET,
        "Pod" => &kind::POD,
        other => panic!("the example has no {other}"),
    }
}

#[tokio::test]
async fn root_the_tutorial_of_the_subdir_provisioner() -> anyhow::Result<()> {
    if !machine::can_run("root_the_tutorial_of_the_subdir_provisioner") {
        return Ok(());
    }
    let stand = Stand::start()?;
    stand.apply("class.yaml").await?;
    stand.apply("test-claim.yaml").await?;
    stand.apply("test-pod.yaml").await?;
    stand.cluster.phase(&kind::POD, "test-pod", "Succeeded").await?;
    let claim = stand.cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "test-claim", "Bound").await?;
    let volume = claim["spec"]["volumeName"].as_str().expect("bound").to_owned();
    let directory = format!("default-test-claim-{volume}");
    assert_eq!(stand.names(), std::slice::from_ref(&directory));
    assert!(stand.share().join(&directory).join("SUCCESS").exists());
    let key = Key::cluster(&kind::PERSISTENT_VOLUME, volume);
    let object = stand.cluster.client.get(&key).await?.expect("the volume").value();
    assert_eq!(object["spec"]["nodeAffinity"], Value::Null, "every node reaches it");

    stand.cluster.delete(&kind::POD, "test-pod").await?;
    stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "test-claim").await?;
    stand.cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(stand.names(), [format!("archived-{directory}")]);
    assert!(stand.share().join(format!("archived-{directory}")).join("SUCCESS").exists());
    assert_eq!(machine::left_below(&stand.cluster.dir()), Vec::<String>::new());
    Ok(())
}

/// Three replicas with a claim each, by the manifests of the tutorial; scaled away and deleted, the data is kept.
#[tokio::test]
async fn root_a_stateful_set_has_a_directory_for_every_replica() -> anyhow::Result<()> {
    if !machine::can_run("root_a_stateful_set_has_a_directory_for_every_replica") {
        return Ok(());
    }
    let stand = Stand::start()?;
    stand.apply("class.yaml").await?;
    stand.apply("statefulset.yaml").await?;
    let mut directories = Vec::new();
    for replica in ["web-0", "web-1", "web-2"] {
        stand.cluster.phase(&kind::POD, replica, "Running").await?;
        let name = format!("data-{replica}");
        let claim = stand.cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, &name, "Bound").await?;
        let directory = format!("default-{name}-{}", claim["spec"]["volumeName"].as_str().expect("bound"));
        let host = stand.share().join(&directory).join("hostname");
        assert_eq!(std::fs::read_to_string(host)?.trim(), replica);
        directories.push(directory);
    }
    assert_eq!(stand.names(), directories);
    stand.cluster.delete(&kind::STATEFUL_SET, "web").await?;
    stand.cluster.none(&kind::POD).await?;
    for replica in ["web-0", "web-1", "web-2"] {
        stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, &format!("data-{replica}")).await?;
    }
    stand.cluster.none(&kind::PERSISTENT_VOLUME).await?;
    let archived: Vec<String> = directories.iter().map(|name| format!("archived-{name}")).collect();
    assert_eq!(stand.names(), archived);
    Ok(())
}

/// Two pods that write to one claim, one that names the path itself, read-only, and a volume that people made by hand;
/// a crash of Orlop in between changes nothing.
#[tokio::test]
async fn root_pods_share_a_directory_by_claim_by_volume_and_by_path() -> anyhow::Result<()> {
    if !machine::can_run("root_pods_share_a_directory_by_claim_by_volume_and_by_path") {
        return Ok(());
    }
    let mut stand = Stand::start()?;
    stand
        .class("plain", json!({"server": SERVER, "share": "/srv/nfs", "pathPattern": "${.PVC.name}"}))
        .await?;
    stand.claim("shared", "plain").await?;
    for writer in ["one", "two"] {
        let script = format!("echo {writer} > /data/{writer}; sleep 3600");
        stand.cluster.create(&kind::POD, manifests::pod(writer, &script, Some("shared"))).await?;
    }
    for writer in ["one", "two"] {
        stand.cluster.phase(&kind::POD, writer, "Running").await?;
    }
    stand.apply("static.yaml").await?;
    stand.cluster.phase(&kind::POD, "reader", "Running").await?;
    let script = "grep -qx one /data/shared/one && grep -qx two /data/shared/two && ! touch /data/x";
    let mut by_path = manifests::pod("by-path", script, None);
    by_path["spec"]["volumes"] =
        json!([{"name": "data", "nfs": {"server": SERVER, "path": "/srv/nfs", "readOnly": true}}]);
    by_path["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    stand.cluster.create(&kind::POD, by_path).await?;
    stand.cluster.phase(&kind::POD, "by-path", "Succeeded").await?;

    stand.cluster.kill()?;
    stand.up()?;
    for pod in ["one", "two", "reader", "by-path"] {
        stand.cluster.delete(&kind::POD, pod).await?;
    }
    for claim in ["shared", "nfs-by-hand"] {
        stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
    }
    stand.cluster.delete(&kind::PERSISTENT_VOLUME, "nfs-by-hand").await?;
    stand.cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(
        stand.names(),
        Vec::<String>::new(),
        "the class removes what it made, and nothing removes the share"
    );
    for _ in 0..200 {
        if machine::left_below(&stand.cluster.dir()).is_empty() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("left: {:#?}", machine::left_below(&stand.cluster.dir()))
}

#[tokio::test]
async fn root_bad_input_about_servers_is_told_in_words() -> anyhow::Result<()> {
    if !machine::can_run("root_bad_input_about_servers_is_told_in_words") {
        return Ok(());
    }
    let stand = Stand::start()?;
    std::fs::create_dir(stand.share().join("taken"))?;
    let rows = [
        ("no-server", json!({"server": "nowhere", "share": "/srv/nfs"}), "start the server"),
        ("no-export", json!({"server": SERVER, "share": "/srv/other"}), "list of exports"),
        ("up", json!({"server": SERVER, "share": "/srv/nfs", "pathPattern": "../x"}), "is no name"),
        ("dash", json!({"server": "-oport=1", "share": "/srv/nfs"}), "begins with -"),
        ("comma", json!({"server": "a,b", "share": "/srv/nfs"}), "host name or an address"),
        ("taken", json!({"server": SERVER, "share": "/srv/nfs", "pathPattern": "taken"}), "onDelete: retain"),
        (
            "mistyped",
            json!({"server": SERVER, "share": "/srv/nfs", "onDelte": "retain"}),
            "\"onDelte\" is not known",
        ),
    ];
    for (name, parameters, _) in &rows {
        stand.class(name, parameters.clone()).await?;
        stand.claim(name, name).await?;
    }
    for (name, _, words) in &rows {
        stand.cluster.told(name, &[words]).await?;
    }
    assert_eq!(stand.names(), ["taken"], "nothing half made, nothing removed");
    let mut pod = manifests::pod("by-path", "true", None);
    pod["spec"]["volumes"] = json!([{"name": "data", "nfs": {"server": "nowhere", "path": "/srv/nfs"}}]);
    stand.cluster.create(&kind::POD, pod.clone()).await?;
    stand.cluster.told("by-path", &["start the server"]).await?;
    stand.cluster.delete(&kind::POD, "by-path").await?;
    for (server, path) in [("-x", "/a"), ("a b", "/a"), (SERVER, "a"), (SERVER, "/a/../b")] {
        pod["spec"]["volumes"][0]["nfs"] = json!({"server": server, "path": path});
        let refused = stand.cluster.create(&kind::POD, pod.clone()).await.expect_err(server);
        assert!(format!("{refused:#}").contains("spec.volumes[0].nfs"), "{refused:#}");
    }
    for name in rows.iter().map(|(name, ..)| name) {
        stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, name).await?;
    }
    assert_eq!(stand.names(), ["taken"]);
    Ok(())
}

/// Two classes on one share, one of them with a pattern by which two claims would meet.
#[tokio::test]
async fn root_two_classes_on_one_share_never_share_a_directory() -> anyhow::Result<()> {
    if !machine::can_run("root_two_classes_on_one_share_never_share_a_directory") {
        return Ok(());
    }
    let stand = Stand::start()?;
    let share = json!({"server": SERVER, "share": "/srv/nfs"});
    for class in ["first", "second"] {
        stand.class(class, share.clone()).await?;
        stand.claim(&format!("of-{class}"), class).await?;
    }
    stand
        .class("third", json!({"server": SERVER, "share": "/srv/nfs", "pathPattern": "one-for-all"}))
        .await?;
    stand.claim("owner", "third").await?;
    for name in ["of-first", "of-second", "owner"] {
        stand.cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, name, "Bound").await?;
    }
    let note = stand.share().join("one-for-all/note");
    std::fs::write(&note, "kept")?;
    stand.claim("late", "third").await?;
    stand
        .cluster
        .told("late", &["of claim default/owner, so nothing is changed; choose a pathPattern"])
        .await?;
    assert_eq!(stand.names().len(), 3, "{:?}", stand.names());

    // What goes of one class leaves what is of the other.
    stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "of-first").await?;
    let gone = || !stand.names().iter().any(|name| name.starts_with("default-of-first-"));
    let claim = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", "of-first");
    stand.cluster.until(&claim, "its directory gone", |_| gone()).await?;
    assert!(stand.names().iter().any(|name| name.starts_with("default-of-second-")), "{:?}", stand.names());
    stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "late").await?;
    assert_eq!(std::fs::read_to_string(&note)?, "kept", "who never had it takes nothing with him");
    Ok(())
}

/// Somebody has taken a directory's mark away, or put another's in its place: nothing is removed, and the volume says why.
#[tokio::test]
async fn root_a_directory_without_its_own_mark_is_never_removed() -> anyhow::Result<()> {
    if !machine::can_run("root_a_directory_without_its_own_mark_is_never_removed") {
        return Ok(());
    }
    let stand = Stand::start()?;
    stand
        .class("plain", json!({"server": SERVER, "share": "/srv/nfs", "pathPattern": "${.PVC.name}"}))
        .await?;
    let marks = stand.share().join(".orlop/volumes");
    let mut volumes = Vec::new();
    for name in ["missing", "foreign", "damaged"] {
        stand.claim(name, "plain").await?;
        let claim = stand.cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, name, "Bound").await?;
        volumes.push(claim["spec"]["volumeName"].as_str().expect("bound").to_owned());
        std::fs::write(stand.share().join(name).join("note"), name)?;
    }
    let own = std::fs::read(marks.join("missing"))?;
    std::fs::remove_file(marks.join("missing"))?;
    let text = std::fs::read_to_string(marks.join("foreign"))?;
    std::fs::write(marks.join("foreign"), text.replace(&volumes[1], "pvc-of-somebody"))?;
    std::fs::write(marks.join("damaged"), "{")?;
    let words = [
        "does not carry this volume's mark, so nothing is removed; if it may go, remove it on the server",
        "belongs to volume pvc-of-somebody of claim default/foreign, so nothing is changed",
        "cannot be read; nothing is changed, correct or remove that file on the server",
    ];
    for ((name, volume), words) in ["missing", "foreign", "damaged"].iter().zip(&volumes).zip(words) {
        stand.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, name).await?;
        stand.cluster.told(volume, &[words]).await?;
        assert_eq!(std::fs::read_to_string(stand.share().join(name).join("note"))?, *name);
    }
    // Put back, it is the volume's again, and goes without anybody's help.
    std::fs::write(marks.join("missing"), own)?;
    stand
        .cluster
        .until(&Key::cluster(&kind::PERSISTENT_VOLUME, volumes[0].as_str()), "gone", |v| v.is_none())
        .await?;
    assert_eq!(stand.names(), ["damaged", "foreign"]);
    Ok(())
}
