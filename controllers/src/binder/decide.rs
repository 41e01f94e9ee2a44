//! Which claim gets which volume, and what phase a volume is in. Pure.
//!
//! Claims; those that name a volume choose before those that search, so that nobody takes it from them:
//!
//! | claim is | volume | class, candidates | verdict |
//! |---|---|---|---|
//! | bound once | holds its uid, all is written | | – |
//! | bound once | holds its uid, all is written, holds less than the claim asks for by now | | Wait: does not grow |
//! | bound once | holds its uid, something is missing | | Bind (again) |
//! | bound once | nobody's, or kept for it by name | | Bind (the volume lost its half) |
//! | bound once | none named, gone, or another's | | Lose |
//! | deleted, never bound | | | – |
//! | names V | missing | | Wait: not found |
//! | names V | terminating | | Wait: being deleted |
//! | names V | another's, or given away in this pass | | Wait: taken |
//! | names V | nobody's | class, mode, access, size fit | Bind |
//! | names V | kept for it, or holds its uid | mode, access, size fit (class does not matter) | Bind |
//! | names V | nobody's or kept | does not fit | Wait: VolumeMismatch |
//! | searches | one made or kept for it | fits | Bind it |
//! | searches | best among the free | class binds at once, or there is no such class | Bind it |
//! | searches | | class binds late, no node | Wait: first consumer, or its pod to be scheduled |
//! | searches | best among the free reachable from the node | class binds late, node chosen | Bind it |
//! | searches | none | class named | Wait: the provisioner's turn (silent: it speaks) |
//! | searches | none | no class named, there is a default one | AssignClass |
//! | searches | none | no class | Wait: no volume and no class |
//!
//! Volumes:
//!
//! | claimRef | claim of that name | phase |
//! |---|---|---|
//! | none, or without uid | – | Available |
//! | uid | gone, or has another uid | Released (Failed stays) |
//! | uid | has it, names this volume | Bound |
//! | uid | has it, names none | – (the claim's turn) |
//! | uid | has it, names another; made for it, policy Delete | Released: nobody ever used it |
//! | uid | has it, names another; else | Unclaim: free again, or kept by name as its user wrote it |

use std::{collections::HashSet, sync::Arc};

use orlop_objects::{Key, phase::Binding};
use orlop_registry::does_not_grow;

use super::{
    matching::{self, Misfit, Reach},
    view::{ClaimFacts, View, VolumeFacts},
};
use crate::{
    events::Said,
    facts::{self, Claim, Volume},
};

/// What to do about one claim or volume.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Write the binding, both halves and both phases, in one transaction.
    Bind { claim: Arc<Claim>, volume: Arc<Volume> },
    /// The claim has lost its volume.
    Lose { claim: Arc<Claim>, said: Said },
    /// Give the claim the class that has become the default.
    AssignClass { claim: Arc<Claim>, class: String },
    /// Write a volume's phase.
    Phase { volume: Arc<Volume>, phase: &'static str },
    /// Take the claim (or only its uid) out of a volume that it does not use.
    Unclaim { volume: Arc<Volume>, keep_name: bool },
    /// Nothing can be done until something changes.
    Wait { claim: Arc<Claim>, said: Option<Said> },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let mut taken = HashSet::new();
    let (naming, searching): (Vec<_>, Vec<_>) =
        view.claims.iter().partition(|facts| facts::named_volume(&facts.claim).is_some());
    let mut verdicts = Vec::new();
    for facts in naming.into_iter().chain(searching) {
        let Some(verdict) = decide_claim(facts, &taken) else {
            continue;
        };
        if let Verdict::Bind { volume, .. } = &verdict {
            taken.insert(volume.name().to_owned());
        }
        verdicts.push((facts.claim.key().clone(), verdict));
    }
    for facts in &view.volumes {
        // The binding writes the volume's phase as well.
        if taken.contains(facts.volume.name()) {
            continue;
        }
        verdicts.extend(decide_volume(facts).map(|verdict| (facts.volume.key().clone(), verdict)));
    }
    verdicts
}

