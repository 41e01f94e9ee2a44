//! How everybody in the cluster learns where its server is: the ConfigMap `kube-public/cluster-info`, as kubeadm has it,
//! with the hash of the authority's certificate beside it.

use anyhow::{Context, Result, bail};
use orlop_apiserver::pki::Pki;
use orlop_client::Client;
use orlop_objects::{Key, join::CLUSTER_INFO, kind};
use orlop_registry::{Error, Part, Registry, Who};
use serde_json::{Value, json};

const SERVER: &str = "server";
const AUTHORITY: &str = "authority-sha256";

/// What a machine must know to find its server and to be sure that it is the one.
pub(crate) struct ClusterInfo {
    /// `https://HOST:PORT`.
    pub(crate) server: String,
    /// The SHA-256 of the authority's certificate, in hexadecimal.
    pub(crate) authority: String,
}

/// Writes it, as it is now.
pub(crate) async fn publish(registry: &Registry, url: &str, pki: &Pki) -> Result<(), Error> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "", "cluster": {"server": url, "certificate-authority-data": pki.authority_base64()}}],
    });
    let data = json!({"kubeconfig": config.to_string(), SERVER: url, AUTHORITY: pki.authority_hash()});
    let who = Who::new("orlop:server", "orlop");
    let changed = |mut value: Value| {
        value["data"] = data.clone();
        Ok(value)
    };
    match registry.change(&key(), Part::Main, &who, false, changed).await {
        Err(Error::NotFound(_)) => {
            let body = json!({"metadata": {"name": CLUSTER_INFO.1}, "data": data});
            registry.create(&kind::CONFIG_MAP, CLUSTER_INFO.0, body, &who, false).await.map(drop)
        }
        outcome => outcome.map(drop),
    }
}

/// Reads it from a running server.
pub(crate) async fn read(client: &Client) -> Result<ClusterInfo> {
    let object = client.get(&key()).await.context("ask the server how it is reached")?;
    let Some(object) = object else {
        bail!(
            "ConfigMap {} in {} is gone: restart the server, which writes it",
            CLUSTER_INFO.1,
            CLUSTER_INFO.0
        )
    };
    let data = object.value()["data"].take();
    let text = |field: &str| {
        let text = data[field].as_str().map(str::to_owned);
        text.with_context(|| {
            format!("ConfigMap {} lacks {field}: restart the server, which writes it", CLUSTER_INFO.1)
        })
    };
    Ok(ClusterInfo { server: text(SERVER)?, authority: text(AUTHORITY)? })
}

fn key() -> Key {
    Key::new(&kind::CONFIG_MAP, CLUSTER_INFO.0, CLUSTER_INFO.1)
}
