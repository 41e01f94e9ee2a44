//! The checker: opens what a power cut has left, and compares it with what was acknowledged before.
//!
//! | acknowledged last for a name | what must be there |
//! |---|---|
//! | put of version v | v or a later version, complete, both objects of a pair at the same version |
//! | the same, and a delete was tried later, be it while the image was taken | that, or nothing |
//! | delete at version v | nothing, or a later version |
//! | anything, lazy or not, at revision r | no commit gets r again |

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use orlop_objects::Object;
use orlop_store::{Options, Snapshot, Store};

use crate::{
    acks::{self, Ack, Did},
    content,
};

/// A summary, or what is wrong. `before` holds what was acknowledged before the image was taken, `after` also what was
/// tried until it was there.
pub(crate) fn run(store: &Path, before: &Path, after: &Path) -> Result<String, String> {
    let acks = acks::read(before);
    let opened = Store::open(store, Options::default())
        .map_err(|e| format!("does not open: {:#}", anyhow::Error::from(e)))?;
    let snapshot = opened.snapshot();
    let mut last: BTreeMap<&str, &Ack> = BTreeMap::new();
    for ack in acks.iter().filter(|ack| matches!(ack.did, Did::Put | Did::Delete)) {
        last.insert(&ack.name, ack);
    }
    let tried = acks::read(after).into_iter().filter(|ack| ack.did == Did::Trying);
    let tried: BTreeMap<String, u64> = tried.map(|ack| (ack.name, ack.version)).collect();
    for (name, ack) in &last {
        let deleted_later = tried.get(*name).is_some_and(|version| *version > ack.version);
        check_name(&snapshot, ack, deleted_later)?;
    }
    check_revision(&opened, &acks)?;
    no_files_beside_the_log(store)?;
    Ok(format!(
        "{} lines of acknowledgement, {} names, revision {}",
        acks.len(),
        last.len(),
        snapshot.revision()
    ))
}

fn check_name(snapshot: &Snapshot, ack: &Ack, deleted_later: bool) -> Result<(), String> {
    let found: Vec<_> = content::keys(&ack.name).into_iter().map(|key| (snapshot.get(&key), key)).collect();
    let mut versions = Vec::new();
    for (object, key) in &found {
        let version = object.as_deref().map(version_of);
        if let (Some(object), Some(version)) = (object, version)
            && object.bytes != content::object(key, version).bytes
        {
            return Err(format!("{key} has not the bytes of its version {version}"));
        }
        versions.push(version);
    }
    if versions.iter().any(|version| *version != versions[0]) {
        return Err(format!("torn: {ack:?}, found {versions:?}"));
    }
    let kept = match (ack.did, versions[0]) {
        (Did::Delete, None) => true,
        (Did::Delete, Some(version)) => version > ack.version,
        (_, None) => deleted_later,
        (_, Some(version)) => version >= ack.version,
    };
    if kept { Ok(()) } else { Err(format!("lost: {ack:?}, found {versions:?}")) }
}

fn version_of(object: &Object) -> u64 {
    object.meta.labels["version"].parse().unwrap()
}

fn check_revision(store: &Store, acks: &[Ack]) -> Result<(), String> {
    let given = acks.iter().map(|ack| ack.revision).max().unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = content::keys("size0-after-the-cut").remove(0);
    let next = runtime.block_on(store.update(|tx| {
        tx.put(content::object(&key, 1));
        Ok::<_, Infallible>(())
    }));
    match next {
        Ok(next) if next.revision > given => Ok(()),
        Ok(next) => Err(format!("revision {} was given again, after {given}", next.revision)),
        Err(e) => Err(format!("takes no writes: {e}")),
    }
}

/// sled syncs none of the files that it makes for large pages; there must be none.
fn no_files_beside_the_log(store: &Path) -> Result<(), String> {
    for entry in std::fs::read_dir(store).unwrap().flatten() {
        let blobs = std::fs::read_dir(entry.path().join("blobs")).map_or(0, Iterator::count);
        if blobs > 0 {
            return Err(format!("{blobs} files in {}", entry.path().join("blobs").display()));
        }
    }
    Ok(())
}
