//! The classes that come with every Orlop. Each is made once in a cluster's life: one that somebody deleted was not wanted,
//! and stays away. Which were made is noted on the namespace `kube-system`, in the commit that makes the class.
//!
//! | noted | there | another class is the default one | verdict |
//! |---|---|---|---|
//! | yes | | | – |
//! | no | yes | | Note |
//! | no | no | no | Make |
//! | no | no | yes | MakePlain: without the mark of the default class |
//!
//! A cluster of a build that noted nothing may have had a class that was deleted, or never have had it: such a class comes
//! once more, and takes nothing from the class that is the default one meanwhile.

use k8s_openapi::api::storage::v1::StorageClass;
use orlop_objects::{Key, kind};
use orlop_registry::{Door, Error as Refused, Part, Registry, Who};
use orlop_store::Snapshot;
use serde_json::{Value, json};

use super::{LOOP_DRIVER, NFS_DRIVER};
use crate::{Error, edit, facts};

/// Names, with commas between them, the classes that were made.
const MADE: &str = "orlop.dev/classes-made";

/// What to do about one class.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It was made before, whatever became of it.
    Leave,
    /// It is there: write that down.
    Note,
    /// Make it, and write that down.
    Make,
    /// Make it as one class among others, and write that down.
    MakePlain,
}

fn decide(noted: bool, there: bool, has_other_default: bool) -> Verdict {
    match (noted, there, has_other_default) {
        (true, ..) => Verdict::Leave,
        (false, true, _) => Verdict::Note,
        (false, false, false) => Verdict::Make,
        (false, false, true) => Verdict::MakePlain,
    }
}

/// Makes the classes that this cluster has not had yet.
pub(super) async fn make(registry: &Registry, who: &Who) -> Result<(), Error> {
    for class in [loop_files(), shared()] {
        let key = Key::cluster(&kind::STORAGE_CLASS, class["metadata"]["name"].as_str().unwrap_or_default());
        let made = registry.transact(who, |door| make_one(door, &key, &class));
        made.await.map_err(Error::doing("create", &key))?;
    }
    Ok(())
}

fn make_one(door: &mut Door<'_, '_>, key: &Key, class: &Value) -> Result<(), Refused> {
    let system = Key::cluster(&kind::NAMESPACE, "kube-system");
    let namespace = door.get(&system).ok_or_else(|| Refused::NotFound(system.clone()))?.value();
    let noted = namespace["metadata"]["annotations"][MADE].as_str().unwrap_or_default();
    let mut names: Vec<&str> = noted.split(',').filter(|name| !name.is_empty()).collect();
    let (is_noted, is_there) = (names.contains(&&*key.name), door.get(key).is_some());
    let class = match decide(is_noted, is_there, has_default(door.snapshot())) {
        Verdict::Leave => return Ok(()),
        Verdict::Note => None,
        Verdict::Make => Some(class.clone()),
        Verdict::MakePlain => Some(plain(class.clone())),
    };
    if let Some(class) = class {
        door.create(&kind::STORAGE_CLASS, "", class)?;
    }
    names.push(&key.name);
    let note = |mut value: Value| {
        edit::annotate(&mut value, MADE, &names.join(","));
        Ok(value)
    };
    door.change(&system, Part::Main, note).map(drop)
}

/// Asked of a class that is not there, so that each that is found is another one.
fn has_default(snapshot: &Snapshot) -> bool {
    let is_default = |class: StorageClass| facts::is_default_class(&class);
    snapshot.list(&kind::STORAGE_CLASS, None, None).any(|class| class.typed().is_ok_and(is_default))
}

fn plain(mut class: Value) -> Value {
    for mark in facts::DEFAULT_CLASS {
        edit::drop_annotation(&mut class, mark);
    }
    class
}

fn loop_files() -> Value {
    json!({
        "metadata": {"name": "loop", "annotations": {facts::DEFAULT_CLASS[0]: "true"}},
        "provisioner": LOOP_DRIVER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": true,
    })
}

/// Volumes for several nodes at once, exported by the node that makes them; that is no matter of where the pods are, so
/// it is made at once.
fn shared() -> Value {
    json!({
        "metadata": {"name": "nfs"},
        "provisioner": NFS_DRIVER,
        "volumeBindingMode": "Immediate",
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let rows = [
            ((true, true, true), Verdict::Leave),
            ((true, false, false), Verdict::Leave),
            ((false, true, false), Verdict::Note),
            ((false, true, true), Verdict::Note),
            ((false, false, false), Verdict::Make),
            ((false, false, true), Verdict::MakePlain),
        ];
        for ((noted, there, other), wanted) in rows {
            assert_eq!(decide(noted, there, other), wanted, "noted {noted}, there {there}, other {other}");
        }
        assert!(
            plain(loop_files())["metadata"]["annotations"].as_object().is_some_and(serde_json::Map::is_empty)
        );
    }
}