fn decide_claim(facts: &ClaimFacts, taken: &HashSet<String>) -> Option<Verdict> {
    if facts::was_bound(&facts.claim) {
        return bound_once(facts);
    }
    if facts.claim.is_terminating() {
        return None;
    }
    match facts::named_volume(&facts.claim) {
        Some(name) => Some(asks_for(name, facts, taken)),
        None => Some(searches(facts, taken)),
    }
}

fn bound_once(facts: &ClaimFacts) -> Option<Verdict> {
    let claim = &facts.claim;
    let lost = |words: &str| {
        let said = Said::warning("ClaimLost", format!("{words} Data on the volume is lost!"));
        (facts::claim_phase(claim) != "Lost").then(|| Verdict::Lose { claim: claim.clone(), said })
    };
    let Some(volume) = &facts.named else {
        return match facts::named_volume(claim) {
            None => lost("Bound claim has lost reference to PersistentVolume."),
            Some(_) => lost("Bound claim has lost its PersistentVolume."),
        };
    };
    match facts::binding(claim, volume) {
        Binding::Taken if facts::claim_phase(claim) == "Lost" => None,
        Binding::Taken => {
            let words = "Two claims are bound to the same volume, this one is bound incorrectly.";
            Some(Verdict::Lose { claim: claim.clone(), said: Said::warning("ClaimMisbound", words) })
        }
        Binding::Bound if is_written(claim, volume) => outgrown(claim, volume),
        _ => Some(Verdict::Bind { claim: claim.clone(), volume: volume.clone() }),
    }
}

/// A claim that asks for more than the volume that it has.
fn outgrown(claim: &Arc<Claim>, volume: &Volume) -> Option<Verdict> {
    if claim.is_terminating() || facts::requested(claim) <= facts::capacity(volume) {
        return None;
    }
    let words = does_not_grow(facts::requested_text(claim), facts::capacity_text(volume));
    Some(wait(claim, Said::warning("VolumeResizeFailed", words)))
}

/// Whether both phases say what both halves of the binding say.
fn is_written(claim: &Claim, volume: &Volume) -> bool {
    facts::is_bound(claim, volume)
        && facts::claim_phase(claim) == "Bound"
        && (facts::volume_phase(volume) == "Bound" || volume.is_terminating())
}

fn asks_for(name: &str, facts: &ClaimFacts, taken: &HashSet<String>) -> Verdict {
    let claim = &facts.claim;
    let failed = |message: String| wait(claim, Said::warning("FailedBinding", message));
    let Some(volume) = &facts.named else {
        return failed(format!(
            "volume {name:?} not found; create it, or make a new claim that names another volume or none"
        ));
    };
    if volume.is_terminating() {
        return failed(format!("volume {name:?} is being deleted; make a new claim that names another one"));
    }
    let fits = match facts::binding(claim, volume) {
        Binding::Taken => Err(None),
        Binding::Asked | Binding::Free if taken.contains(name) => Err(None),
        Binding::Asked | Binding::Free => matching::named_fits(claim, volume).map_err(Some),
        Binding::Reserved | Binding::Held | Binding::Bound => {
            matching::content_fits(claim, volume).map_err(Some)
        }
    };
    match fits {
        Ok(()) => Verdict::Bind { claim: claim.clone(), volume: volume.clone() },
        Err(Some(misfit)) => {
            wait(claim, Said::warning("VolumeMismatch", mismatch(name, misfit, claim, volume)))
        }
        Err(None) => failed(taken_by(name, volume)),
    }
}

fn taken_by(name: &str, volume: &Volume) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let holder = facts::claim_ref(volume)
        .map(|r| format!(" It is held by claim {}/{}.", part(&r.namespace), part(&r.name)))
        .unwrap_or_default();
    format!(
        "volume {name:?} already bound to a different claim.{holder} Make a new claim that names another volume or none"
    )
}

