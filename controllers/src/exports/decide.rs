//! Who may mount an export. Pure.
//!
//! | node | is a client | a pod on it uses the volume | verdict |
//! |---|---|---|---|
//! | the keeper | | | not a client: it has the files |
//! | Ready | | | client |
//! | not Ready | no | | not a client |
//! | not Ready | yes | yes | client: what its pods have written must not be lost |
//! | not Ready | yes | no | not a client |
//! | out of service | | | not a client |
//! | gone | | | not a client |
//!
//! | keeper | pods of other nodes | told |
//! |---|---|---|
//! | Ready | | nobody |
//! | not Ready, or gone | none | the claim |
//! | not Ready, or gone | some | the claim, and each of them |
//!
//! An address that a client shares with others is a client's.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use orlop_objects::{Key, Object, exports};

use super::view::{ExportFacts, NodeFacts, View};
use crate::{
    events::Said,
    facts::{self, Volume},
};

/// What to do about one export.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Write who may mount it.
    Write { volume: Arc<Volume>, clients: String, told: Vec<(Arc<Object>, Said)> },
    /// Nothing, until something changes.
    Watch { told: Vec<(Arc<Object>, Said)> },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.exports
        .iter()
        .map(|export| (export.volume.key().clone(), decide_export(export, &view.nodes)))
        .collect()
}

fn decide_export(export: &ExportFacts, nodes: &[NodeFacts]) -> Verdict {
    let told = tell(export, nodes);
    let clients = clients(export, nodes);
    if clients == export.clients {
        return Verdict::Watch { told };
    }
    Verdict::Write { volume: export.volume.clone(), clients: exports::print(&clients), told }
}

fn clients(export: &ExportFacts, nodes: &[NodeFacts]) -> BTreeSet<IpAddr> {
    let may = nodes.iter().filter(|node| may_mount(export, node));
    may.flat_map(|node| node.addresses.iter().copied()).collect()
}

fn may_mount(export: &ExportFacts, node: &NodeFacts) -> bool {
    if node.name == export.keeper || node.off {
        return false;
    }
    let is_client = || node.addresses.iter().any(|address| export.clients.contains(address));
    let uses = || export.pods.iter().any(|pod| facts::pod_node(pod) == Some(&*node.name));
    node.ready || (is_client() && uses())
}

/// What is to be told while the keeper is away.
fn tell(export: &ExportFacts, nodes: &[NodeFacts]) -> Vec<(Arc<Object>, Said)> {
    let keeper = &export.keeper;
    let (away, help) = match nodes.iter().find(|node| node.name == *keeper) {
        Some(node) if node.ready => return Vec::new(),
        Some(_) => ("is not Ready", "start its agent again"),
        None => {
            ("does not exist any more", "start its agent again under the same name, with its data directory")
        }
    };
    let name = export.volume.name();
    let text = format!(
        "the files of volume {name:?} are on node {keeper:?}, which {away}: pods on other nodes wait for it, and lose \
         nothing that they have written; {help}"
    );
    let said = || Said::warning("VolumeKeeperNotReady", text.clone());
    let claim = export.claim.iter().map(|claim| claim.object.clone());
    let elsewhere = export.pods.iter().filter(|pod| facts::pod_node(pod).is_some_and(|node| node != keeper));
    claim.chain(elsewhere.map(|pod| pod.object.clone())).map(|object| (object, said())).collect()
}
