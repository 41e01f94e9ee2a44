//! The NFS server of the fake machine: it outlives who started it, dies with a reboot, and holds what it exports.
//!
//! Stricter than the real one: a directory that nothing is mounted on is refused, since clients would then write to the
//! disk beneath it. Tests act as its fate with [`Fake::kill_nfs_server`] and [`Fake::remove_nfs_server`].

use std::{path::Path, time::Duration};

use super::Fake;
use crate::host::{Cause, Error, ExportTable, NfsServer, Process, Result, RunningServer};

/// What is on disk, and what runs.
#[derive(Debug, Default)]
pub(super) struct Server {
    table: Option<ExportTable>,
    /// The table is in the words of another Orlop.
    foreign_words: bool,
    running: Option<(Process, ExportTable)>,
    starts: u64,
    missing: bool,
}

impl Server {
    /// Its process ends.
    pub(super) fn end(&mut self) {
        self.running = None;
    }

    /// Whether it exports what is mounted here.
    pub(super) fn holds(&self, target: &Path) -> bool {
        let Some((_, taken)) = &self.running else { return false };
        taken.shown().any(|export| taken.directory(export) == target)
    }
}

fn failed(source: Cause) -> Error {
    Error { operation: "have the NFS server export", object: "/".into(), source }
}

fn refused(why: String) -> Error {
    failed(Cause::Refused(why))
}

impl Fake {
    /// The server dies.
    pub fn kill_nfs_server(&self) {
        self.machine().nfs_server.end();
    }

    /// The server's packages are not installed on this machine.
    pub fn remove_nfs_server(&self) {
        self.machine().nfs_server.missing = true;
    }

    /// The table was written by another version of Orlop, which puts it otherwise.
    pub fn age_nfs_table(&self) {
        self.machine().nfs_server.foreign_words = true;
    }

    /// How often the server was started.
    pub fn nfs_server_starts(&self) -> u64 {
        self.machine().nfs_server.starts
    }

    /// The table that a server can take: everything in it is mounted.
    fn table_to_take(&self) -> Result<ExportTable> {
        let machine = self.machine();
        let table =
            machine.nfs_server.table.clone().ok_or_else(|| refused("it was given no table".into()))?;
        let bare = table.shown().find(|export| !machine.mounts.is_mount_point(&table.directory(export)));
        match bare {
            None => Ok(table),
            Some(export) => {
                Err(refused(format!("nothing is mounted at {}", table.directory(export).display())))
            }
        }
    }
}

impl NfsServer for Fake {
    fn installed(&self) -> Result<()> {
        if self.machine().nfs_server.missing {
            let (program, package) = ("nfs-ganesha with its VFS module", "nfs-ganesha and nfs-ganesha-vfs");
            return Err(failed(Cause::Missing { program: program.into(), package: package.into() }));
        }
        Ok(())
    }

    fn free_port(&self, from: u16) -> Result<u16> {
        Ok(from)
    }

    fn table(&self) -> Result<Option<ExportTable>> {
        Ok(self.machine().nfs_server.table.clone())
    }

    fn is_written(&self, table: &ExportTable) -> Result<bool> {
        let server = &self.machine().nfs_server;
        Ok(!server.foreign_words && server.table.as_ref() == Some(table))
    }

    fn write_table(&self, table: &ExportTable) -> Result<()> {
        let server = &mut self.machine().nfs_server;
        (server.table, server.foreign_words) = (Some(table.clone()), false);
        Ok(())
    }

    fn server(&self) -> Result<Option<RunningServer>> {
        let machine = self.machine();
        let running = machine.nfs_server.running.as_ref();
        Ok(running.map(|(process, taken)| RunningServer { process: *process, taken: Some(taken.clone()) }))
    }

    fn start(&self) -> Result<()> {
        self.installed()?;
        let table = self.table_to_take()?;
        let server = &mut self.machine().nfs_server;
        if server.running.is_some() {
            return Err(refused("it runs already".into()));
        }
        server.starts += 1;
        server.running = Some((Process { pid: 50, started: server.starts }, table));
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        let table = self.table_to_take()?;
        match &mut self.machine().nfs_server.running {
            Some((_, taken)) => *taken = table,
            None => return Err(refused("it does not run".into())),
        }
        Ok(())
    }

    fn stop(&self) -> Result<()> {
        self.machine().nfs_server.end();
        Ok(())
    }

    fn wait_for_end(&self, timeout: Duration) -> Result<bool> {
        // A slice at a time, not a condition variable: tests that let the waiting agent die must not wait for it.
        let slice = Duration::from_millis(2).min(timeout);
        let mut left = timeout;
        while self.machine().nfs_server.running.is_some() && !left.is_zero() {
            std::thread::sleep(slice.min(left));
            left = left.saturating_sub(slice);
        }
        Ok(self.machine().nfs_server.running.is_none())
    }
}
