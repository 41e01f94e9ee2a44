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
//! | released, Failed | | | | – (told) |
//! | terminating | Retain or Recycle | | holds the provisioner's finalizer | LetGo: the object goes, the data stays |
//! | terminating, nobody's | Delete | | holds the provisioner's finalizer | Wait: only what a claim has released is deleted |
//! | terminating, released | Delete | yes | | Wait: still attached |
//! | terminating, released | Delete | no | its node is gone | Wait: the node must come back |
//! | terminating | Delete | no | | – (its agent deletes the data, then takes the finalizer away) |

use std::sync::Arc;

use orlop_objects::Key;

use super::view::{View, VolumeFacts};
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
    match &facts.home {
        Some((node, false)) if is_held(&volume) => {
            let text = format!(
                "node {node:?}, where the data of this volume is, does not exist; start its agent again, or take the \
                 finalizer {PROVISIONER_FINALIZER} away if the data is gone with the node"
            );
            Some(Verdict::Wait { volume, said: Said::warning("VolumeFailedDelete", text) })
        }
        _ => None,
    }
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
