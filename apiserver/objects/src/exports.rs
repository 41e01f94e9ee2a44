//! What a PersistentVolume says of an export of Orlop's own, beside its attributes: three annotations with one writer each.
//!
//! | annotation | written by | says |
//! |---|---|---|
//! | `nfs.orlop.dev/clients` | the server | which addresses may mount it |
//! | `nfs.orlop.dev/exported-to` | the keeper's agent | which of them can, now |
//! | `nfs.orlop.dev/export-error` | the keeper's agent | why it cannot be mounted |
//!
//! They count on volumes that their driver made (see [`crate::keeper`]), whose attributes say that they are exports of
//! Orlop's own. Addresses are parsed, and printed anew: nothing else of the text is ever used.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1::PersistentVolume;

use crate::{keeper, nfs::DRIVER};

/// Which addresses may mount it.
pub const CLIENTS: &str = "nfs.orlop.dev/clients";
/// Which addresses can mount it now.
pub const EXPORTED_TO: &str = "nfs.orlop.dev/exported-to";
/// Why it cannot be mounted by other nodes.
pub const EXPORT_ERROR: &str = "nfs.orlop.dev/export-error";

/// The label of a node that has what it takes to export volumes to others.
pub const SERVES: &str = "topology.orlop.dev/serves-nfs";

/// Addresses, in the form of the annotations.
pub fn print(addresses: &BTreeSet<IpAddr>) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",")
}

/// Addresses in an annotation. What is none is left out: it can be nobody's.
pub fn parse(text: &str) -> BTreeSet<IpAddr> {
    text.split(',').filter_map(|part| part.trim().parse().ok()).collect()
}

/// An annotation of the volume; empty where there is none.
pub fn annotation<'a>(volume: &'a PersistentVolume, name: &str) -> &'a str {
    let annotations = volume.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(name)).map(String::as_str).unwrap_or_default()
}

/// The keeper of an export of Orlop's own: the node whose agent serves it.
pub fn keeper_of(volume: &PersistentVolume) -> Option<&str> {
    let csi = volume.spec.as_ref()?.csi.as_ref()?;
    let own = || csi.volume_attributes.as_ref()?.get("export").filter(|value| *value == "own");
    (csi.driver == DRIVER && own().is_some()).then(|| keeper::of(volume)).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::decode;

    #[test]
    fn only_addresses_are_read_and_printed() {
        let text = "10.0.0.2, fd00::2,,*,10.0.0.0/8,host; rm -rf /,\"} EXPORT {,10.0.0.2";
        let addresses = parse(text);
        assert_eq!(print(&addresses), "10.0.0.2,fd00::2");
        assert_eq!(parse(&print(&addresses)), addresses);
        assert_eq!((parse(""), print(&BTreeSet::new())), (BTreeSet::new(), String::new()));
    }

    fn kept(name: &str, driver: &str, attributes: &Value) -> Option<String> {
        let value = json!({"metadata": {"name": name, "annotations": {keeper::KEEPER: "a", keeper::PROVISIONED_BY: driver}},
            "spec": {"csi": {"driver": driver, "volumeHandle": "pvc-1", "volumeAttributes": attributes}}});
        let volume: PersistentVolume = decode(&value).expect("a volume");
        keeper_of(&volume).map(str::to_owned)
    }

    #[test]
    fn an_export_of_our_own_is_one_that_the_driver_made_and_says_so() {
        assert_eq!(kept("pvc-1", DRIVER, &json!({"export": "own"})).as_deref(), Some("a"));
        assert_eq!(kept("pvc-1", DRIVER, &json!({"server": "x"})), None);
        assert_eq!(kept("pvc-1", "loop.orlop.dev", &json!({"export": "own"})), None);
        assert_eq!(kept("mine", DRIVER, &json!({"export": "own"})), None);
    }
}
