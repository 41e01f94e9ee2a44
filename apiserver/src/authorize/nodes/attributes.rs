//! What a node may post about where a volume is, and how it is mounted. Pure.
//!
//! | driver, class | `spec.csi.volumeAttributes` must have | and may have |
//! |---|---|---|
//! | `loop.orlop.dev` | | `fsType`, `size` |
//! | `nfs.orlop.dev`, names a server | `server`, `share`, `mountOptions`, `onDelete` as the class, under whichever of its names; `subDir`: a directory that a class could give | |
//! | `nfs.orlop.dev`, names none | `export: own`, `node`: the node, `path`: `/` and the volume's name | `server`, `port`, `pool` |
//! | any other | | nothing is made by nodes |
//!
//! `spec.mountOptions` and `spec.persistentVolumeReclaimPolicy` must be the class's. So a node that was chosen for a claim
//! brings no other node to mount a server that the class does not name, or as the class does not say. Which directory of the
//! class's own share it is (`subDir`), only the node can say, and it can mount that share itself; whoever mounts it asks the
//! directory's mark (`storage-backends/src/host/share/whose.rs`), which no PersistentVolume can forge.

use std::collections::BTreeMap;

use orlop_objects::{
    loop_file,
    nfs::{self, OnDelete},
};
use serde_json::Value;

use super::relation::text;

/// Whether the node may post this `spec` for a volume called `name`, that `driver` makes for `class`; else why not.
pub(super) fn decide(
    class: &Value,
    driver: &str,
    node: &str,
    name: &str,
    spec: &Value,
) -> Result<(), String> {
    let options = words(&class["mountOptions"])?;
    if words(&spec["mountOptions"])? != options {
        return Err("spec.mountOptions must be those of its class".to_owned());
    }
    let policy = class["reclaimPolicy"].as_str().unwrap_or("Delete");
    if text(spec, "persistentVolumeReclaimPolicy") != policy {
        return Err(format!("spec.persistentVolumeReclaimPolicy must be {policy}, as its class says"));
    }
    let (parameters, attributes) = (texts(&class["parameters"])?, texts(&spec["csi"]["volumeAttributes"])?);
    let (must, may): (Vec<(&str, String)>, &[&str]) = match driver {
        loop_file::DRIVER => (Vec::new(), &["fsType", "size"]),
        nfs::DRIVER if nfs::asks_for_own(text(class, "provisioner"), &parameters) => {
            let must =
                vec![("export", "own".to_owned()), ("node", node.to_owned()), ("path", format!("/{name}"))];
            (must, &["server", "port", "pool"])
        }
        nfs::DRIVER => {
            let mut must = on_its_server(text(class, "provisioner"), &parameters, &attributes)?;
            must.push(("mountOptions", options.join(",")));
            (must, &[])
        }
        _ => return Err(format!("volumes of {driver} are not made by nodes")),
    };
    for (name, value) in &must {
        if attributes.get(*name).map_or("", String::as_str) != value {
            return Err(format!("spec.csi.volumeAttributes {name} must be {value:?}"));
        }
    }
    let known = |name: &str| must.iter().any(|(must, _)| *must == name) || may.contains(&name);
    match attributes.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("spec.csi.volumeAttributes {name:?} is none that {driver} writes")),
        None => Ok(()),
    }
}

