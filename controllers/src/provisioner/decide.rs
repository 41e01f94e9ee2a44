//! Who makes a claim's volume, and where. Pure.
//!
//! | claim | class | its provisioner | node chosen | verdict |
//! |---|---|---|---|---|
//! | bound, names a volume, terminating | | | | – |
//! | names no class, or none | | | | – (the binder says so) |
//! | a volume fits already | | | | – (the binder binds it) |
//! | searches | there is none of that name | | | Wait: not found |
//! | searches | binds late | | no | – (the scheduler chooses) |
//! | searches | | `kubernetes.io/no-provisioner` | no | Wait: somebody must make one |
//! | searches | binds late | `kubernetes.io/no-provisioner` | yes | Deselect: another claim got the volume there |
//! | searches | binds at once | makes volumes on nodes | no | Select a Ready node that has it, rather another than last time |
//! | searches | binds at once | exports volumes | no | Select as above, rather one that has an NFS server |
//! | searches | binds at once | makes volumes on nodes | no, one was taken back just now | Wait a while |
//! | searches | binds at once | makes volumes on nodes | no, no Ready node has it, or the class's pool | Wait: which nodes lack what |
//! | searches | | makes volumes on nodes | yes, Ready | Wait (that node's agent is at work, and speaks) |
//! | searches | | makes volumes on nodes | yes, is silent or gone | Deselect: choose again |
//! | searches | | installed by somebody else | | Wait: external |
//! | searches | | nobody's | | Wait: what is installed |

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use orlop_objects::Key;

use super::view::{Maker, View};
use crate::{
    attempts::Attempt,
    binder::{self, view::ClaimFacts},
    events::Said,
    facts::{self, Claim, Class},
    pools,
    scheduler::filter::topology_allows,
};

/// What to do about one claim.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Tell the claim which node is to make its volume.
    Select { claim: Arc<Claim>, provisioner: String, node: String },
    /// Take a node away that cannot make the volume now.
    Deselect { claim: Arc<Claim>, said: Said },
    /// Nothing can be done until something changes.
    Wait { claim: Arc<Claim>, said: Option<Said>, until: Option<Instant> },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let mut chosen: Vec<String> = Vec::new();
    let mut verdicts = Vec::new();
    for (facts, attempt) in &view.claims {
        let Some(verdict) = decide_claim(facts, attempt.as_ref(), view, &chosen) else { continue };
        if let Verdict::Select { node, .. } = &verdict {
            chosen.push(node.clone());
        }
        verdicts.push((facts.claim.key().clone(), verdict));
    }
    verdicts
}

fn decide_claim(
    facts: &ClaimFacts,
    attempt: Option<&Attempt>,
    view: &View,
    chosen: &[String],
) -> Option<Verdict> {
    let claim = &facts.claim;
    let name = facts::claim_class(claim).filter(|name| !name.is_empty())?;
    if claim.is_terminating() || binder::decide::finds(facts) {
        return None;
    }
    let Some(class) = &facts.class else { return Some(wait(claim, class_missing(name))) };
    let node = facts::selected_node(claim);
    if facts::binds_late(class) && node.is_none() {
        return None;
    }
    let provisioner = facts::driver(class);
    if provisioner == facts::NO_PROVISIONER {
        return Some(match node {
            None => wait(claim, by_hand(name)),
            Some(node) => Verdict::Deselect { claim: claim.clone(), said: volume_gone(node) },
        });
    }
    if !view.node_local.contains(provisioner) {
        return Some(wait(claim, external(provisioner, &view.installed)));
    }
    match (node, &facts.node) {
        (Some(name), Some(node)) if !facts::is_ready(node) => {
            Some(Verdict::Deselect { claim: claim.clone(), said: node_silent(name) })
        }
        (Some(_), Some(_)) => Some(Verdict::Wait { claim: claim.clone(), said: None, until: None }),
        (Some(node), None) => Some(Verdict::Deselect { claim: claim.clone(), said: node_gone(node) }),
        (None, _) => Some(choose(claim, class, attempt, view, chosen)),
    }
}

