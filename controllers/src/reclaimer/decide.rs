//! What becomes of a volume whose claim is gone. Pure.
//!
//! | volume | policy | attached | driver | verdict |
//! |---|---|---|---|---|
//! | not released, not terminating | | | | – |
//! | released | Retain | | | – |
//! | released | Delete | yes | | Wait: still attached |
//! | released | Delete | no | carried here, without the provisioner's finalizer | Hold (add it, so that the data goes first) |
//! | released | Delete | no | carried here | Delete the object: its finalizer asks the driver |
//! | released | Delete | no | another's, named | Wait: that driver deletes it |
//! | released, not Failed | Delete | no | none | Fail: nobody can delete it |
//! | released, not Failed | Recycle | | | Fail: unsupported, says so |
//! | released, Failed | the policy that failed | | | – (told); another policy is followed as if nothing had failed |
//! | terminating | Retain or Recycle | | holds the provisioner's finalizer | LetGo: the object goes, the data stays |
//! | terminating, nobody's | Delete | | holds the provisioner's finalizer | Wait: only what a claim has released is deleted |
//! | terminating, released | Delete | yes | | Wait: still attached |
//! | terminating, released | Delete | no | carried here, its keeper is Ready | Watch (the keeper's agent deletes the data) |
//! | terminating, released | Delete | no | its keeper is silent or gone, or it has none; another node can | Entrust to it |
//! | terminating, released | Delete | no | its keeper is silent, nobody else can | Wait: until it is back |
//! | terminating, released | Delete | no | its keeper is gone, nobody else can | Wait: the node must come back |
//! | terminating, released | Delete | no | carried here, no keeper, nobody can | Wait: who could |
//! | terminating | Delete | no | not carried here | – (its own provisioner deletes, then takes the finalizer away) |
//!
//! The keeper is the node whose agent removes the data (see `keeper` in `objects`). Another can take its place when the
//! volume can be attached there as well, and its data is not on the keeper's own disk.

use std::sync::Arc;

use orlop_objects::Key;

use super::view::{Health, View, VolumeFacts};
use crate::{
    events::Said,
    facts::{self, PROVISIONER_FINALIZER, Volume},
};

/// What to do about one volume.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Make sure that the driver is asked before the object can go.
    Hold { volume: Arc<Volume> },
    /// Ask for the object's deletion.
    Delete { volume: Arc<Volume> },
    /// Name another node to remove the data.
    Entrust { volume: Arc<Volume>, node: String },
    /// It is being done; look again when something changes.
    Watch,
    /// Let the object go without its data.
    LetGo { volume: Arc<Volume> },
    /// Write phase Failed, and say why.
    Fail { volume: Arc<Volume>, said: Said },
    /// Nothing can be done until something changes.
    Wait { volume: Arc<Volume>, said: Said },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let verdict = |facts: &VolumeFacts| Some((facts.volume.key().clone(), decide_volume(facts)?));
    view.volumes.iter().filter_map(verdict).collect()
}

fn decide_volume(facts: &VolumeFacts) -> Option<Verdict> {
    let policy = facts::reclaim_policy(&facts.volume);
    if facts.volume.is_terminating() { terminating(facts, policy) } else { released(facts, policy) }
}

fn terminating(facts: &VolumeFacts, policy: &str) -> Option<Verdict> {
    let volume = facts.volume.clone();
    if policy != "Delete" {
        return is_held(&volume).then_some(Verdict::LetGo { volume });
    }
    if !facts.released {
        return (is_nobodys(&volume) && is_held(&volume)).then(|| unused(volume));
    }
    if let Some(wait) = still_attached(facts) {
        return Some(wait);
    }
    let carried = facts.driver.as_ref().is_some_and(|(_, carried)| *carried);
    (is_held(&volume) && (carried || facts.keeper.is_some())).then(|| remove_data(facts))
}

