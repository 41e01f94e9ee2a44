//! What the attacher knows about a set of volumes: one snapshot.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Node, Pod},
    storage::v1::VolumeAttachment,
};
use orlop_objects::{DecodeError, Key, index::Index, kind};

use super::request;
use crate::{
    binder::view::claim_key,
    drivers::Drivers,
    facts::{self, Claim, Volume},
    worker::{Due, Reader, Seen},
};

/// The facts of one pass.
pub(crate) struct View {
    /// Volumes.
    pub(crate) volumes: Vec<VolumeFacts>,
}

/// All that matters for one volume.
pub(crate) struct VolumeFacts {
    /// The volume.
    pub(crate) volume: Arc<Volume>,
    /// Whether its driver attaches volumes at all.
    pub(crate) attaches: bool,
    /// Unfinished pods that have a node and name the claim bound to it, the oldest first.
    pub(crate) users: Vec<User>,
    /// Its attachments.
    pub(crate) attachments: Vec<Attached>,
}

/// A pod that needs the volume.
pub(crate) struct User {
    /// The pod.
    pub(crate) pod: Arc<Seen<Pod>>,
    /// Its node.
    pub(crate) node: String,
}

/// An attachment of the volume.
pub(crate) struct Attached {
    /// The attachment.
    pub(crate) attachment: Arc<Seen<VolumeAttachment>>,
    /// Whether it is one that the attacher makes, by its name; others are left alone.
    pub(crate) ours: bool,
    /// Whether its success has been told, or came before this server's start.
    pub(crate) told: bool,
    /// Its node; `None` when that has no object.
    pub(crate) node: Option<Arc<Seen<Node>>>,
}

/// Gathers the facts; `is_told` remembers which successes have been told.
pub(crate) fn view(
    keys: &[Due],
    reader: &mut Reader,
    drivers: &Drivers,
    is_told: impl Fn(&Seen<VolumeAttachment>) -> bool,
) -> View {
    let mut volumes = Vec::new();
    for Due { key, .. } in keys {
        volumes.extend(reader.about(key, |r| volume_facts(key, r, drivers, &is_told)).flatten());
    }
    View { volumes }
}

fn volume_facts(
    key: &Key,
    reader: &Reader,
    drivers: &Drivers,
    is_told: &impl Fn(&Seen<VolumeAttachment>) -> bool,
) -> Result<Option<VolumeFacts>, DecodeError> {
    let Some(volume) = reader.get(key)? else {
        return Ok(None);
    };
    let volume: Arc<Volume> = Arc::new(volume);
    let attaches = match request::csi(&volume) {
        Some((driver, _)) => drivers.attaches(driver, reader)?,
        None => false,
    };
    let users = users(&volume, reader)?;
    let found: Vec<Seen<VolumeAttachment>> = attachments(&volume, reader)?;
    let mut attachments = Vec::with_capacity(found.len());
    for attachment in found {
        let node: Option<Seen<Node>> = reader.get(&Key::cluster(&kind::NODE, &*attachment.spec.node_name))?;
        attachments.push(Attached {
            ours: request::key(&volume, &attachment.spec.node_name).as_ref() == Some(attachment.key()),
            told: is_told(&attachment),
            node: node.map(Arc::new),
            attachment: Arc::new(attachment),
        });
    }
    Ok(Some(VolumeFacts { attaches, users, attachments, volume }))
}

/// The attachments of a volume.
pub(crate) fn attachments(
    volume: &Volume,
    reader: &Reader,
) -> Result<Vec<Seen<VolumeAttachment>>, DecodeError> {
    reader.having(Index::AttachmentsByVolume, volume.name())
}

fn users(volume: &Volume, reader: &Reader) -> Result<Vec<User>, DecodeError> {
    let Some(reference) = facts::claim_ref(volume) else {
        return Ok(Vec::new());
    };
    let claim: Option<Claim> = reader.get(&claim_key(reference))?;
    let Some(claim) = claim.filter(|claim| facts::is_bound(claim, volume)) else {
        return Ok(Vec::new());
    };
    let mut pods = pods_naming(&claim, reader)?;
    pods.sort_by(|a, b| age(a).cmp(&age(b)));
    let user = |pod: Seen<Pod>| {
        let node = facts::pod_node(&pod)?.to_owned();
        Some(User { pod: Arc::new(pod), node })
    };
    Ok(pods.into_iter().filter_map(user).collect())
}

fn age(pod: &Seen<Pod>) -> (&str, &str) {
    (&pod.object.meta.creation_timestamp, pod.name())
}

/// The unfinished pods that name a claim.
pub(crate) fn pods_naming(claim: &Claim, reader: &Reader) -> Result<Vec<Seen<Pod>>, DecodeError> {
    let key = claim.key();
    let mut pods: Vec<Seen<Pod>> =
        reader.having(Index::PodsByClaim, &format!("{}\0{}", key.namespace, key.name))?;
    pods.retain(|pod| !facts::is_finished(pod));
    Ok(pods)
}