fn choose(
    claim: &Arc<Claim>,
    class: &Class,
    attempt: Option<&Attempt>,
    view: &View,
    chosen: &[String],
) -> Verdict {
    if let Some(until) = attempt.map(Attempt::next).filter(|until| view.now < *until) {
        return Verdict::Wait { claim: claim.clone(), said: None, until: Some(until) };
    }
    let provisioner = facts::driver(class);
    let can = |maker: &&Maker| {
        facts::is_ready(&maker.node)
            && !maker.node.is_terminating()
            && maker.drivers.contains(provisioner)
            && topology_allows(class, &maker.node)
            && pools::refusal(class, &maker.node).is_none()
    };
    let best = view.makers.iter().filter(can).min_by_key(|maker| {
        let name = maker.node.name();
        let again = attempt.is_some_and(|attempt| attempt.node == name);
        let more = chosen.iter().filter(|node| *node == name).count();
        (again, pools::is_second_choice(class, &maker.node), maker.volumes + more, name.to_owned())
    });
    match best {
        Some(maker) => Verdict::Select {
            claim: claim.clone(),
            provisioner: provisioner.to_owned(),
            node: maker.node.name().to_owned(),
        },
        None => wait(claim, no_maker(class, &view.makers)),
    }
}

fn wait(claim: &Arc<Claim>, said: Said) -> Verdict {
    Verdict::Wait { claim: claim.clone(), said: Some(said), until: None }
}

fn class_missing(name: &str) -> Said {
    let text = format!(
        "storageclass.storage.k8s.io {name:?} not found; create it, or make a new claim that names one that exists \
         (kubectl get storageclass)"
    );
    Said::warning("ProvisioningFailed", text)
}

fn by_hand(class: &str) -> Said {
    let text = format!(
        "no volume plugin matched name: {}; volumes of class {class:?} are made by hand: create a PersistentVolume \
         of that class that is large enough",
        facts::NO_PROVISIONER
    );
    Said::warning("ProvisioningFailed", text)
}

fn external(provisioner: &str, installed: &BTreeSet<String>) -> Said {
    let words = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    if installed.contains(provisioner) {
        return Said::normal("ExternalProvisioning", words);
    }
    let installed: Vec<&str> = installed.iter().map(String::as_str).collect();
    let text = format!(
        "{words} No driver of that name is installed here. Installed: {}. Install it, or make a new claim of a class \
         whose provisioner is installed (kubectl get storageclass)",
        installed.join(", ")
    );
    Said::warning("ExternalProvisioning", text)
}

fn no_maker(class: &Class, makers: &[Maker]) -> Said {
    let provisioner = class.provisioner.as_str();
    let state = |maker: &Maker| {
        let name = maker.node.name();
        match (facts::is_ready(&maker.node), maker.drivers.contains(provisioner)) {
            (false, _) => format!("node {name} is not Ready"),
            (true, false) => format!("node {name} does not have the driver"),
            (true, true) if topology_allows(class, &maker.node) => {
                let why = pools::refusal(class, &maker.node);
                format!("node {name} {}", why.unwrap_or_else(|| "is being deleted".to_owned()))
            }
            (true, true) => format!("node {name} is left out by the class's allowedTopologies"),
        }
    };
    let states: Vec<String> = makers.iter().map(state).collect();
    let states = if states.is_empty() { "there are no nodes".to_owned() } else { states.join("; ") };
    let advice = if states.contains("parameter pool") { pools::ADVICE } else { "Start that node's agent" };
    let text = format!("no node can make a volume with driver {provisioner:?}: {states}. {advice}");
    Said::warning("ProvisioningFailed", text)
}

fn volume_gone(node: &str) -> Said {
    let text = format!(
        "the volume that this claim would have got on node {node:?} is not free any more; another place is looked for"
    );
    Said::warning("ProvisioningFailed", text)
}

/// What the silent node may have made meanwhile, its agent removes when it is back and sees another's volume.
fn node_silent(node: &str) -> Said {
    let text = format!("node {node:?}, chosen for this claim's volume, is not Ready; another one is chosen");
    Said::warning("ProvisioningFailed", text)
}

fn node_gone(node: &str) -> Said {
    let text = format!(
        "node {node:?}, chosen for this claim's volume, does not exist any more; another one is chosen"
    );
    Said::warning("ProvisioningFailed", text)
}
