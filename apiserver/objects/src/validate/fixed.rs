//! What may not change, in the words that Kubernetes has for it. Which fields those are stands in the schema table.

use serde_json::Value;

use crate::{Cause, FieldError, Kind, schema};

/// The words for a changed field of a kind whose path begins so.
struct Words {
    kind: &'static str,
    prefix: &'static str,
    detail: &'static str,
}

const fn words(kind: &'static str, prefix: &'static str, detail: &'static str) -> Words {
    Words { kind, prefix, detail }
}

static WORDS: [Words; 6] = [
    words(
        "Pod",
        "spec",
        "pod updates may not change fields other than `spec.containers[*].image`, \
         `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing \
         tolerations), `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative); \
         delete the pod and create it anew",
    ),
    words(
        "PersistentVolumeClaim",
        "spec",
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ),
    words("PersistentVolume", "spec", "spec.persistentvolumesource is immutable after creation"),
    words(
        "StatefulSet",
        "spec.volumeClaimTemplates",
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
         'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden; to change it, \
         delete the set alone (kubectl delete --cascade=orphan) and create it anew: pods and claims stay",
    ),
    words(
        "StatefulSet",
        "spec",
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
         'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ),
    words(
        "StorageClass",
        "",
        "updates to it are forbidden; delete the class and create it anew, bound claims stay",
    ),
];

/// Paths of volumes that are fixed by another rule than the source's.
const NOT_SOURCE: [&str; 2] = ["spec.volumeMode", "spec.nodeAffinity"];

/// Every field that changed although it may not.
pub(super) fn changes(kind: &'static Kind, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = schema::immutable_changes(kind, old, new);
    let is_source = |e: &FieldError| !NOT_SOURCE.iter().any(|path| e.field.starts_with(path));
    for error in errors.iter_mut().filter(|e| is_source(e)) {
        let found = WORDS.iter().find(|w| w.kind == kind.kind && error.field.starts_with(w.prefix));
        if let Some(words) = found {
            *error = FieldError::new(error.field.clone(), Cause::Forbidden, words.detail);
        }
    }
    errors
}
