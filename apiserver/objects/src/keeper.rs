//! The keeper of a PersistentVolume: the node whose agent removes its data, and serves it where it must be served.
//!
//! | made by the driver that it names | annotation | affinity | keeper |
//! |---|---|---|---|
//! | yes | names a node | any | that node |
//! | yes | none | one host name | that host: versions before the annotation made it |
//! | no | any | one host name | that host: anybody can write an annotation |
//! | any | none, or not to be trusted | anything else | nobody |
//!
//! Made by the driver means: `provisioned-by` names the driver of `spec.csi`, the object has the name that volumes get
//! when they are made, and the handle ends with that name. Whoever wrote another handle into such an object has not got
//! the keeper to remove what is behind it.

use k8s_openapi::api::core::v1::PersistentVolume;

/// Names the keeper.
pub const KEEPER: &str = "volume.orlop.dev/keeper";
/// Names the driver that made a volume.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The label by which a node is known to volumes that are there only.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// What the names of all made volumes begin with; the UID of their claim follows.
const MADE: &str = "pvc-";

/// Who keeps a volume.
pub fn of(volume: &PersistentVolume) -> Option<&str> {
    named(volume).filter(|_| is_made_by_its_driver(volume)).or_else(|| host(volume))
}

fn named(volume: &PersistentVolume) -> Option<&str> {
    annotation(volume, KEEPER)
}

fn annotation<'a>(volume: &'a PersistentVolume, name: &str) -> Option<&'a str> {
    volume.metadata.annotations.as_ref()?.get(name).map(String::as_str).filter(|text| !text.is_empty())
}

/// Whether the driver that the volume names has made it, as far as the object can show.
pub fn is_made_by_its_driver(volume: &PersistentVolume) -> bool {
    let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    let (Some(csi), Some(name)) = (csi, volume.metadata.name.as_deref()) else { return false };
    annotation(volume, PROVISIONED_BY) == Some(csi.driver.as_str())
        && name.starts_with(MADE)
        && csi.volume_handle.ends_with(name)
}

/// The one host that the volume's affinity names in all its terms.
pub fn host(volume: &PersistentVolume) -> Option<&str> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let mut hosts = required.node_selector_terms.iter().map(|term| {
        let mut expressions = term.match_expressions.iter().flatten();
        let by_name = expressions.find(|e| e.key == HOSTNAME && e.operator == "In")?;
        match by_name.values.as_deref() {
            Some([node]) => Some(node.as_str()),
            _ => None,
        }
    });
    let first = hosts.next()??;
    hosts.all(|host| host == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::decode;

    fn terms(hosts: &[&str]) -> Value {
        let term = |host: &&str| json!({"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [host]}]});
        json!({"required": {"nodeSelectorTerms": hosts.iter().map(term).collect::<Vec<_>>()}})
    }

    /// The rows of the table.
    #[test]
    fn who_keeps_it() {
        let rows = [
            ("loop.orlop.dev", "pvc-1", Some("a"), terms(&["b"]), Some("a")),
            ("loop.orlop.dev", "fast/pvc-1", Some("a"), Value::Null, Some("a")),
            ("loop.orlop.dev", "pvc-1", None, terms(&["b"]), Some("b")),
            ("loop.orlop.dev", "pvc-1", Some(""), terms(&["b", "b"]), Some("b")),
            ("loop.orlop.dev", "pvc-2", Some("a"), terms(&["b"]), Some("b")),
            ("other.example", "pvc-1", Some("a"), terms(&["b"]), Some("b")),
            ("other.example", "pvc-1", Some("a"), Value::Null, None),
            ("loop.orlop.dev", "pvc-1", None, terms(&["b", "c"]), None),
            ("loop.orlop.dev", "pvc-1", None, json!({"required": {"nodeSelectorTerms": [{}]}}), None),
            ("loop.orlop.dev", "pvc-1", None, Value::Null, None),
        ];
        for (driver, handle, keeper, affinity, wanted) in rows {
            let value = json!({"metadata": {"name": "pvc-1", "annotations":
                    {PROVISIONED_BY: "loop.orlop.dev", KEEPER: keeper.unwrap_or_default()}},
                "spec": {"csi": {"driver": driver, "volumeHandle": handle}, "nodeAffinity": affinity}});
            let volume: PersistentVolume = decode(&value).expect("a volume");
            assert_eq!(of(&volume), wanted, "{value}");
        }
    }

    #[test]
    fn a_volume_by_hand_has_no_keeper_by_annotation() {
        let value = json!({"metadata": {"name": "mine", "annotations": {KEEPER: "a", PROVISIONED_BY: "loop.orlop.dev"}},
            "spec": {"csi": {"driver": "loop.orlop.dev", "volumeHandle": "mine"}}});
        assert_eq!(of(&decode(&value).expect("a volume")), None);
    }
}
