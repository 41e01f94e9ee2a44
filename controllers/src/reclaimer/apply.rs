//! Carries out the reclaimer's verdicts: one transaction each.

use jiff::Timestamp;
use orlop_objects::{Key, keeper::KEEPER};
use orlop_registry::{DeleteOptions, Door, Part};
use serde_json::Value;

use super::{Reclaimer, decide::Verdict};
use crate::{
    Error,
    binder::view::claim_key,
    edit,
    events::Said,
    facts::{self, PROVISIONER_FINALIZER, Volume},
    worker::Next,
};

/// Carries out one verdict.
pub(super) async fn apply(reclaimer: &Reclaimer, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Hold { volume } => {
            change(reclaimer, &volume, Part::Main, |value, _| {
                edit::add_finalizer(value, PROVISIONER_FINALIZER);
            })
            .await?;
            Ok(Next::Settled)
        }
        Verdict::LetGo { volume } => {
            change(reclaimer, &volume, Part::Main, |value, _| {
                edit::drop_finalizer(value, PROVISIONER_FINALIZER);
            })
            .await?;
            Ok(Next::Settled)
        }
        Verdict::Entrust { volume, node } => {
            change(reclaimer, &volume, Part::Main, |value, _| edit::annotate(value, KEEPER, &node)).await?;
            Ok(Next::Waiting(None))
        }
        Verdict::Watch => Ok(Next::Waiting(None)),
        Verdict::Delete { volume } => {
            let deleted = reclaimer.parts.transact(|door| delete(door, &volume)).await;
            deleted.map_err(Error::doing("delete", key))?;
            Ok(Next::Settled)
        }
        Verdict::Fail { volume, said } => {
            change(reclaimer, &volume, Part::Status, |value, now| fail(value, &said, now)).await?;
            reclaimer.parts.tell(&volume.object, said);
            Ok(Next::Waiting(None))
        }
        Verdict::Wait { volume, said } => {
            reclaimer.parts.tell(&volume.object, said);
            Ok(Next::Waiting(None))
        }
    }
}

/// That the claim is gone decided it: the transaction reads the claim's key, so that it notices one that comes back.
fn delete(door: &mut Door<'_, '_>, volume: &Volume) -> Result<(), orlop_registry::Error> {
    edit::unchanged(door, volume)?;
    if let Some(claim) = facts::claim_ref(volume).map(claim_key) {
        door.get(&claim);
    }
    let options = DeleteOptions { uid: Some(volume.uid().to_owned()), ..DeleteOptions::default() };
    door.delete(volume.key(), &options).map(drop)
}

async fn change(
    reclaimer: &Reclaimer,
    volume: &Volume,
    part: Part,
    f: impl Fn(&mut Value, Timestamp) + Send + Sync,
) -> Result<(), Error> {
    let changed = reclaimer.parts.transact(|door| {
        edit::unchanged(door, volume)?;
        let now = door.now();
        let change = |mut value: Value| {
            f(&mut value, now);
            Ok(value)
        };
        door.change(volume.key(), part, change).map(drop)
    });
    changed.await.map_err(Error::doing("change", volume.key()))
}

fn fail(value: &mut Value, said: &Said, now: Timestamp) {
    edit::phase(value, "Failed", now);
    let status = edit::section(value, "status");
    status.insert("reason".to_owned(), said.reason.into());
    status.insert("message".to_owned(), said.message.as_str().into());
}
