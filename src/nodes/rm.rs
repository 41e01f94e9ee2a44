//! `orlop node rm`: the node is no part of the cluster any more, and its certificate worth nothing.
//!
//! | the node | without `--force` | with it |
//! |---|---|---|
//! | is the server's own (`orlop up`) | refused: it would come back at once | refused |
//! | has pods that have not finished, or attached volumes | refused: `drain` first | they go with it: see [`FORCE`] |
//! | has attached volumes of pods of DaemonSets alone | refused: these have to leave first | the same |
//! | has pods of DaemonSets alone, nothing attached | removed, and they with it | the same |
//! | has neither | removed | removed |
//! | is gone, but things of it are left | they are removed | they are removed |
//!
//! What its disks hold is told: until a machine with them joins again under the name, nobody can reach it.
//!
//! The Node goes first: from then on its agent can say nothing, so that nothing comes back that is removed after it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use orlop_client::Client;
use orlop_objects::{Key, Object, exports, join::NODE_KEY, keeper, kind};
use serde_json::json;

use crate::say::say;

/// What a forced removal claims; whoever types it must know.
const FORCE: &str = "--force says that this machine is switched off for good: its pods are given up and its volumes declared \
                     detached, so that other nodes may attach them. If it still runs, it goes on writing, and two writers \
                     destroy a file system";

pub(super) async fn remove(client: &Client, name: &str, force: bool) -> Result<()> {
    let key = Key::cluster(&kind::NODE, name);
    let node = client.get(&key).await.context("ask for the node")?;
    if node.as_ref().is_some_and(|node| node.value()["metadata"]["annotations"][NODE_KEY].is_null()) {
        bail!(
            "node \"{name}\" is the server's own, and would come back at once: stop `orlop up` and run `orlop server` instead \
             to have a server without a node"
        );
    }
    let running =
        |pod: &Object| !matches!(pod.value()["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let pods = super::pods(client, name).await?;
    let attached = super::attachments(client, name).await?;
    let leases = Key::new(&kind::LEASE, "kube-node-lease", name);
    if node.is_none() && pods.is_empty() && attached.is_empty() && client.get(&leases).await?.is_none() {
        bail!("there is no node \"{name}\"; `orlop node ls` lists them");
    }
    if node.is_some() && !force {
        let (daemons, others): (Vec<_>, Vec<_>) =
            pods.iter().filter(|pod| running(pod)).cloned().partition(super::is_daemon);
        let used = super::volumes_of(client, &daemons).await?;
        refuse_while_in_use(name, &others, &attached, &used)?;
    }
    let kept = kept(client, name).await?;
    client.delete(&key, &json!({})).await.with_context(|| format!("remove node {name}"))?;
    for pod in &pods {
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.meta.uid}});
        client.delete(&pod.key, &options).await.with_context(|| format!("remove pod {}", pod.key))?;
    }
    for (attachment, volume) in &attached {
        let declare = async {
            client.delete(attachment, &json!({})).await?;
            client.patch(attachment, None, &json!({"metadata": {"finalizers": null}})).await.map(drop)
        };
        match declare.await {
            Err(error) if error.code() != Some(404) => {
                return Err(error).with_context(|| format!("declare volume {volume} detached"));
            }
            _ => say!("volume {volume} counts as detached"),
        }
    }
    for key in [Key::cluster(&kind::CSI_NODE, name), leases] {
        client.delete(&key, &json!({})).await.with_context(|| format!("remove {key}"))?;
    }
    say!("removed node {name}; its agent is not let in any more until it joins with a new token");
    say!("what still runs on that machine is stopped by `orlop down` there");
    if !kept.is_empty() {
        say!(
            "volumes on its disks, out of reach until the machine joins again as {name}: {}",
            kept.join(", ")
        );
    }
    Ok(())
}

/// The volumes whose data are on the node's own disks.
async fn kept(client: &Client, node: &str) -> Result<Vec<String>> {
    let volumes = client.list(&kind::PERSISTENT_VOLUME, None, &[]).await.context("list volumes")?;
    let mut kept = Vec::new();
    for object in volumes {
        let volume = object.typed().with_context(|| format!("read volume {}", object.key.name))?;
        if keeper::host(&volume) == Some(node) || exports::keeper_of(&volume) == Some(node) {
            kept.push(object.key.name.clone());
        }
    }
    Ok(kept)
}

/// `others` are pods that no DaemonSet has; `used` are the volumes of those that one has.
fn refuse_while_in_use(
    name: &str,
    others: &[Object],
    attached: &[(Key, String)],
    used: &BTreeSet<String>,
) -> Result<()> {
    if others.is_empty() && attached.is_empty() {
        return Ok(());
    }
    let mut has = Vec::new();
    has.extend((!others.is_empty()).then(|| format!("pods ({})", super::names(others))));
    let volumes: Vec<&str> = attached.iter().map(|(_, volume)| volume.as_str()).collect();
    has.extend((!volumes.is_empty()).then(|| format!("attached volumes ({})", volumes.join(", "))));
    let way = if others.is_empty() && volumes.iter().all(|volume| used.contains(*volume)) {
        format!(
            "pods of DaemonSets use them, and leave when `kubectl taint node {name} leaving=now:NoExecute` says so \
             (unless they tolerate it)"
        )
    } else {
        format!("run `orlop node drain {name}` first")
    };
    bail!("node \"{name}\" still has {}: {way}. {FORCE}", has.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_in_use_is_not_removed_by_chance() {
        let none = BTreeSet::new();
        assert!(refuse_while_in_use("n", &[], &[], &none).is_ok());
        let attached = [(Key::cluster(&kind::VOLUME_ATTACHMENT, "a"), "pvc-1".to_owned())];
        let words = |used: &BTreeSet<String>| {
            refuse_while_in_use("n", &[], &attached, used).expect_err("refuses").to_string()
        };
        let drain = words(&none);
        assert!(drain.contains("attached volumes (pvc-1): run `orlop node drain n`"), "{drain}");
        let taint = words(&BTreeSet::from(["pvc-1".to_owned()]));
        assert!(taint.contains("kubectl taint node n leaving=now:NoExecute"), "{taint}");
        assert!(drain.contains("two writers") && taint.contains("two writers"));
    }
}
