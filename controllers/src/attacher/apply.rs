//! Carries out the attacher's actions: one transaction each.

use futures::future::try_join_all;
use k8s_openapi::api::{core::v1::Node, storage::v1::VolumeAttachment};
use orlop_registry::{DeleteOptions, Door, Part};

use super::{
    Attacher,
    decide::{Action, Verdict},
    request,
};
use crate::{
    Error, edit,
    events::Said,
    worker::{Next, Seen},
};

/// Carries out one verdict; its actions share a flush.
pub(super) async fn apply(attacher: &Attacher, verdict: Verdict) -> Result<Next, Error> {
    try_join_all(verdict.actions.into_iter().map(|action| act(attacher, action))).await?;
    Ok(if verdict.waiting { Next::Waiting(None) } else { Next::Settled })
}

async fn act(attacher: &Attacher, action: Action) -> Result<(), Error> {
    match action {
        Action::Attach { volume, node } => {
            let asked = attacher.parts.transact(|door| request::request(door, &volume, &node));
            asked.await.map_err(Error::doing("attach", volume.key()))
        }
        Action::Detach { attachment } => {
            let options =
                DeleteOptions { uid: Some(attachment.uid().to_owned()), ..DeleteOptions::default() };
            let asked = attacher.parts.registry.delete(attachment.key(), &options, &attacher.parts.who).await;
            asked.map(drop).map_err(Error::doing("detach", attachment.key()))
        }
        Action::Release { attachment, node } => {
            let let_go = attacher.parts.transact(|door| release(door, &attachment, &node));
            let_go.await.map_err(Error::doing("let go of", attachment.key()))?;
            let text = format!(
                "Node {} is out of service: {} was taken from it without its agent",
                node.name(),
                attachment.spec.source.persistent_volume_name.as_deref().unwrap_or("a volume"),
            );
            attacher.parts.tell(&node.object, Said::normal("VolumeForceDetached", text));
            Ok(())
        }
        Action::Tell { pod, said } => {
            attacher.parts.tell(&pod.object, said);
            Ok(())
        }
        Action::Told { uid } => {
            attacher.remember(uid);
            Ok(())
        }
    }
}

/// Takes the agent's finalizer away in its stead. The node is read under the transaction's protection: one that was
/// heard meanwhile, or is no longer called out of service, keeps what it has.
fn release(
    door: &mut Door<'_, '_>,
    attachment: &Seen<VolumeAttachment>,
    node: &Seen<Node>,
) -> Result<(), orlop_registry::Error> {
    edit::unchanged(door, attachment)?;
    edit::unchanged(door, node)?;
    let finalizer = request::finalizer(&attachment.spec.attacher);
    let change = |mut value| {
        edit::drop_finalizer(&mut value, &finalizer);
        Ok(value)
    };
    door.change(attachment.key(), Part::Main, change).map(drop)
}
