//! Carries out the attacher's actions: one transaction each.

use futures::future::try_join_all;
use orlop_registry::DeleteOptions;

use super::{
    Attacher,
    decide::{Action, Verdict},
    request,
};
use crate::{Error, worker::Next};

/// Carries out one verdict; its actions share a flush.
pub(super) async fn apply(attacher: &Attacher, verdict: Verdict) -> Result<Next, Error> {
    try_join_all(verdict.actions.into_iter().map(|action| act(attacher, action))).await?;
    Ok(if verdict.waiting { Next::Waiting(None) } else { Next::Settled })
}

async fn act(attacher: &Attacher, action: Action) -> Result<(), Error> {
    match action {
        Action::Attach { volume, node } => {
            let asked =
                attacher.registry.transact(&attacher.who, |door| request::request(door, &volume, &node));
            asked.await.map_err(Error::doing("attach", volume.key()))
        }
        Action::Detach { attachment } => {
            let options =
                DeleteOptions { uid: Some(attachment.uid().to_owned()), ..DeleteOptions::default() };
            let asked = attacher.registry.delete(attachment.key(), &options, &attacher.who).await;
            asked.map(drop).map_err(Error::doing("detach", attachment.key()))
        }
        Action::Tell { pod, said } => {
            attacher.teller.tell(&pod.object, said);
            Ok(())
        }
        Action::Told { uid } => {
            attacher.remember(uid);
            Ok(())
        }
    }
}
