//! An NFS server that exports directories of this machine: what it is told, and what it is asked.
//!
//! What it is told is one table on disk, which survives reboots: clients remember the port and, in their file handles,
//! the number of an export. Nothing in a table is a text that a user wrote: ports, numbers, UUIDs, addresses, and names of
//! pools, which an administrator gave and which are labels of letters, digits and hyphens.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Process, Result};

/// What the server is to export, and under which numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportTable {
    /// Where it listens.
    pub port: u16,
    /// The directory in which each export has its own, of its name.
    pub root: PathBuf,
    /// The number that the next new export gets.
    pub next: u16,
    /// All exports that have a number, shown or not.
    pub exports: Vec<Export>,
}

/// One directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its number, which is part of every file handle: never another's, as long as a client may hold one.
    pub number: u16,
    /// The volume: its UUID is the exported file system's identity, and its name the path that clients ask for.
    pub volume: Uuid,
    /// The pool that holds its file; `None` for the one called `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether clients see it. A volume that is not mounted is not shown.
    pub shown: bool,
    /// Who may mount it.
    pub clients: BTreeSet<IpAddr>,
}

impl Export {
    /// `pvc-<uuid>`: the name of its directory, and of its path as clients see it.
    pub fn name(&self) -> String {
        format!("pvc-{}", self.volume.hyphenated())
    }
}

impl ExportTable {
    /// A table without exports.
    pub fn new(port: u16, root: PathBuf) -> Self {
        Self { port, root, next: 1, exports: Vec::new() }
    }

    /// The directory of an export.
    pub fn directory(&self, export: &Export) -> PathBuf {
        self.root.join(export.name())
    }

    /// The export of a volume.
    pub fn of(&self, volume: Uuid) -> Option<&Export> {
        self.exports.iter().find(|export| export.volume == volume)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, volume: Uuid) -> Option<&mut Export> {
        self.exports.iter_mut().find(|export| export.volume == volume)
    }

    /// Those that clients see.
    pub fn shown(&self) -> impl Iterator<Item = &Export> {
        self.exports.iter().filter(|export| export.shown)
    }

    /// Gives a volume of a pool a number; one that has a number keeps both. `None`: all numbers are in use.
    ///
    /// Numbers go up and come round only after all others were used: a client that still holds a handle of a removed
    /// export must not reach another with it.
    pub fn add(&mut self, volume: Uuid, pool: Option<&str>) -> Option<u16> {
        if let Some(export) = self.of(volume) {
            return Some(export.number);
        }
        let free = |number: &u16| !self.exports.iter().any(|export| export.number == *number);
        // 0 is the server's own root.
        let first = self.next.max(1);
        let number = (first..=u16::MAX).chain(1..first).find(free)?;
        self.next = number.checked_add(1).unwrap_or(1);
        let pool = pool.map(str::to_owned);
        self.exports.push(Export { number, volume, pool, shown: false, clients: BTreeSet::new() });
        Some(number)
    }

    /// Forgets a volume.
    pub fn remove(&mut self, volume: Uuid) {
        self.exports.retain(|export| export.volume != volume);
    }
}

/// The server as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningServer {
    /// Its process.
    pub process: Process,
    /// The table that it is known to have taken; `None` when it was started, or told, by somebody who is gone.
    pub taken: Option<ExportTable>,
}

/// An NFS server of one instance. It outlives who started it.
pub trait NfsServer: Send + Sync + 'static {
    /// Whether it is installed; the error names the packages.
    fn installed(&self) -> Result<()>;
    /// A port on which nobody listens, `from` or above.
    fn free_port(&self, from: u16) -> Result<u16>;
    /// The table as it was written last; `None` before the first.
    fn table(&self) -> Result<Option<ExportTable>>;
    /// Whether `write_table` would change nothing: this table was written last, and in the words that it has now.
    fn is_written(&self, table: &ExportTable) -> Result<bool>;
    /// Writes the table, all of it or nothing of it, and durable. A server that runs is not told.
    fn write_table(&self, table: &ExportTable) -> Result<()>;
    /// The server that runs.
    fn server(&self) -> Result<Option<RunningServer>>;
    /// Starts the server with the table as written; answers once it serves. Refused while one runs.
    fn start(&self) -> Result<()>;
    /// Has the running server take the table as written; answers once it has.
    fn reload(&self) -> Result<()>;
    /// Ends the server; fine when none runs.
    fn stop(&self) -> Result<()>;
    /// Blocks until the server that runs now has ended, or `timeout` has passed; true when it has ended.
    fn wait_for_end(&self, timeout: Duration) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_and_not_given_again_until_all_were_used() {
        let mut table = ExportTable::new(20_000, "/exports".into());
        let volumes: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        assert_eq!(table.add(volumes[0], None), Some(1));
        assert_eq!(table.add(volumes[1], None), Some(2));
        assert_eq!(table.add(volumes[0], None), Some(1), "it keeps its number");
        table.remove(volumes[1]);
        assert_eq!(table.add(volumes[2], None), Some(3), "the number of a removed one is left out");
        table.next = u16::MAX;
        assert_eq!(table.add(volumes[1], None), Some(u16::MAX));
        assert_eq!(
            table.add(volumes[3], None),
            Some(2),
            "round again, past those in use and the server's own root"
        );
    }

    #[test]
    fn a_full_table_says_so() {
        let export = |number| Export {
            number,
            volume: Uuid::from_u128(number.into()),
            pool: None,
            shown: false,
            clients: BTreeSet::new(),
        };
        let mut table = ExportTable {
            port: 1,
            root: "/exports".into(),
            next: 7,
            exports: (1..=u16::MAX).map(export).collect(),
        };
        assert_eq!(table.add(Uuid::from_u128(9), None), Some(9));
        assert_eq!(table.add(Uuid::from_u128(1 << 40), None), None);
    }
}
