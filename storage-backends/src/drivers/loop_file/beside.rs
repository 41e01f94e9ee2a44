//! The other local pools of a node that lie on the same disk: all of them promise from the same space.
//!
//! | the other pool's directory | counts |
//! |---|---|
//! | is on the same file system, in whichever subvolume of it | lengths of its volumes as promised; what its files occupy as space of all |
//! | is on another file system | nothing |
//! | is gone | nothing: its volumes are not here |
//! | belongs to a pool that is left out, and answered when that was found | as above; nothing when it answers no more |
//!
//! Shared pools are not looked at: what lies below them may be a server that does not answer, and what others promise there
//! is theirs.

use std::{collections::BTreeSet, path::Path};

use super::{
    pools::{Neighbour, Pool},
    request::Handle,
};
use crate::host::{self, FileInfo, Host};

/// What they hold.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Names of the pools on the same disk.
    pub(super) pools: Vec<String>,
    pub(super) volumes: BTreeSet<Handle>,
    pub(super) promised: u64,
    pub(super) occupied: u64,
}

impl Beside {
    /// In words, for who is told what there is.
    pub(super) fn words(&self) -> String {
        match self.pools.as_slice() {
            [] => String::new(),
            [one] => format!(" in common with pool {one} on the same disk"),
            several => format!(" in common with pools {} on the same disk", several.join(", ")),
        }
    }
}

/// Looks at the pools beside this one, whose directory is there.
pub(super) fn look(pool: &Pool) -> host::Result<Beside> {
    let mut beside = Beside::default();
    let own = pool.host.file_system(&pool.dir)?;
    for other in &pool.beside {
        match look_at(pool.host.as_ref(), own, other) {
            Ok(None) => {}
            Ok(Some(files)) => beside.count(other, files),
            Err(error) if other.left_out => {
                tracing::debug!(pool = other.name, %error, "what it promises is not counted");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(beside)
}

/// What another pool holds, where it lies on this file system.
fn look_at(host: &dyn Host, own: Option<u64>, other: &Neighbour) -> host::Result<Option<Vec<Found>>> {
    if other.left_out {
        host.ask(&other.dir)?;
    }
    let is_beside = own.is_some() && host.file_system(&other.dir)? == own;
    is_beside.then(|| files(host, &other.name, &other.dir)).transpose()
}

impl Beside {
    fn count(&mut self, other: &Neighbour, files: Vec<Found>) {
        self.pools.push(other.name.clone());
        for (complete, file) in files {
            self.occupied = self.occupied.saturating_add(file.allocated);
            if let Some(handle) = complete {
                self.promised = self.promised.saturating_add(file.length);
                self.volumes.insert(handle);
            }
        }
    }
}

/// A file of a volume, with its handle; without one while it is being made.
type Found = (Option<Handle>, FileInfo);

/// The files of a pool's volumes.
pub(super) fn files(host: &dyn Host, name: &str, dir: &Path) -> host::Result<Vec<Found>> {
    let mut found = Vec::new();
    for file_name in host.list_dir(dir)? {
        let complete = Handle::of_file(name, &file_name);
        if complete.is_none() && Handle::of_making(name, &file_name).is_none() {
            continue;
        }
        // Gone between the two looks: it was renamed or removed.
        if let Some(file) = host.file(&dir.join(&file_name))? {
            found.push((complete, file));
        }
    }
    Ok(found)
}
