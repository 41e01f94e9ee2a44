//! Carries out the binder's verdicts: one transaction each.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use orlop_objects::{Key, phase::Binding};
use orlop_registry::{Door, Part};
use serde_json::{Value, json};

use super::decide::Verdict;
use crate::{
    Error, edit,
    facts::{self, BIND_COMPLETED, BOUND_BY_CONTROLLER, Claim, Volume},
    parts::Parts,
    worker::Next,
};

type Refused = orlop_registry::Error;

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Bind { claim, volume } => {
            let bound = parts.transact(|door| bind(door, &claim, &volume));
            bound.await.map_err(Error::doing("bind", key))?;
            Ok(Next::Settled)
        }
        Verdict::Lose { claim, said } => {
            let lost = parts.transact(|door| {
                edit::unchanged(door, &claim)?;
                door.change(claim.key(), Part::Whole, |value| Ok(with_phase(value, "Lost"))).map(drop)
            });
            lost.await.map_err(Error::doing("lose the volume of", key))?;
            parts.tell(&claim.object, said);
            Ok(Next::Waiting(None))
        }
        Verdict::AssignClass { claim, class } => {
            let assigned = parts.transact(|door| {
                edit::unchanged(door, &claim)?;
                let assign = |mut value: Value| {
                    edit::section(&mut value, "spec")
                        .insert("storageClassName".to_owned(), class.as_str().into());
                    Ok(value)
                };
                door.change(claim.key(), Part::Whole, assign).map(drop)
            });
            assigned.await.map_err(Error::doing("assign the default class to", key))?;
            Ok(Next::Settled)
        }
        Verdict::Phase { volume, phase } => {
            let written = parts.transact(|door| set_phase(door, &volume, phase));
            written.await.map_err(Error::doing("write the phase of", key))?;
            Ok(Next::Settled)
        }
        Verdict::Unclaim { volume, keep_name } => {
            let freed = parts.transact(|door| {
                edit::unchanged(door, &volume)?;
                door.change(volume.key(), Part::Whole, |value| Ok(unclaimed(value, keep_name))).map(drop)
            });
            freed.await.map_err(Error::doing("unclaim", key))?;
            Ok(Next::Settled)
        }
        Verdict::Wait { claim, said } => {
            if let Some(said) = said {
                parts.tell(&claim.object, said);
            }
            Ok(Next::Waiting(None))
        }
    }
}

/// Both halves of the binding and both phases.
fn bind(door: &mut Door<'_, '_>, claim: &Claim, volume: &Volume) -> Result<(), Refused> {
    edit::unchanged(door, claim)?;
    edit::unchanged(door, volume)?;
    let now = door.now();
    door.change(volume.key(), Part::Whole, |value| Ok(claimed(value, claim, volume, now)))?;
    door.change(claim.key(), Part::Whole, |value| Ok(bound(value, claim, volume)))?;
    Ok(())
}

fn claimed(mut value: Value, claim: &Claim, volume: &Volume, now: Timestamp) -> Value {
    if !matches!(facts::binding(claim, volume), Binding::Held | Binding::Bound) {
        let key = claim.key();
        edit::section(&mut value, "spec").insert(
            "claimRef".to_owned(),
            json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": key.namespace,
                "name": key.name, "uid": claim.uid(), "resourceVersion": claim.object.revision.to_string()}),
        );
        // A reservation that its user wrote by name stays the user's.
        if facts::claim_ref(volume).is_none() {
            edit::annotate(&mut value, BOUND_BY_CONTROLLER, "yes");
        }
    }
    edit::phase(&mut value, "Bound", now);
    value
}

fn bound(mut value: Value, claim: &Claim, volume: &PersistentVolume) -> Value {
    let name = volume.metadata.name.clone().unwrap_or_default();
    if facts::named_volume(claim).is_none() {
        edit::section(&mut value, "spec").insert("volumeName".to_owned(), name.into());
        edit::annotate(&mut value, BOUND_BY_CONTROLLER, "yes");
    }
    edit::annotate(&mut value, BIND_COMPLETED, "yes");
    // What is written of a binding once is left to whoever expands the volume.
    if facts::claim_phase(claim) != "Bound" {
        let status = edit::section(&mut value, "status");
        status.insert("phase".to_owned(), "Bound".into());
        status.insert("accessModes".to_owned(), json!(facts::volume_modes(volume)));
        status.insert("capacity".to_owned(), json!(facts::capacity_map(volume)));
    }
    value
}

fn set_phase(door: &mut Door<'_, '_>, volume: &Volume, phase: &str) -> Result<(), Refused> {
    edit::unchanged(door, volume)?;
    if let Some(claim) = facts::claim_ref(volume).map(super::view::claim_key) {
        // Whether the claim is there decided the phase: the transaction must notice when that changes.
        door.get(&claim);
    }
    let now = door.now();
    let change = |mut value: Value| {
        edit::phase(&mut value, phase, now);
        Ok(value)
    };
    door.change(volume.key(), Part::Status, change).map(drop)
}

fn with_phase(mut value: Value, phase: &str) -> Value {
    edit::section(&mut value, "status").insert("phase".to_owned(), phase.into());
    value
}

fn unclaimed(mut value: Value, keep_name: bool) -> Value {
    let spec = edit::section(&mut value, "spec");
    if keep_name {
        if let Some(reference) = spec.get_mut("claimRef").and_then(Value::as_object_mut) {
            reference.remove("uid");
            reference.remove("resourceVersion");
        }
    } else {
        spec.remove("claimRef");
        edit::drop_annotation(&mut value, BOUND_BY_CONTROLLER);
    }
    value
}
