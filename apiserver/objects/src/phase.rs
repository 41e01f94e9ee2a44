//! Phases that are computed from objects, never stored: how far a claim and a volume belong to each other.
//!
//! | volume's claimRef | claim's volumeName | binding |
//! |---|---|---|
//! | this claim, its uid | this volume | Bound |
//! | this claim, its uid | none, or another | Held |
//! | this claim, no uid | any | Reserved |
//! | none | this volume | Asked |
//! | none | none, or another | Free |
//! | another claim, or one of this name with another uid | any | Taken |
//!
//! Only the first row is a binding; everything else is asked for.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

/// How a claim and a volume stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Each names the other, and the volume knows the claim's uid.
    Bound,
    /// The volume is the claim's; the claim does not say so yet.
    Held,
    /// The volume is kept for a claim of this name.
    Reserved,
    /// The claim asks for the volume, which is nobody's.
    Asked,
    /// The volume is nobody's, and the claim does not ask for it.
    Free,
    /// The volume is another claim's, if only one that had the same name.
    Taken,
}

impl Binding {
    /// Reads it off the two objects.
    pub fn of(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Self {
        let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let names_it = !named.is_empty() && volume.metadata.name.as_deref() == Some(named);
        let Some(holder) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else {
            return if names_it { Self::Asked } else { Self::Free };
        };
        if holder.namespace != claim.metadata.namespace || holder.name != claim.metadata.name {
            return Self::Taken;
        }
        match holder.uid.as_deref().unwrap_or_default() {
            "" => Self::Reserved,
            uid if claim.metadata.uid.as_deref() != Some(uid) => Self::Taken,
            _ if names_it => Self::Bound,
            _ => Self::Held,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Binding::{self, Asked, Bound, Free, Held, Reserved, Taken};
    use crate::object::decode;

    #[test]
    fn the_table() {
        let this = |uid: &str| json!({"namespace": "default", "name": "data", "uid": uid});
        let rows = [
            (this("u1"), "v", Bound),
            (this("u1"), "", Held),
            (this("u1"), "w", Held),
            (this(""), "v", Reserved),
            (this(""), "", Reserved),
            (Value::Null, "v", Asked),
            (Value::Null, "", Free),
            (Value::Null, "w", Free),
            (json!({"namespace": "default", "name": "other", "uid": "u2"}), "v", Taken),
            (json!({"namespace": "other", "name": "data", "uid": "u1"}), "v", Taken),
            (this("u2"), "v", Taken),
        ];
        for (holder, named, wanted) in rows {
            let claim = json!({"metadata": {"namespace": "default", "name": "data", "uid": "u1"},
                "spec": {"volumeName": named}});
            let volume = json!({"metadata": {"name": "v"}, "spec": {"claimRef": holder}});
            let (claim, volume) = (decode(&claim).expect("a claim"), decode(&volume).expect("a volume"));
            assert_eq!(Binding::of(&claim, &volume), wanted, "{holder} {named:?}");
        }
    }
}
