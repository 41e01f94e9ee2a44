//! Where a volume is to be attached. Pure.
//!
//! | attachment to node N | pods on N need it | the volume | action |
//! |---|---|---|---|
//! | there, ours | no | | Detach |
//! | there, ours | yes | its driver does not attach | Detach |
//! | there, ours, terminating | any | N is out of service, believed | Release (the agent's finalizer, in its stead) |
//! | there, terminating | yes | | wait until it is gone, then attach again |
//! | there, not attached | yes | | wait for the agent; an error is told to the pods |
//! | there, attached | yes | | – (told to the pods once) |
//! | none | yes | its driver does not attach | – |
//! | none | yes | for several nodes | Attach |
//! | none | yes | for one node, attached nowhere | Attach; of several nodes that of the oldest pod |
//! | none | yes | for one node, attached elsewhere (even if going) | wait: Multi-Attach error |
//! | none | yes | the same, to a node that is not Ready, or gone | wait: the same, with the ways out |
//! | any | by a second pod | ReadWriteOncePod | told to the second pod |
//!
//! **Never two writers**: an attachment ends by the hand of its node's agent, which takes the finalizer away when the
//! volume is detached. A node that is not Ready may still write, so it keeps what it has, for however long. The one
//! exception is the word of a person that the node is off (`taints::out_of_service`).
//!
//! Pods that have finished, or have no node, need nothing. Attachments that somebody else made under other names count
//! as attached, but are never removed.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Node, Pod},
    storage::v1::VolumeAttachment,
};
use orlop_objects::Key;

use super::view::{Attached, User, View, VolumeFacts};
use crate::{
    events::Said,
    facts::{self, Volume},
    taints,
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
    /// Let an attachment go without its node's agent.
    Release { attachment: Arc<Seen<VolumeAttachment>>, node: Arc<Seen<Node>> },
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
        let off =
            attached.node.as_ref().filter(|node| attached.ours && taints::out_of_service(node).is_some());
        let release =
            |node: &Arc<Seen<Node>>| Action::Release { attachment: attachment.clone(), node: node.clone() };
        verdict.actions.extend(off.map(release));
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
    let mut held: Vec<Holder<'_>> = facts.attachments.iter().map(Holder::of).collect();
    for user in &facts.users {
        if held.iter().any(|holder| holder.name == user.node) {
            // One of a single-node volume's nodes may be here twice: attached there, and held by another's attachment.
            continue;
        }
        match held.first() {
            Some(holder) if !facts::is_shared(&facts.volume) => {
                let said = multi_attach(facts, holder);
                verdict.actions.push(Action::Tell { pod: user.pod.clone(), said });
            }
            _ => {
                held.push(Holder { name: &user.node, health: Health::Fine });
                verdict
                    .actions
                    .push(Action::Attach { volume: facts.volume.clone(), node: user.node.clone() });
            }
        }
        verdict.waiting = true;
    }
}

/// A node that has the volume, or is about to.
struct Holder<'a> {
    name: &'a str,
    health: Health<'a>,
}

/// What is known of such a node.
enum Health<'a> {
    Fine,
    NotReady(&'a Seen<Node>),
    Gone(&'a Seen<VolumeAttachment>),
}

impl<'a> Holder<'a> {
    fn of(attached: &'a Attached) -> Self {
        let health = match &attached.node {
            None => Health::Gone(&attached.attachment),
            Some(node) if facts::is_ready(node) => Health::Fine,
            Some(node) => Health::NotReady(node),
        };
        Self { name: &attached.attachment.spec.node_name, health }
    }
}

fn multi_attach(facts: &VolumeFacts, holder: &Holder<'_>) -> Said {
    let (name, node) = (facts.volume.name(), holder.name);
    let holders: Vec<&str> = users_on(facts, node).map(|user| user.pod.name()).collect();
    let exclusively = "Volume is already exclusively attached to one node and can't be attached to another.";
    let text = match &holder.health {
        Health::NotReady(object) => format!(
            "{exclusively} Node {node} has it and has not been Ready since {}. Orlop does not force the detach, since that \
             node may still write to the volume. Bring node {node} back; or power it off and run: {}",
            taints::since(object),
            taints::out_of_service_command(node)
        ),
        Health::Gone(attachment) => format!(
            "{exclusively} Node {node} has it and is no part of the cluster any more. Orlop does not force the detach, since \
             its machine may still write to the volume. Let it join again as {node}; or power it off and run: kubectl \
             patch volumeattachment {} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'",
            attachment.name()
        ),
        Health::Fine if holders.is_empty() => format!(
            "{exclusively} It is still attached to node {node}; this pod goes on when it is detached there"
        ),
        Health::Fine => format!(
            "Volume is already used by pod(s) {} on node {node}. Delete them, or let this pod run on that node; this pod \
             goes on when the volume is detached there",
            holders.join(", ")
        ),
    };
    Said::warning("FailedAttachVolume", format!("Multi-Attach error for volume {name:?} {text}"))
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
