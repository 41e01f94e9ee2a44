//! `orlop node`: who is in the cluster, and how a node leaves it: `drain`, then `rm`.

mod drain;
mod ls;
mod rm;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result, bail};
use orlop_client::Client;
use orlop_objects::{Key, Object, kind};
use serde_json::Value;

use crate::{cli, local};

pub(crate) fn run(dir: &Path, command: &cli::NodeCommand) -> Result<()> {
    local::ask(dir, async |client| match command {
        cli::NodeCommand::Ls => ls::list(&client).await,
        cli::NodeCommand::Drain(flags) => drain::drain(&client, flags).await,
        cli::NodeCommand::Rm { name, force } => rm::remove(&client, name, *force).await,
    })
}

/// A node that must be there.
async fn node(client: &Client, name: &str) -> Result<Object> {
    let found = client.get(&Key::cluster(&kind::NODE, name)).await.context("ask for the node")?;
    let Some(node) = found else { bail!("there is no node \"{name}\"; `orlop node ls` lists them") };
    Ok(node)
}

/// Pods that are bound to a node.
async fn pods(client: &Client, node: &str) -> Result<Vec<Object>> {
    let selector = format!("spec.nodeName={node}");
    client.list(&kind::POD, None, &[("fieldSelector", &selector)]).await.context("list the node's pods")
}

/// Attachments to a node, with the volume of each.
async fn attachments(client: &Client, node: &str) -> Result<Vec<(Key, String)>> {
    let all = client.list(&kind::VOLUME_ATTACHMENT, None, &[]).await.context("list attachments")?;
    let volume =
        |value: &Value| value["spec"]["source"]["persistentVolumeName"].as_str().unwrap_or("?").to_owned();
    let here = all.into_iter().map(|object| (object.key.clone(), object.value()));
    Ok(here
        .filter(|(_, value)| value["spec"]["nodeName"] == *node)
        .map(|(key, v)| (key, volume(&v)))
        .collect())
}

/// The volumes of the claims that pods mount.
async fn volumes_of(client: &Client, pods: &[Object]) -> Result<BTreeSet<String>> {
    let mut volumes = BTreeSet::new();
    for pod in pods {
        for volume in pod.value()["spec"]["volumes"].as_array().into_iter().flatten() {
            let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else { continue };
            let claim = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, &pod.key.namespace, claim);
            let found = client.get(&claim).await.with_context(|| format!("look at claim {claim}"))?;
            volumes.extend(
                found.and_then(|found| found.value()["spec"]["volumeName"].as_str().map(str::to_owned)),
            );
        }
    }
    Ok(volumes)
}

/// Whether a pod belongs to a DaemonSet: it is where its node is, and would come back at once.
fn is_daemon(pod: &Object) -> bool {
    pod.meta.owner_references.iter().any(|owner| owner.controller && owner.kind == "DaemonSet")
}

/// `namespace/name` of objects.
fn names<'a>(objects: impl IntoIterator<Item = &'a Object>) -> String {
    let names: Vec<_> = objects.into_iter().map(|o| format!("{}/{}", o.key.namespace, o.key.name)).collect();
    names.join(", ")
}
