//! Carries out the provisioner's verdicts: one transaction each.

use orlop_objects::Key;
use orlop_registry::Part;
use serde_json::Value;

use super::{Provisioner, decide::Verdict};
use crate::{
    Error, edit,
    facts::{Claim, SELECTED_NODE},
    scheduler::apply::selected,
    worker::{Next, now},
};

/// Carries out one verdict.
pub(super) async fn apply(provisioner: &Provisioner, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Select { claim, provisioner: driver, node } => {
            change(provisioner, &claim, |value| selected(value, &driver, &node))
                .await
                .map_err(Error::doing("choose a node for", key))?;
            provisioner.attempts.record(claim.uid(), &node, now());
            Ok(Next::Waiting(None))
        }
        Verdict::Deselect { claim, said } => {
            let without = |mut value: Value| {
                edit::drop_annotation(&mut value, SELECTED_NODE);
                value
            };
            change(provisioner, &claim, without).await.map_err(Error::doing("take the node from", key))?;
            provisioner.parts.tell(&claim.object, said);
            Ok(Next::Settled)
        }
        Verdict::Wait { claim, said, until } => {
            if let Some(said) = said {
                provisioner.parts.tell(&claim.object, said);
            }
            Ok(Next::Waiting(until))
        }
    }
}

async fn change(
    provisioner: &Provisioner,
    claim: &Claim,
    f: impl Fn(Value) -> Value + Send + Sync,
) -> Result<(), orlop_registry::Error> {
    let changed = provisioner.parts.transact(|door| {
        edit::unchanged(door, claim)?;
        door.change(claim.key(), Part::Main, |value| Ok(f(value))).map(drop)
    });
    changed.await
}
