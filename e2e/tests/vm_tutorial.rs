//! The tutorial of the provisioner whose manifests are everywhere, on servers as people have them: nfs-ganesha and the
//! kernel's own. Three replicas with a claim each, and what becomes of the directories: archived, or deleted.

use anyhow::{Context, Result};
use orlop_e2e::guest::{Guest, Lab, Nodes, Shape, servers};
use serde_json::Value;

const NAMESPACE: &str = "/api/v1/namespaces/default";

/// A manifest of `examples/nfs-subdir`, with the server's address and its share for the words that stand in for them.
fn manifest(name: &str, server: &Guest, share: &str) -> Result<Value> {
    let path = format!("{}/../examples/nfs-subdir/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let text = text.replace("nfs.example.org", &server.address()).replace("/srv/nfs ", &format!("{share} "));
    serde_saphyr::from_str(&text).with_context(|| format!("parse {path}"))
}

fn replicas() -> impl Iterator<Item = String> {
    (0..3).map(|i| format!("web-{i}"))
}

/// Three replicas write to claims of their own; with the claims gone, the directories are kept under another name.
fn three_replicas_are_archived(nodes: &Nodes, server: &Guest, share: &str) -> Result<()> {
    nodes.create("/apis/storage.k8s.io/v1/storageclasses", &manifest("class", server, share)?)?;
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    nodes.create(sets, &manifest("statefulset", server, share)?)?;
    nodes.until(&format!("{sets}/web"), "three ready", |set| set["status"]["readyReplicas"] == 3)?;
    for replica in replicas() {
        nodes.until_claim(&format!("data-{replica}"), "Bound")?;
        server.until(
            &format!("the file of {replica}"),
            &format!("grep -qx {replica} /srv/shared/default-data-{replica}-pvc-*/hostname"),
        )?;
    }
    nodes.patch(&format!("{sets}/web"), &serde_json::json!({"spec": {"replicas": 0}}))?;
    nodes.until(&format!("{NAMESPACE}/pods"), "no pod", |list| list["items"] == serde_json::json!([]))?;
    nodes.delete_at(&format!("{sets}/web"))?;
    for replica in replicas() {
        nodes.delete("persistentvolumeclaims", &format!("data-{replica}"))?;
        server.until(
            &format!("the archive of {replica}"),
            &format!("grep -qx {replica} /srv/shared/archived-default-data-{replica}-pvc-*/hostname"),
        )?;
    }
    nodes.delete_at("/apis/storage.k8s.io/v1/storageclasses/nfs-client")
}

/// The tutorial's own claim and pod, with a class that keeps nothing.
fn a_claim_is_deleted(nodes: &Nodes, server: &Guest, share: &str) -> Result<()> {
    let mut class = manifest("class", server, share)?;
    class["parameters"]["archiveOnDelete"] = "false".into();
    nodes.create("/apis/storage.k8s.io/v1/storageclasses", &class)?;
    nodes.create(&format!("{NAMESPACE}/persistentvolumeclaims"), &manifest("test-claim", server, share)?)?;
    nodes.pod(&manifest("test-pod", server, share)?)?;
    nodes.until_pod("test-pod", "Succeeded")?;
    server.run("ls /srv/shared/default-test-claim-pvc-*/SUCCESS")?;
    nodes.delete("pods", "test-pod")?;
    nodes.delete("persistentvolumeclaims", "test-claim")?;
    server.until("the directory gone", "! ls -d /srv/shared/*test-claim* 2>/dev/null")?;
    nodes.delete_at("/apis/storage.k8s.io/v1/storageclasses/nfs-client")
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_the_tutorial_works_with_servers_as_people_have_them() -> Result<()> {
    let Some(lab) = Lab::open("vm_the_tutorial_works_with_servers_as_people_have_them") else {
        return Ok(());
    };
    let (ganesha, kernel) = (lab.start(Shape::new("ganesha", 11))?, lab.start(Shape::new("kernel", 12))?);
    let nodes = Nodes::start(&lab, 2)?;
    servers::ganesha(&ganesha)?;
    servers::kernel(&lab, &kernel)?;
    for (server, share) in [(&ganesha, "/shared"), (&kernel, "/")] {
        three_replicas_are_archived(&nodes, server, share)?;
        a_claim_is_deleted(&nodes, server, share)?;
    }
    nodes.down()?;
    Ok(())
}