/// What a directory of the class's share must say of itself. Any directory may, as far as it is one below the share.
fn on_its_server(
    provisioner: &str,
    parameters: &BTreeMap<String, String>,
    attributes: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, String> {
    let parameter =
        |names: &[&str]| names.iter().find_map(|name| parameters.get(*name)).cloned().unwrap_or_default();
    let directory = attributes.get("subDir").cloned().unwrap_or_default();
    nfs::directory(&directory)
        .map_err(|why| format!("spec.csi.volumeAttributes subDir {directory:?}: {why}"))?;
    Ok(vec![
        ("server", parameter(&nfs::SERVER_PARAMETERS)),
        ("share", parameter(&nfs::SHARE_PARAMETERS)),
        ("onDelete", OnDelete::of_class(provisioner, parameters)?.text().to_owned()),
        ("subDir", directory),
    ])
}

fn texts(map: &Value) -> Result<BTreeMap<String, String>, String> {
    let map = serde_json::from_value::<Option<_>>(map.clone());
    map.map(Option::unwrap_or_default).map_err(|e| format!("parameters and attributes are texts: {e}"))
}

fn words(list: &Value) -> Result<Vec<String>, String> {
    let list = serde_json::from_value::<Option<_>>(list.clone());
    list.map(Option::unwrap_or_default).map_err(|e| format!("mountOptions are a list of texts: {e}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "pvc-1";

    fn check(class: &Value, spec: &Value) -> Result<(), String> {
        let driver = nfs::driver_of(text(class, "provisioner")).to_owned();
        decide(class, &driver, "mine", NAME, spec)
    }

    /// A volume that says this of itself, in a class of these parameters.
    fn row(provisioner: &str, parameters: &Value, attributes: &Value) -> bool {
        let class = json!({"provisioner": provisioner, "parameters": parameters, "reclaimPolicy": "Delete"});
        let csi = json!({"volumeAttributes": attributes});
        check(&class, &json!({"csi": csi, "persistentVolumeReclaimPolicy": "Delete"})).is_ok()
    }

    /// The rows of the table.
    #[test]
    fn a_node_says_where_a_volume_is_as_its_class_does() {
        let none = || json!({});
        let nas = || json!({"server": "nas", "share": "/srv"});
        let archived = || json!({"onDelete": "archive"});
        let there = |more: Value| {
            let mut value =
                json!({"server": "nas", "share": "/srv", "subDir": "a-data-pvc-1", "onDelete": "delete"});
            json_patch::merge(&mut value, &more);
            value
        };
        let own = |more: Value| {
            let mut value = json!({"export": "own", "node": "mine", "server": "10.0.0.1", "port": "2050",
                "path": "/pvc-1"});
            json_patch::merge(&mut value, &more);
            value
        };
        let rows = [
            (loop_file::DRIVER, Value::Null, Value::Null, true),
            (loop_file::DRIVER, json!({"pool": "fast"}), json!({"fsType": "ext4", "size": "1"}), true),
            (loop_file::DRIVER, none(), json!({"server": "nas"}), false),
            (loop_file::DRIVER, none(), json!({"fsType": 1}), false),
            (nfs::DRIVER, nas(), there(none()), true),
            (nfs::DRIVER, json!({"nfs.server": "nas", "nfs.path": "/srv"}), there(none()), true),
            (nfs::SUBDIR_PROVISIONER, json!({"server": "nas", "path": "/srv"}), there(archived()), true),
            (nfs::SUBDIR_PROVISIONER, json!({"server": "nas", "path": "/srv"}), there(none()), false),
            (
                nfs::DRIVER,
                json!({"server": "nas", "share": "/srv", "onDelete": "archive"}),
                there(archived()),
                true,
            ),
            (
                nfs::DRIVER,
                json!({"server": "nas", "share": "/srv", "onDelete": "retain"}),
                there(none()),
                false,
            ),
            (
                nfs::DRIVER,
                json!({"server": "nas", "share": "/srv", "onDelete": "keep"}),
                there(none()),
                false,
            ),
            (nfs::DRIVER, nas(), there(archived()), false),
            (nfs::DRIVER, nas(), there(json!({"onDelete": null})), false),
            (nfs::DRIVER, nas(), there(json!({"subDir": "ns/data"})), true),
            (nfs::DRIVER, nas(), there(json!({"subDir": null})), false),
            (nfs::DRIVER, nas(), there(json!({"subDir": ""})), false),
            (nfs::DRIVER, nas(), there(json!({"subDir": "/etc"})), false),
            (nfs::DRIVER, nas(), there(json!({"subDir": "a/../../other"})), false),
            (nfs::DRIVER, nas(), there(json!({"subDir": ".orlop/volumes"})), false),
            (nfs::CSI_DRIVER_NFS, nas(), there(none()), true),
            (nfs::CSI_DRIVER_NFS, nas(), there(json!({"server": "other"})), false),
            (nfs::CSI_DRIVER_NFS, nas(), own(none()), false),
            (nfs::DRIVER, nas(), there(json!({"server": "other"})), false),
            (nfs::DRIVER, nas(), there(json!({"share": "/"})), false),
            (nfs::DRIVER, nas(), there(json!({"share": null})), false),
            (nfs::DRIVER, nas(), there(json!({"mountOptions": "port=1"})), false),
            (nfs::DRIVER, nas(), there(json!({"export": "own"})), false),
            (nfs::DRIVER, nas(), own(none()), false),
            (nfs::DRIVER, none(), own(none()), true),
            (nfs::DRIVER, json!({"pool": "fast"}), own(json!({"pool": "fast"})), true),
            (nfs::DRIVER, none(), own(json!({"node": "other"})), false),
            (nfs::DRIVER, none(), own(json!({"path": "/pvc-2"})), false),
            (nfs::DRIVER, none(), own(json!({"export": null})), false),
            (nfs::DRIVER, none(), own(json!({"share": "/srv"})), false),
            (nfs::DRIVER, none(), there(none()), false),
            ("x.example", none(), none(), false),
        ];
        for (provisioner, parameters, attributes, allowed) in rows {
            let what = format!("{provisioner} {parameters}: {attributes}");
            assert_eq!(row(provisioner, &parameters, &attributes), allowed, "{what}");
        }
    }

    #[test]
    fn it_is_mounted_and_reclaimed_as_its_class_says() {
        let said = |options: Value, policy: &str, within: Option<&str>| {
            let class = json!({"provisioner": nfs::DRIVER, "parameters": {"server": "nas", "share": "/srv"},
                "mountOptions": ["hard", "nfsvers=4.2"], "reclaimPolicy": "Retain"});
            let attributes = json!({"server": "nas", "share": "/srv", "subDir": "a", "onDelete": "delete"});
            let mut csi = json!({"volumeAttributes": attributes});
            json_patch::merge(&mut csi, &json!({"volumeAttributes": {"mountOptions": within}}));
            let spec = json!({"csi": csi, "mountOptions": options, "persistentVolumeReclaimPolicy": policy});
            check(&class, &spec).is_ok()
        };
        let options = json!(["hard", "nfsvers=4.2"]);
        assert!(said(options.clone(), "Retain", Some("hard,nfsvers=4.2")));
        assert!(!said(options.clone(), "Delete", Some("hard,nfsvers=4.2")));
        assert!(!said(options, "Retain", None));
        assert!(!said(json!(["hard"]), "Retain", Some("hard,nfsvers=4.2")));
        assert!(!said(Value::Null, "Retain", Some("hard,nfsvers=4.2")));
        // What a class does not say: no options, and Delete.
        let spec =
            |options: Value| json!({"mountOptions": options, "persistentVolumeReclaimPolicy": "Delete"});
        for options in [Value::Null, json!([])] {
            assert_eq!(
                check(&json!({"provisioner": loop_file::DRIVER, "mountOptions": null}), &spec(options)),
                Ok(())
            );
        }
    }
}
