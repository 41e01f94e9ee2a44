//! What the exports controller knows about a set of volumes, and all nodes: one snapshot.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{Node, Pod};
use orlop_objects::{DecodeError, Key, exports};

use crate::{
    attacher::view::pods_naming,
    binder::view::claim_key,
    facts::{self, Claim, Volume},
    taints,
    worker::{Due, Reader, Seen},
};

/// The facts of one pass.
#[derive(Default)]
pub(crate) struct View {
    /// Exports of Orlop's own.
    pub(crate) exports: Vec<ExportFacts>,
    /// All nodes.
    pub(crate) nodes: Vec<NodeFacts>,
}

/// All that matters for one export.
pub(crate) struct ExportFacts {
    /// The volume.
    pub(crate) volume: Arc<Volume>,
    /// The node that serves it.
    pub(crate) keeper: String,
    /// Who may mount it, as is written.
    pub(crate) clients: BTreeSet<IpAddr>,
    /// The claim that is bound to it.
    pub(crate) claim: Option<Arc<Claim>>,
    /// Unfinished pods that name the claim.
    pub(crate) pods: Vec<Arc<Seen<Pod>>>,
}

/// All that matters of one node.
pub(crate) struct NodeFacts {
    /// Its name.
    pub(crate) name: String,
    /// Its addresses, by which it reaches others.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Its agent is at work.
    pub(crate) ready: bool,
    /// Somebody says that nothing of it runs any more.
    pub(crate) off: bool,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader) -> View {
    let mut view = View::default();
    for Due { key, .. } in keys {
        view.exports.extend(reader.about(key, |r| export(key, r)).flatten());
    }
    if let Some(first) = view.exports.first() {
        let key = first.volume.key().clone();
        match reader.about(&key, |r| r.all::<Node>()) {
            Some(nodes) => view.nodes = nodes.iter().map(node).collect(),
            // Without the nodes nothing can be said about any export: least of all that nobody may mount it.
            None => view.exports.clear(),
        }
    }
    view
}

fn export(key: &Key, reader: &Reader) -> Result<Option<ExportFacts>, DecodeError> {
    let Some(volume): Option<Volume> = reader.get(key)? else { return Ok(None) };
    let Some(keeper) = exports::keeper_of(&volume).map(str::to_owned) else { return Ok(None) };
    let claim: Option<Claim> = match facts::claim_ref(&volume) {
        Some(reference) => reader.get(&claim_key(reference))?,
        None => None,
    };
    let claim = claim.filter(|claim| facts::is_bound(claim, &volume)).map(Arc::new);
    let pods = match &claim {
        Some(claim) => pods_naming(claim, reader)?.into_iter().map(Arc::new).collect(),
        None => Vec::new(),
    };
    let clients = exports::parse(exports::annotation(&volume, exports::CLIENTS));
    Ok(Some(ExportFacts { volume: Arc::new(volume), keeper, clients, claim, pods }))
}

fn node(node: &Seen<Node>) -> NodeFacts {
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let internal = addresses.iter().filter(|address| address.type_ == "InternalIP");
    NodeFacts {
        name: node.name().to_owned(),
        addresses: internal.filter_map(|address| address.address.parse().ok()).collect(),
        ready: facts::is_ready(node) && !node.is_terminating(),
        off: taints::out_of_service(node).is_some(),
    }
}
