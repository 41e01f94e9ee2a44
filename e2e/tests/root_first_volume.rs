//! The main job on the real kernel: a claim and a pod, seen only through the API, the command line and the machine.

use orlop_e2e::{cluster::Cluster, images, machine, manifests};
use orlop_objects::{Key, kind};
use serde_json::Value;

fn pid_of(pod: &Value, cluster: &Cluster) -> i64 {
    let id =
        pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("a running container has an id");
    let id = id.rsplit('/').next().expect("scheme://id");
    let instance = std::fs::read_to_string(cluster.dir().join("instance")).expect("instance");
    let state = format!("/run/orlop/{}/runc/{id}/state.json", instance.trim());
    let state: Value = serde_json::from_slice(&std::fs::read(&state).expect("runc's state")).expect("JSON");
    state["init_process_pid"].as_i64().expect("a pid")
}

#[tokio::test]
async fn root_a_file_outlives_the_pod_that_wrote_it() -> anyhow::Result<()> {
    if !machine::can_run("root_a_file_outlives_the_pod_that_wrote_it") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "64Mi")).await?;
    cluster
        .create(&kind::POD, manifests::pod("writer", "echo kept > /data/note; sleep 3600", Some("data")))
        .await?;
    cluster.phase(&kind::POD, "writer", "Running").await?;
    let claim = cluster.phase(&kind::PERSISTENT_VOLUME_CLAIM, "data", "Bound").await?;
    assert_eq!(claim["status"]["capacity"]["storage"], "64Mi", "exactly the size asked for");
    let refused =
        cluster.run(&["image", "rm", "busybox"]).expect_err("its layers are the pod's root").to_string();
    assert!(refused.contains("in use by a container: delete the pods that run it first"), "{refused}");
    cluster.delete(&kind::POD, "writer").await?;

    cluster.create(&kind::POD, manifests::pod("reader", "grep -qx kept /data/note", Some("data"))).await?;
    cluster.phase(&kind::POD, "reader", "Succeeded").await?;
    cluster.delete(&kind::POD, "reader").await?;
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "data").await?;
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    assert_eq!(machine::left_below(&cluster.dir()), Vec::<String>::new());
    let pool: Vec<_> = std::fs::read_dir(cluster.dir().join("pool"))?.collect();
    assert!(pool.is_empty(), "{pool:?}");
    cluster.run(&["image", "rm", "busybox"])?;
    Ok(())
}

#[tokio::test]
async fn root_a_full_volume_is_full_there_and_nowhere_else() -> anyhow::Result<()> {
    if !machine::can_run("root_a_full_volume_is_full_there_and_nowhere_else") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    for (name, script) in [
        ("small", "dd if=/dev/zero of=/data/x bs=1M count=40 2>&1 | grep -q 'No space left'"),
        ("other", "dd if=/dev/zero of=/data/x bs=1M count=20 && test $(stat -c %s /data/x) = 20971520"),
    ] {
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim(name, "32Mi")).await?;
        cluster.create(&kind::POD, manifests::pod(name, script, Some(name))).await?;
    }
    cluster.phase(&kind::POD, "small", "Succeeded").await?;
    cluster.phase(&kind::POD, "other", "Succeeded").await?;
    Ok(())
}

#[tokio::test]
async fn root_a_container_goes_on_when_orlop_is_killed() -> anyhow::Result<()> {
    if !machine::can_run("root_a_container_goes_on_when_orlop_is_killed") {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "32Mi")).await?;
    cluster.create(&kind::POD, manifests::pod("steady", "sleep 3600", Some("data"))).await?;
    let before = cluster.phase(&kind::POD, "steady", "Running").await?;
    let pid = pid_of(&before, &cluster);
    let started = machine::start_time(pid).expect("it runs");

    cluster.kill()?;
    assert_eq!(machine::start_time(pid), Some(started), "it runs without orlop");
    cluster.up(&[])?;
    cluster.create(&kind::POD, manifests::pod("later", "true", None)).await?;
    cluster.phase(&kind::POD, "later", "Succeeded").await?;
    let after = cluster.phase(&kind::POD, "steady", "Running").await?;
    assert_eq!(machine::start_time(pid), Some(started), "adopted, not restarted");
    assert_eq!(after["status"]["containerStatuses"], before["status"]["containerStatuses"]);
    Ok(())
}

#[tokio::test]
async fn root_down_stops_everything_and_up_brings_the_data_back() -> anyhow::Result<()> {
    if !machine::can_run("root_down_stops_everything_and_up_brings_the_data_back") {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "32Mi")).await?;
    cluster
        .create(&kind::POD, manifests::pod("steady", "echo kept >> /data/note; sleep 3600", Some("data")))
        .await?;
    let pid = pid_of(&cluster.phase(&kind::POD, "steady", "Running").await?, &cluster);

    cluster.run(&["down"])?;
    cluster.wait()?;
    assert_eq!(machine::left_below(&cluster.dir()), Vec::<String>::new());
    assert_eq!(machine::start_time(pid), None, "its process is gone");
    cluster.run(&["down"])?; // down without a running orlop has nothing left to do

    cluster.up(&[])?;
    cluster.create(&kind::POD, manifests::pod("reader", "grep -qx kept /data/note", Some("data"))).await?;
    cluster.phase(&kind::POD, "reader", "Succeeded").await?;
    Ok(())
}

#[tokio::test]
async fn root_two_orlops_do_not_notice_each_other() -> anyhow::Result<()> {
    if !machine::can_run("root_two_orlops_do_not_notice_each_other") {
        return Ok(());
    }
    let (mut one, other) = (Cluster::start()?, Cluster::start()?);
    for cluster in [&one, &other] {
        images::load_busybox(cluster)?;
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("data", "32Mi")).await?;
        cluster.create(&kind::POD, manifests::pod("steady", "sleep 3600", Some("data"))).await?;
    }
    one.phase(&kind::POD, "steady", "Running").await?;
    let pid = pid_of(&other.phase(&kind::POD, "steady", "Running").await?, &other);
    let started = machine::start_time(pid);
    let left = machine::left_below(&other.dir());

    one.run(&["down"])?;
    one.wait()?;
    assert_eq!(machine::left_below(&one.dir()), Vec::<String>::new());
    assert_eq!(machine::left_below(&other.dir()), left, "the other's mounts and loop devices are untouched");
    assert_eq!(machine::start_time(pid), started, "and so are its processes");
    let pod =
        other.client.get(&Key::new(&kind::POD, "default", "steady")).await?.expect("it is there").value();
    assert_eq!(pod["status"]["phase"], "Running");
    Ok(())
}
