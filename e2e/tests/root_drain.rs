//! A node is emptied and leaves: its pods go on elsewhere with their volumes, told by `orlop node` and by stock kubectl.
#![allow(clippy::disallowed_methods, reason = "these tests run commands; that is what they are for")]

use std::time::Instant;

use anyhow::{Result, ensure};
use orlop_e2e::{
    cluster::said,
    kubectl::Kubectl,
    machine,
    shared_pool::{NODES, Site, Watch},
    writers,
};
use orlop_objects::kind;

/// The line of `orlop node ls` about a node, in words.
fn line(site: &Site, node: &str) -> Result<Vec<String>> {
    let text = site.cluster.run(&["node", "ls"])?;
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(node));
    Ok(line.unwrap_or_default().split_whitespace().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_drained_nodes_pods_go_on_elsewhere_and_it_leaves() -> Result<()> {
    let test = "root_a_drained_nodes_pods_go_on_elsewhere_and_it_leaves";
    if !machine::can_run(test) {
        return Ok(());
    }
    let mut site = Site::without_nodes(&[]).await?;
    site.join("one").await?;
    writers::create(&site.cluster).await?;
    let mut wrote = writers::go_on(&site.cluster, Some("one"), [0, 0]).await?;
    site.join("two").await?;
    let watch = Watch::over(&site.pool());
    let mut drained = 0;
    if machine::has_kubectl(&format!("{test}, kubectl's half")) {
        let kubectl = Kubectl(&site.cluster);
        let begun = Instant::now();
        let text = kubectl.run("drain one --timeout=60s")?;
        ensure!(text.contains("pod/db-0 evicted") && text.contains("node/one drained"), "{text}");
        wrote = writers::go_on(&site.cluster, Some("two"), wrote).await?;
        eprintln!("kubectl drain: both wrote on elsewhere after {:.1?}", begun.elapsed());
        kubectl.run("uncordon one")?;
        drained = 1;
    }
    let (from, to) = (NODES[drained], NODES[1 - drained]);
    let begun = Instant::now();
    let text = site.cluster.run(&["node", "drain", from])?;
    ensure!(
        text.contains("evicted default/db-0") && text.contains(&format!("node {from} is drained")),
        "{text}"
    );
    wrote = writers::go_on(&site.cluster, Some(to), wrote).await?;
    eprintln!("orlop node drain: both wrote on elsewhere after {:.1?}", begun.elapsed());
    let line_of = line(&site, from)?;
    ensure!(
        line_of[1] == "Ready,SchedulingDisabled" && line_of[3] == "0" && line_of[4] == "0",
        "{line_of:?}"
    );

    site.cluster.run(&["node", "rm", from])?;
    ensure!(line(&site, from)?.is_empty(), "it is no node any more");
    let mut gone = site.members.remove(drained);
    gone.stop()?;
    let refused = gone.agent(&[]).output()?;
    ensure!(!refused.status.success() && said(&refused).contains("new token"), "{}", said(&refused));
    writers::go_on(&site.cluster, Some(to), wrote).await?;
    let (most, looks) = watch.most();
    assert_eq!(most, 1, "never two devices of one volume, in {looks} looks");

    site.cluster.delete(&kind::DEPLOYMENT, "web").await?;
    site.cluster.delete(&kind::STATEFUL_SET, "db").await?;
    for claim in writers::CLAIMS {
        site.cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, claim).await?;
    }
    site.cluster.none(&kind::PERSISTENT_VOLUME).await?;
    ensure!(site.files()?.is_empty(), "nothing is left in the pool: {:?}", site.files()?);
    Ok(())
}
