//! What the reclaimer knows about a set of volumes: one snapshot.

use std::sync::Arc;

use k8s_openapi::api::{core::v1::Node, storage::v1::CSINode};
use orlop_objects::{DecodeError, Key, keeper, kind};

use crate::{
    affinity, attacher,
    binder::view::claim_key,
    drivers::Drivers,
    facts::{self, Claim, Volume},
    worker::{Due, Reader, Seen},
};

/// The attribute that tells a volume on the keeper's own disk, served to others, from one that lies elsewhere.
const EXPORT: &str = "export";
const OWN: &str = "own";

/// The facts of one pass.
pub(crate) struct View {
    /// Volumes.
    pub(crate) volumes: Vec<VolumeFacts>,
}

/// All that matters for one volume.
pub(crate) struct VolumeFacts {
    /// The volume.
    pub(crate) volume: Arc<Volume>,
    /// Whether its claim is gone: its claimRef has a uid, and no claim of that name has it.
    pub(crate) released: bool,
    /// The nodes that it is attached to.
    pub(crate) attached: Vec<String>,
    /// Its driver's name, and whether this Orlop carries it.
    pub(crate) driver: Option<(String, bool)>,
    /// The drivers that this Orlop carries.
    pub(crate) installed: Vec<String>,
    /// The node whose agent removes its data, and how it is.
    pub(crate) keeper: Option<(String, Health)>,
    /// Ready nodes that could do so instead.
    pub(crate) others: Vec<String>,
}

/// How a keeper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Its agent is at work.
    Ready,
    /// Nothing is heard of it.
    Silent,
    /// There is no such node.
    Gone,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, drivers: &Drivers) -> View {
    let mut volumes = Vec::new();
    for Due { key, .. } in keys {
        volumes.extend(reader.about(key, |r| volume_facts(key, r, drivers)).flatten());
    }
    View { volumes }
}

fn volume_facts(key: &Key, reader: &Reader, drivers: &Drivers) -> Result<Option<VolumeFacts>, DecodeError> {
    let Some(volume) = reader.get(key)? else {
        return Ok(None);
    };
    let volume: Arc<Volume> = Arc::new(volume);
    let attachments = attacher::view::attachments(&volume, reader)?;
    let driver = facts::volume_driver(&volume).map(|name| (name.to_owned(), drivers.get(name).is_some()));
    // Only what is going needs to know who removes its data.
    let nodes: Vec<Seen<Node>> = if volume.is_terminating() { reader.all()? } else { Vec::new() };
    Ok(Some(VolumeFacts {
        released: is_released(&volume, reader)?,
        attached: attachments.iter().map(|a| a.spec.node_name.clone()).collect(),
        driver,
        installed: drivers.names(),
        keeper: keeper(&volume, &nodes),
        others: others(&volume, &nodes, reader)?,
        volume,
    }))
}

fn is_released(volume: &Volume, reader: &Reader) -> Result<bool, DecodeError> {
    let Some(reference) = facts::claim_ref(volume) else {
        return Ok(false);
    };
    let Some(uid) = reference.uid.as_deref().filter(|uid| !uid.is_empty()) else {
        return Ok(false);
    };
    let claim: Option<Claim> = reader.get(&claim_key(reference))?;
    // A claim that has this uid but is bound elsewhere never used the volume: the binder says Released then.
    let elsewhere = |claim: &Claim| facts::named_volume(claim).is_some_and(|name| name != volume.name());
    Ok(match claim.filter(|claim| claim.uid() == uid) {
        None => true,
        Some(claim) => elsewhere(&claim) && facts::is_said_released(volume),
    })
}

/// The keeper, and how it is.
fn keeper(volume: &Volume, nodes: &[Seen<Node>]) -> Option<(String, Health)> {
    let name = keeper::of(volume)?;
    let health = match nodes.iter().find(|node| node.name() == name) {
        None => Health::Gone,
        Some(node) if facts::is_ready(node) => Health::Ready,
        Some(_) => Health::Silent,
    };
    Some((name.to_owned(), health))
}

/// Ready nodes that could take the keeper's place, in order.
fn others(volume: &Volume, nodes: &[Seen<Node>], reader: &Reader) -> Result<Vec<String>, DecodeError> {
    let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    let Some(csi) = csi.filter(|_| keeper::is_made_by_its_driver(volume)) else { return Ok(Vec::new()) };
    let own = csi.volume_attributes.as_ref().and_then(|all| all.get(EXPORT)).is_some_and(|kind| kind == OWN);
    let mut found = Vec::new();
    for node in nodes.iter().filter(|_| !own) {
        let drivers: Option<Seen<CSINode>> = reader.get(&Key::cluster(&kind::CSI_NODE, node.name()))?;
        let has_driver =
            drivers.is_some_and(|csi_node| csi_node.spec.drivers.iter().any(|d| d.name == csi.driver));
        let there = facts::is_ready(node) && !node.is_terminating() && affinity::reaches(volume, node);
        if has_driver && there && keeper::of(volume) != Some(node.name()) {
            found.push(node.name().to_owned());
        }
    }
    found.sort();
    Ok(found)
}