fn mismatch(name: &str, misfit: Misfit, claim: &Claim, volume: &Volume) -> String {
    let (asked, offered) = match misfit {
        Misfit::TooSmall => {
            (format!("{} bytes", facts::requested(claim)), format!("{} bytes", facts::capacity(volume)))
        }
        Misfit::Class => {
            let class = facts::claim_class(claim).unwrap_or_default();
            (format!("class {class:?}"), format!("class {:?}", facts::volume_class(volume)))
        }
        Misfit::VolumeMode => {
            (facts::claim_volume_mode(claim).to_owned(), facts::volume_mode(volume).to_owned())
        }
        Misfit::AccessModes => (facts::claim_modes(claim).join(", "), facts::volume_modes(volume).join(", ")),
        Misfit::Selector => ("other labels".to_owned(), "its own".to_owned()),
    };
    format!(
        "Cannot bind to requested volume {name:?}: {}. The claim asks for {asked}, the volume has {offered}: \
         make a new claim that fits, or name another volume",
        misfit.words()
    )
}

/// Whether the binder finds a volume for a claim that searches.
pub(crate) fn finds(facts: &ClaimFacts) -> bool {
    best(facts, &HashSet::new()).is_some()
}

fn is_late(facts: &ClaimFacts) -> bool {
    facts.class.as_ref().is_some_and(|class| facts::binds_late(class))
}

fn best<'a>(facts: &'a ClaimFacts, taken: &HashSet<String>) -> Option<&'a Arc<Volume>> {
    let reach = match &facts.node {
        Some(node) if is_late(facts) => Reach::From(node),
        _ if is_late(facts) => Reach::Kept,
        _ => Reach::Anywhere,
    };
    matching::best(&facts.claim, &facts.candidates, reach, taken)
}

fn searches(facts: &ClaimFacts, taken: &HashSet<String>) -> Verdict {
    let claim = &facts.claim;
    if let Some(volume) = best(facts, taken) {
        return Verdict::Bind { claim: claim.clone(), volume: volume.clone() };
    }
    if is_late(facts) && facts::selected_node(claim).is_none() {
        return wait(claim, first_consumer(facts));
    }
    match (facts::claim_class(claim), &facts.default_class) {
        (Some(class), _) if !class.is_empty() => Verdict::Wait { claim: claim.clone(), said: None },
        (None, Some(class)) => Verdict::AssignClass { claim: claim.clone(), class: class.clone() },
        _ => wait(claim, no_volume()),
    }
}

fn first_consumer(facts: &ClaimFacts) -> Said {
    match facts.waiting_pods.first() {
        None => Said::normal(
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding; create a pod that uses this claim",
        ),
        Some(pod) => Said::normal(
            "WaitForPodScheduled",
            format!("waiting for pod {pod} to be scheduled; its own events say what it waits for"),
        ),
    }
}

fn no_volume() -> Said {
    Said::normal(
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set; create a volume that fits, \
         or make a new claim that names a class (kubectl get storageclass)",
    )
}

fn wait(claim: &Arc<Claim>, said: Said) -> Verdict {
    Verdict::Wait { claim: claim.clone(), said: Some(said) }
}

fn decide_volume(facts: &VolumeFacts) -> Option<Verdict> {
    let volume = &facts.volume;
    let uid = facts::claim_ref(volume).and_then(|r| r.uid.as_deref()).filter(|uid| !uid.is_empty());
    let phase = |phase| {
        (facts::volume_phase(volume) != phase).then(|| Verdict::Phase { volume: volume.clone(), phase })
    };
    let Some(uid) = uid else { return phase("Available") };
    let released = || if facts::is_said_released(volume) { None } else { phase("Released") };
    let Some(claim) = facts.claim.as_ref().filter(|claim| claim.uid() == uid) else {
        return released();
    };
    match facts::named_volume(claim) {
        None => None,
        Some(name) if name == volume.name() => phase("Bound"),
        Some(_) if facts::is_provisioned(volume) && facts::reclaim_policy(volume) == "Delete" => released(),
        Some(_) => {
            let keep_name = !facts::is_bound_by_controller(volume);
            Some(Verdict::Unclaim { volume: volume.clone(), keep_name })
        }
    }
}