fn remove_data(facts: &VolumeFacts) -> Verdict {
    let volume = facts.volume.clone();
    let text = match (&facts.keeper, facts.others.first()) {
        (Some((_, Health::Ready)), _) => return Verdict::Watch,
        (_, Some(node)) => return Verdict::Entrust { volume, node: node.clone() },
        (Some((node, Health::Silent)), None) => format!(
            "node {node:?}, where the data of this volume is, is not Ready; the data is removed when its agent is back"
        ),
        (Some((node, Health::Gone)), None) => format!(
            "node {node:?}, where the data of this volume is, does not exist; start its agent again, or take the \
             finalizer {PROVISIONER_FINALIZER} away if the data is gone with the node"
        ),
        (None, None) => format!(
            "no Ready node is known to have the data of this volume; start the agent of the node that has it, or \
             remove the data by hand and take the finalizer {PROVISIONER_FINALIZER} away"
        ),
    };
    Verdict::Wait { volume, said: Said::warning("VolumeFailedDelete", text) }
}

fn released(facts: &VolumeFacts, policy: &str) -> Option<Verdict> {
    let volume = facts.volume.clone();
    let failed = facts::volume_phase(&volume) == "Failed";
    match policy {
        _ if !facts.released => None,
        "Delete" => delete(facts, failed),
        "Recycle" if !failed => {
            let text = "No recycler plugin found for the volume! The policy Recycle is not supported: back up what you \
                        need, then set spec.persistentVolumeReclaimPolicy to Delete or Retain";
            Some(Verdict::Fail { volume, said: Said::warning("VolumeFailedRecycle", text) })
        }
        _ => None,
    }
}

fn delete(facts: &VolumeFacts, failed: bool) -> Option<Verdict> {
    let volume = facts.volume.clone();
    if let Some(wait) = still_attached(facts) {
        return Some(wait);
    }
    match &facts.driver {
        Some((_, true)) if is_held(&volume) => Some(Verdict::Delete { volume }),
        Some((_, true)) => Some(Verdict::Hold { volume }),
        Some((driver, false)) => {
            let text = format!(
                "waiting for driver {driver:?} to delete the volume; it is not installed here (installed: {}). \
                 Install it, or set spec.persistentVolumeReclaimPolicy to Retain and delete the volume by hand",
                facts.installed.join(", ")
            );
            Some(Verdict::Wait { volume, said: Said::normal("ExternalProvisioning", text) })
        }
        None if failed => None,
        None => {
            let text = format!(
                "error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched. Orlop did not \
                 make this volume and cannot delete what is behind it: remove that by hand, then \
                 kubectl delete pv {0}",
                volume.name()
            );
            Some(Verdict::Fail { volume, said: Said::warning("VolumeFailedDelete", text) })
        }
    }
}

/// Whether no claim ever had it, as far as it says.
fn is_nobodys(volume: &Volume) -> bool {
    facts::claim_ref(volume).is_none_or(|claim| claim.uid.as_deref().unwrap_or_default().is_empty())
}

fn unused(volume: Arc<Volume>) -> Verdict {
    let text = "the volume is being deleted, but its data is removed only after a claim that was bound to it is gone, and \
                it names none; to let it go and keep the data, set spec.persistentVolumeReclaimPolicy to Retain";
    Verdict::Wait { volume, said: Said::warning("VolumeFailedDelete", text) }
}

fn is_held(volume: &Volume) -> bool {
    volume.object.meta.finalizers.iter().any(|finalizer| finalizer == PROVISIONER_FINALIZER)
}

fn still_attached(facts: &VolumeFacts) -> Option<Verdict> {
    let node = facts.attached.first()?;
    let text = format!(
        "persistentvolume {} is still attached to node {node}; it is deleted when that node's agent has detached it",
        facts.volume.name()
    );
    Some(Verdict::Wait { volume: facts.volume.clone(), said: Said::normal("VolumeFailedDelete", text) })
}
