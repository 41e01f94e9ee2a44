//! What the reclaimer knows about a set of volumes: one snapshot.

use std::sync::Arc;

use orlop_objects::{DecodeError, Key, kind};

use crate::{
    attacher,
    binder::view::claim_key,
    drivers::Drivers,
    facts::{self, Claim, Volume},
    worker::{Due, Reader},
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
    /// Whether its claim is gone: its claimRef has a uid, and no claim of that name has it.
    pub(crate) released: bool,
    /// The nodes that it is attached to.
    pub(crate) attached: Vec<String>,
    /// Its driver's name, and whether this Orlop carries it.
    pub(crate) driver: Option<(String, bool)>,
    /// The drivers that this Orlop carries.
    pub(crate) installed: Vec<String>,
    /// For node-local volumes: the node that it lives on, and whether there is such a node.
    pub(crate) home: Option<(String, bool)>,
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
    let home = home(&volume).map(|node| {
        let exists = reader.snapshot.get(&Key::cluster(&kind::NODE, &*node)).is_some();
        (node, exists)
    });
    Ok(Some(VolumeFacts {
        released: is_released(&volume, reader)?,
        attached: attachments.iter().map(|a| a.spec.node_name.clone()).collect(),
        driver,
        installed: drivers.names(),
        home,
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
        Some(claim) => elsewhere(&claim) && facts::volume_phase(volume) == "Released",
    })
}

/// The one node whose hostname label the volume's affinity asks for.
fn home(volume: &Volume) -> Option<String> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let [term] = required.node_selector_terms.as_slice() else {
        return None;
    };
    let expressions = term.match_expressions.as_ref()?;
    let hostname = expressions.iter().find(|e| e.key == "kubernetes.io/hostname" && e.operator == "In")?;
    match hostname.values.as_deref() {
        Some([node]) => Some(node.clone()),
        _ => None,
    }
}
