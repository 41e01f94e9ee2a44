//! The other local pools of a node that lie on the same disk: all of them promise from the same space.
//!
//! | the other pool's directory | counts |
//! |---|---|
//! | is on the same file system, in whichever subvolume of it | lengths of its volumes as promised; what its files occupy as space of all |
//! | is on another file system | nothing |
//! | is gone | nothing: its volumes are not here |
//!
//! Shared pools are not looked at: what lies below them may be a server that does not answer, and what others promise there
//! is theirs.

use std::{collections::BTreeSet, path::Path};

use super::{pools::Pool, request::Handle};
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
    for (name, dir) in &pool.beside {
        if own.is_some() && pool.host.file_system(dir)? == own {
            beside.pools.push(name.clone());
            beside.count(pool, name, dir)?;
        }
    }
    Ok(beside)
}

impl Beside {
    fn count(&mut self, pool: &Pool, name: &str, dir: &Path) -> host::Result<()> {
        for (complete, file) in files(pool.host.as_ref(), name, dir)? {
            self.occupied = self.occupied.saturating_add(file.allocated);
            if let Some(handle) = complete {
                self.promised = self.promised.saturating_add(file.length);
                self.volumes.insert(handle);
            }
        }
        Ok(())
    }
}

/// The files of a pool's volumes, each with its handle; without one while it is being made.
pub(super) fn files(
    host: &dyn Host,
    name: &str,
    dir: &Path,
) -> host::Result<Vec<(Option<Handle>, FileInfo)>> {
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
