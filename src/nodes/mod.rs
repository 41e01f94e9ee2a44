//! `orlop node`: who is in the cluster, and how a node leaves it: `drain`, then `rm`.

mod drain;
mod ls;
mod rm;

use std::path::Path;

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

/// `namespace/name` of objects.
fn names<'a>(objects: impl IntoIterator<Item = &'a Object>) -> String {
    let names: Vec<_> = objects.into_iter().map(|o| format!("{}/{}", o.key.namespace, o.key.name)).collect();
    names.join(", ")
}
