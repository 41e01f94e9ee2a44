//! Directories of a pod's own, paths of the node, and init containers, on the real kernel.
#![allow(clippy::disallowed_methods, reason = "these tests run curl; that is what they are for")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use orlop_e2e::{cluster::Cluster, images, machine, manifests, remains};
use orlop_objects::{Key, kind};
use serde_json::{Value, json};

/// A pod's volume as the agent lays it out for the containers.
fn volume_dir(cluster: &Cluster, pod: &Value, plugin: &str, volume: &str) -> PathBuf {
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    cluster.dir().join("kubelet/pods").join(uid).join("volumes").join(plugin).join(volume)
}

fn log(cluster: &Cluster, pod: &str, container: &str) -> Result<String> {
    let url = format!("http://orlop/api/v1/namespaces/default/pods/{pod}/log?container={container}");
    let output = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(cluster.dir().join("api.sock"))
        .arg(url)
        .output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Deletes a pod whose manifest gives it the usual grace, which a first process without a handler uses up.
async fn delete_soon(cluster: &Cluster, pod: &str) -> Result<()> {
    let key = Key::new(&kind::POD, "default", pod);
    cluster.client.delete(&key, &json!({"gracePeriodSeconds": 1})).await?;
    cluster.until(&key, "deletion", |pod| pod.is_none()).await.map(drop)
}

/// "Communicate Between Containers in the Same Pod Using a Shared Volume", with busybox in the place of its images.
#[tokio::test]
async fn root_containers_of_a_pod_share_a_directory() -> Result<()> {
    if !machine::can_run("root_containers_of_a_pod_share_a_directory") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_nginx(&cluster)?;
    images::load_stand_in(&cluster, "debian", &["bash"])?;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "two-containers"}, "spec": {
        "restartPolicy": "Never", "volumes": [{"name": "shared-data", "emptyDir": {}}], "containers": [
        {"name": "nginx-container", "image": "nginx", "volumeMounts": [
            {"name": "shared-data", "mountPath": "/usr/share/nginx/html"}]},
        {"name": "debian-container", "image": "debian", "volumeMounts": [
            {"name": "shared-data", "mountPath": "/pod-data"}], "command": ["/bin/sh"],
         "args": ["-c", "echo Hello from the debian container > /pod-data/index.html"]}]}});
    cluster.create(&kind::POD, pod).await?;
    let key = Key::new(&kind::POD, "default", "two-containers");
    let states = |pod: Option<&Value>| {
        let statuses =
            pod.and_then(|p| p["status"]["containerStatuses"].as_array()).cloned().unwrap_or_default();
        let of = |name: &str| statuses.iter().find(|s| s["name"] == name).cloned().unwrap_or_default();
        of("nginx-container")["state"]["running"].is_object()
            && of("debian-container")["state"]["terminated"]["exitCode"] == 0
    };
    let pod = cluster.until(&key, "one running, one completed", states).await?.context("is there")?;
    let page = volume_dir(&cluster, &pod, "kubernetes.io~empty-dir", "shared-data").join("index.html");
    assert_eq!(fs::read_to_string(&page)?, "Hello from the debian container\n");
    delete_soon(&cluster, "two-containers").await?;
    assert!(!page.exists());
    assert_eq!(remains::of(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

/// "Configure a Pod to Use a PersistentVolume for Storage", with a directory of the test in the place of `/mnt/data`.
#[tokio::test]
async fn root_a_volume_of_a_node_is_bound_shown_and_kept() -> Result<()> {
    if !machine::can_run("root_a_volume_of_a_node_is_bound_shown_and_kept") {
        return Ok(());
    }
    let (cluster, mnt) = (Cluster::start()?, tempfile::tempdir()?);
    images::load_nginx(&cluster)?;
    let data = mnt.path().join("data");
    fs::create_dir(&data)?;
    fs::write(data.join("index.html"), "Hello from Kubernetes storage\n")?;
    cluster.create(&kind::PERSISTENT_VOLUME, json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "task-pv-volume", "labels": {"type": "local"}}, "spec": {"storageClassName": "manual",
        "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": data}}})).await?;
    cluster
        .create(
            &kind::PERSISTENT_VOLUME_CLAIM,
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "task-pv-claim"}, "spec": {"storageClassName": "manual",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}}),
        )
        .await?;
    cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "task-pv-claim", "Bound").await?;
    cluster
        .create(
            &kind::POD,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "task-pv-pod"}, "spec": {
        "volumes": [{"name": "task-pv-storage", "persistentVolumeClaim": {"claimName": "task-pv-claim"}}],
        "containers": [{"name": "task-pv-container", "image": "nginx",
            "ports": [{"containerPort": 80, "name": "http-server"}],
            "volumeMounts": [{"mountPath": "/usr/share/nginx/html", "name": "task-pv-storage"}]}]}}),
        )
        .await?;
    let pod = cluster.phase(&kind::POD, "task-pv-pod", "Running").await?;
    let shown = volume_dir(&cluster, &pod, "kubernetes.io~host-path", "task-pv-storage").join("index.html");
    assert_eq!(fs::read_to_string(shown)?, "Hello from Kubernetes storage\n");
    delete_soon(&cluster, "task-pv-pod").await?;
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "task-pv-claim").await?;
    cluster.phase(&kind::PERSISTENT_VOLUME, "task-pv-volume", "Released").await?;
    cluster.delete(&kind::PERSISTENT_VOLUME, "task-pv-volume").await?;
    assert!(data.join("index.html").exists(), "what a user keeps on a node stays");
    assert_eq!(remains::of(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn root_init_containers_prepare_what_the_others_find() -> Result<()> {
    if !machine::can_run("root_init_containers_prepare_what_the_others_find") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    let mount = json!([{"name": "own", "mountPath": "/own"}, {"name": "fast", "mountPath": "/fast"}]);
    let init = |name: &str, script: &str| {
        json!({"name": name, "image": "busybox", "command": ["sh", "-c", script], "volumeMounts": mount,
            "resources": {"limits": {"memory": "32Mi"}}})
    };
    // The first fails until it has left a mark, so that it is seen to be restarted; the second finds what it did.
    let first =
        init("first", "echo try; test -f /own/mark || { touch /own/mark; exit 1; }; echo one > /own/note");
    let second = init(
        "second",
        "echo two >> /own/note; dd if=/dev/zero of=/fast/x bs=1M count=3 2>&1 | grep -q 'No space left'",
    );
    let main = "cat /own/note; test $(stat -c %s /fast/x) -eq 2097152 && echo limited; sleep 3600";
    let mut pod = manifests::pod("prepared", main, None);
    pod["spec"]["restartPolicy"] = "Always".into();
    pod["spec"]["volumes"] = json!([{"name": "own", "emptyDir": {}},
        {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = mount.clone();
    pod["spec"]["initContainers"] = json!([first, second]);
    cluster.create(&kind::POD, pod).await?;
    let running = cluster.phase(&kind::POD, "prepared", "Running").await?;
    let inits = running["status"]["initContainerStatuses"].as_array().context("statuses")?;
    let counts: Vec<_> = inits.iter().map(|s| (s["restartCount"].clone(), s["ready"].clone())).collect();
    assert_eq!(counts, [(json!(1), json!(true)), (json!(0), json!(true))]);
    assert_eq!(log(&cluster, "prepared", "first")?, "try\n");
    let key = Key::new(&kind::POD, "default", "prepared");
    cluster
        .until(&key, "its log", |_| {
            log(&cluster, "prepared", "main").is_ok_and(|l| l == "one\ntwo\nlimited\n")
        })
        .await?;
    cluster.delete(&kind::POD, "prepared").await?;
    assert_eq!(remains::of(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

/// A pod that writes a note where a path of the node is shown to it.
fn with_path(name: &str, path: &Path, kind: &str) -> Value {
    let mut pod = manifests::pod(name, "echo written > /host/note; sleep 3600", None);
    pod["spec"]["volumes"] = json!([{"name": "host", "hostPath": {"path": path, "type": kind}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "host", "mountPath": "/host"}]);
    pod
}

/// Waits until an Event on the pod says in these words why its volume is not shown.
async fn is_refused(cluster: &Cluster, pod: &str, words: &str) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        let said = cluster.reasons(pod).await?;
        if said.iter().any(|said| said.starts_with("FailedMount") && said.contains(words)) {
            return Ok(());
        }
        assert!(started.elapsed() < orlop_e2e::cluster::PATIENCE, "{pod}: {said:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn root_paths_of_the_node_are_shown_but_none_of_orlops() -> Result<()> {
    if !machine::can_run("root_paths_of_the_node_are_shown_but_none_of_orlops") {
        return Ok(());
    }
    let (mut cluster, user) = (Cluster::start()?, tempfile::tempdir()?);
    images::load_busybox(&cluster)?;
    symlink(cluster.dir().join("pki"), user.path().join("link"))?;
    let good = user.path().join("made/for/it");
    cluster.create(&kind::POD, with_path("good", &good, "DirectoryOrCreate")).await?;
    let refused = [
        ("link", user.path().join("link"), "Directory", "Orlop's own directory"),
        ("data", cluster.dir(), "", "Orlop's own directory"),
        ("run", remains::run_dir(&cluster.dir()), "", "Orlop's own directory"),
        (
            "file",
            PathBuf::from("/etc/hostname"),
            "Directory",
            "hostPath type check failed: is not a directory",
        ),
        ("none", user.path().join("none"), "File", "or set type: FileOrCreate"),
    ];
    for (name, path, kind, _) in &refused {
        cluster.create(&kind::POD, with_path(name, path, kind)).await?;
    }
    cluster.phase(&kind::POD, "good", "Running").await?;
    cluster.until(&Key::new(&kind::POD, "default", "good"), "a note", |_| good.join("note").exists()).await?;
    for (name, _, _, words) in &refused {
        is_refused(&cluster, name, words).await?;
        cluster.delete(&kind::POD, name).await?;
    }
    // `down` takes the pod's view of the path away, never what is in it.
    cluster.run(&["down"])?;
    cluster.wait()?;
    assert_eq!(remains::at_work(&cluster.dir()), Vec::<String>::new());
    assert_eq!(fs::read_to_string(good.join("note"))?, "written\n");
    cluster.up(&[])?;
    cluster.delete(&kind::POD, "good").await?;
    assert_eq!(fs::read_to_string(good.join("note"))?, "written\n");
    Ok(())
}

/// Pools lie outside of the data directories: that of the agent that is asked, and that of another, which does not run.
#[tokio::test]
async fn root_no_pool_of_any_orlop_is_shown() -> Result<()> {
    if !machine::can_run("root_no_pool_of_any_orlop_is_shown") {
        return Ok(());
    }
    let disks = tempfile::tempdir()?;
    let pool = |name: &str| {
        let dir = disks.path().join(name).join("pool");
        fs::create_dir_all(&dir).map(|()| (format!("fast={}", dir.display()), dir))
    };
    let ((own, own_dir), (other, other_dir)) = (pool("own")?, pool("other")?);
    let cluster = Cluster::start_server()?;
    let node = cluster.join("shows", &["--pool", &own]).await?;
    let mut stopped = cluster.join("stopped", &["--pool", &other]).await?;
    stopped.kill()?;
    images::load_busybox_on(&node)?;
    symlink(&other_dir, disks.path().join("link"))?;
    let on_node = |name: &str, path: &Path| {
        let mut pod = with_path(name, path, "");
        pod["spec"]["nodeName"] = node.name.as_str().into();
        pod
    };
    let refused = [
        ("own", own_dir.clone()),
        ("below", own_dir.join("new/dir")),
        ("above", disks.path().join("own")),
        ("others", other_dir.clone()),
        ("link", disks.path().join("link")),
        ("all", disks.path().to_owned()),
    ];
    for (name, path) in &refused {
        cluster.create(&kind::POD, on_node(name, path)).await?;
    }
    for (name, _) in &refused {
        is_refused(&cluster, name, "Orlop's own directory").await?;
        cluster.delete(&kind::POD, name).await?;
    }
    assert!(!own_dir.join("new").exists(), "nothing is made in a pool");
    let beside = disks.path().join("beside");
    cluster.create(&kind::POD, on_node("beside", &beside)).await?;
    cluster.phase(&kind::POD, "beside", "Running").await?;
    cluster.delete(&kind::POD, "beside").await?;
    Ok(())
}
