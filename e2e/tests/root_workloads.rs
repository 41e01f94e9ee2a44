//! Deployments and stateful sets by stock kubectl, on the built binary: rolled out, undone, resized; data found again.

use anyhow::{Result, ensure};
use orlop_e2e::{cluster::Cluster, images, kubectl::Kubectl, machine};
use orlop_objects::kind;

fn usable(test: &str) -> bool {
    machine::can_run(test) && machine::has_kubectl(test)
}

/// A cluster with two tags of one image.
fn prepared() -> Result<Cluster> {
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    images::load_busybox_as(&cluster, "two")?;
    Ok(cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_deployment_is_rolled_out_undone_and_taken_apart() -> Result<()> {
    if !usable("root_a_deployment_is_rolled_out_undone_and_taken_apart") {
        return Ok(());
    }
    let cluster = prepared()?;
    let kubectl = Kubectl(&cluster);
    let image = "get deploy web -o jsonpath={.spec.template.spec.containers[0].image}";
    let rolled_out = || kubectl.run("rollout status deploy/web --timeout=60s");

    kubectl.run("apply -f ../workloads/deployment.yaml")?;
    ensure!(rolled_out()?.contains("deployment \"web\" successfully rolled out"));
    kubectl.run("wait deploy/web --for=condition=Available --timeout=10s")?;
    kubectl.until("get deploy,rs -o wide", &["3/3", "busybox", "app=web,pod-template-hash="])?;
    kubectl.until("describe deploy web", &["NewReplicaSetAvailable", "Scaled up replica set web-"])?;
    kubectl.until("get pods -l app=web --no-headers", &["Running"])?;

    kubectl.run("set image deploy/web main=busybox:two")?;
    rolled_out()?;
    kubectl.until("rollout history deploy/web", &["REVISION", "1", "2"])?;
    ensure!(kubectl.run(image)? == "busybox:two");
    kubectl.run("rollout undo deploy/web")?;
    rolled_out()?;
    ensure!(kubectl.run(image)? == "busybox");
    kubectl.until("rollout history deploy/web --revision=3", &["busybox"])?;

    kubectl.run("scale deploy/web --replicas=1")?;
    kubectl.until("get deploy web", &["1/1"])?;
    kubectl.run("rollout pause deploy/web")?;
    kubectl.run("set image deploy/web main=busybox:two")?;
    kubectl.until("get deploy web -o jsonpath={.status.conditions[*].reason}", &["DeploymentPaused"])?;
    kubectl.run("rollout resume deploy/web")?;
    rolled_out()?;
    kubectl.run("rollout restart deploy/web")?;
    rolled_out()?;
    kubectl.refused(
        "patch deploy web -p '{\"spec\":{\"template\":{\"spec\":{\"hostPID\":true}}}}'",
        "spec.template.spec.hostPID",
    )?;

    kubectl.run("delete deploy web --cascade=foreground")?;
    cluster.none(&kind::REPLICA_SET).await?;
    cluster.none(&kind::POD).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_stateful_set_finds_its_data_again() -> Result<()> {
    if !usable("root_a_stateful_set_finds_its_data_again") {
        return Ok(());
    }
    let cluster = prepared()?;
    let kubectl = Kubectl(&cluster);
    let rolled_out = || kubectl.run("rollout status sts/web --timeout=60s");

    kubectl.run("apply -f ../workloads/statefulset.yaml")?;
    rolled_out()?;
    kubectl.until("get sts web -o wide", &["3/3", "busybox"])?;
    kubectl.until("get pvc -l app=db", &["data-web-0", "data-web-1", "data-web-2", "Bound"])?;
    kubectl.until("describe sts web", &["create Pod web-0 in StatefulSet web success", "Volume Claims"])?;
    kubectl.until("logs web-2", &["web-2"])?;

    kubectl.run("scale sts/web --replicas=1")?;
    kubectl.run("wait pod/web-1 --for=delete --timeout=60s")?;
    kubectl.until("get pvc data-web-2", &["Bound"])?;
    kubectl.run("scale sts/web --replicas=3")?;
    rolled_out()?;
    kubectl.until("logs web-2", &["web-2\nweb-2\n"])?;

    kubectl.run("set image sts/web main=busybox:two")?;
    kubectl.until("rollout status sts/web --timeout=60s", &["partitioned roll out complete: 3 new pods"])?;
    kubectl.until("rollout history sts/web", &["1", "2"])?;
    kubectl.run("rollout undo sts/web")?;
    rolled_out()?;
    kubectl.until("logs web-0", &["web-0\nweb-0\nweb-0\n"])?;
    kubectl.refused(
        "patch sts web --type=json -p '[{\"op\":\"remove\",\"path\":\"/spec/volumeClaimTemplates\"}]'",
        "--cascade=orphan",
    )?;

    kubectl.run("delete sts web")?;
    cluster.none(&kind::POD).await?;
    kubectl.until("get pvc", &["data-web-0", "data-web-1", "data-web-2"])?;
    kubectl.run("delete pvc -l app=db")?;
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    ensure!(machine::left_below(&cluster.dir()).is_empty());
    Ok(())
}
