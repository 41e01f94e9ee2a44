//! Validation: whether a new object may be, and whether an old one may become it. Pure.
//!
//! | what | where |
//! |---|---|
//! | names, labels, annotations, owners | [`crate::names`] |
//! | required fields, allowed values, quantities, unique items | the schema table, by `shape` |
//! | fields that may not change | the schema table, in the words of `fixed` |
//! | what each kind demands beyond that | the room of the kind: `pod`, `claim`, `volume`, `storage`, `core`, `apps` |
//! | fields of pods that Orlop cannot honour yet | `pod::unbuilt` |
//!
//! Field paths and words are those of Kubernetes where it has the rule. Rules that need other objects (the claim's class
//! allows expansion) are the registry's.

mod apps;
mod at;
mod claim;
mod core;
mod fixed;
mod nfs;
mod pod;
mod shape;
mod storage;
mod volume;

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::{FieldError, Kind, names};
use at::{At, Errors};

pub use pod::unbuilt;

/// What is wrong with `new`, up to a hundred faults; empty when it may be written. `old` is what it replaces.
pub fn validate(old: Option<&Value>, new: &Value, kind: &'static Kind) -> Vec<FieldError> {
    let mut errors = Errors::default();
    names::check_metadata(kind, new, &mut errors);
    // What has not changed since it was accepted is not asked again: rules may have become stricter meanwhile.
    let changed = |field: &str| old.is_none_or(|old| old[field] != new[field]);
    let body =
        |(name, _): (&String, &Value)| !matches!(name.as_str(), "metadata" | "status") && changed(name);
    if new.as_object().is_some_and(|fields| fields.iter().any(body)) {
        let at = At::root(new);
        shape::check(kind, &at, &mut errors);
        of_kind(kind, old, &at, &mut errors);
    }
    if let Some(old) = old {
        errors.extend(fixed::changes(kind, old, new));
    }
    errors.into()
}

/// Sentences for the client about what is stored and not (yet) honoured.
pub fn warnings(old: Option<&Value>, new: &Value, kind: &'static Kind) -> Vec<String> {
    let changed = old.is_none_or(|old| old["spec"] != new["spec"]);
    match kind.kind {
        _ if !changed => Vec::new(),
        "Pod" => unbuilt::warnings(new),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => apps::warnings(new),
        _ => Vec::new(),
    }
}

fn of_kind(kind: &'static Kind, old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    match kind.kind {
        "Pod" => pod::check(old, new, errors),
        "PersistentVolumeClaim" => claim::check(old, new, errors),
        "PersistentVolume" => volume::check(old, new, errors),
        "StorageClass" => storage::class(new, errors),
        "VolumeAttachment" => storage::attachment(new, errors),
        "CSIDriver" => storage::driver(new, errors),
        "CSINode" => storage::node(old, new, errors),
        "Node" => core::node(new, errors),
        "Service" => core::service(new, errors),
        "ConfigMap" => core::config_map(old, new, errors),
        "Secret" => core::secret(old, new, errors),
        "Lease" => core::lease(new, errors),
        "Event" => core::event(new, errors),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => apps::check(kind, old, new, errors),
        _ => {}
    }
}
