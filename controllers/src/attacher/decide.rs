//! Where a volume is to be attached. Pure.
//!
//! | attachment to node N | pods on N need it | the volume | action |
//! |---|---|---|---|
//! | there, ours | no | | Detach |
//! | there, ours | yes | its driver does not attach | Detach |
//! | there, terminating | yes | | wait until it is gone, then attach again |
//! | there, not attached | yes | | wait for the agent; an error is told to the pods |
//! | there, attached | yes | | – (told to the pods once) |
//! | none | yes | its driver does not attach | – |
//! | none | yes | for several nodes | Attach |
//! | none | yes | for one node, attached nowhere | Attach; of several nodes that of the oldest pod |
//! | none | yes | for one node, attached elsewhere (even if going) | wait: Multi-Attach error |
//! | any | by a second pod | ReadWriteOncePod | told to the second pod |
//!
//! Pods that have finished, or have no node, need nothing. Attachments that somebody else made under other names count
//! as attached, but are never removed.

use std::sync::Arc;

use k8s_openapi::api::{core::v1::Pod, storage::v1::VolumeAttachment};
use orlop_objects::Key;

use super::view::{Attached, User, View, VolumeFacts};
use crate::{
    events::Said,
    facts::{self, Volume},
    worker::Seen,
};

/// What to do about one volume.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// All to be done now.
    pub(crate) actions: Vec<Action>,
    /// Whether something must happen before it is as it should be.
    pub(crate) waiting: bool,
}

/// One step.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask for an attachment.
    Attach { volume: Arc<Volume>, node: String },
    /// Ask for an attachment's end.
    Detach { attachment: Arc<Seen<VolumeAttachment>> },
    /// Tell a pod.
    Tell { pod: Arc<Seen<Pod>>, said: Said },
    /// Remember that an attachment's success was told.
    Told { uid: String },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.volumes.iter().map(|facts| (facts.volume.key().clone(), decide_volume(facts))).collect()
}

fn decide_volume(facts: &VolumeFacts) -> Verdict {
    let mut verdict = Verdict { actions: Vec::new(), waiting: false };
    for attached in &facts.attachments {
        decide_attachment(facts, attached, &mut verdict);
    }
    if facts.attaches {
        attach(facts, &mut verdict);
    }
    exclusive_pod(facts, &mut verdict);
    verdict
}

fn users_on<'a>(facts: &'a VolumeFacts, node: &'a str) -> impl Iterator<Item = &'a User> {
    facts.users.iter().filter(move |user| user.node == node)
}

fn decide_attachment(facts: &VolumeFacts, attached: &Attached, verdict: &mut Verdict) {
    let attachment = &attached.attachment;
    let needed = facts.attaches && users_on(facts, &attachment.spec.node_name).next().is_some();
    if attachment.is_terminating() {
        verdict.waiting = true;
    } else if !needed && attached.ours {
        verdict.actions.push(Action::Detach { attachment: attachment.clone() });
        verdict.waiting = true;
    } else if needed {
        report(facts, attached, verdict);
    }
}

/// Tells the pods how far their attachment is.
fn report(facts: &VolumeFacts, attached: &Attached, verdict: &mut Verdict) {
    let attachment = &attached.attachment;
    let name = facts.volume.name();
    let status = attachment.status.as_ref();
    let error = status.and_then(|s| s.attach_error.as_ref()).and_then(|e| e.message.as_deref());
    let is_attached = status.is_some_and(|s| s.attached);
    let said = match error {
        Some(error) if !is_attached => Said::warning(
            "FailedAttachVolume",
            format!("AttachVolume.Attach failed for volume {name:?} : {error}"),
        ),
        _ if is_attached && !attached.told => {
            verdict.actions.push(Action::Told { uid: attachment.uid().to_owned() });
            let text = format!("AttachVolume.Attach succeeded for volume {name:?}");
            Said::normal("SuccessfulAttachVolume", text)
        }
        _ => {
            verdict.waiting |= !is_attached;
            return;
        }
    };
    verdict.waiting |= !is_attached;
    let tell = |user: &User| Action::Tell { pod: user.pod.clone(), said: said.clone() };
    verdict.actions.extend(users_on(facts, &attachment.spec.node_name).map(tell));
}

/// Asks for the attachments that are missing.
fn attach(facts: &VolumeFacts, verdict: &mut Verdict) {
    let node_of = |attached: &Attached| attached.attachment.spec.node_name.clone();
    let mut held: Vec<String> = facts.attachments.iter().map(node_of).collect();
    for user in &facts.users {
        if held.contains(&user.node) {
            // One of a single-node volume's nodes may be here twice: attached there, and held by another's attachment.
            continue;
        }
        match held.first() {
            Some(holder) if !facts::is_shared(&facts.volume) => {
                let said = multi_attach(facts, holder);
                verdict.actions.push(Action::Tell { pod: user.pod.clone(), said });
            }
            _ => {
                held.push(user.node.clone());
                verdict
                    .actions
                    .push(Action::Attach { volume: facts.volume.clone(), node: user.node.clone() });
            }
        }
        verdict.waiting = true;
    }
}

fn multi_attach(facts: &VolumeFacts, holder: &str) -> Said {
    let name = facts.volume.name();
    let holders: Vec<&str> = users_on(facts, holder).map(|user| user.pod.name()).collect();
    let text = if holders.is_empty() {
        format!(
            "Multi-Attach error for volume {name:?} Volume is already exclusively attached to one node and can't be \
             attached to another. It is still attached to node {holder}; this pod goes on when it is detached there"
        )
    } else {
        format!(
            "Multi-Attach error for volume {name:?} Volume is already used by pod(s) {} on node {holder}. \
             Delete them, or let this pod run on that node; this pod goes on when the volume is detached there",
            holders.join(", ")
        )
    };
    Said::warning("FailedAttachVolume", text)
}

/// `ReadWriteOncePod`: the scheduler lets only one pod at the volume; one that brought its own node is told.
fn exclusive_pod(facts: &VolumeFacts, verdict: &mut Verdict) {
    if !facts::is_for_one_pod(&facts.volume) {
        return;
    }
    let Some((first, others)) = facts.users.split_first() else {
        return;
    };
    for user in others {
        let text = format!(
            "Volume {:?} has access mode ReadWriteOncePod and is already used by pod {}. Delete that pod first",
            facts.volume.name(),
            first.pod.name()
        );
        let said = Said::warning("FailedAttachVolume", text);
        verdict.actions.push(Action::Tell { pod: user.pod.clone(), said });
        verdict.waiting = true;
    }
}
