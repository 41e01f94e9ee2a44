//! Orlop's own exports: each volume is a loop file with a file system of its own, so that its size is a hard limit, kept
//! mounted by its keeper and exported from there.
//!
//! ```text
//!  create    the loop driver's file ─ a row in the table of exports, with a number for good
//!  serve     loop device ─ mount at DIR/nfs/volumes/pvc-<uid>                    as long as the volume exists
//!  export    row shown, its clients ─ the server takes the table                other nodes can mount it
//!  stage     on the keeper: DIR/nfs/volumes/… ─ bind ─► …/globalmount           no NFS client needed
//!            elsewhere: server:port:/pvc-<uid> ─ NFS v4.2 ─► …/globalmount
//!  publish   …/globalmount ─ bind ─► …/pods/<uid>/volumes/…/mount
//! ```
//!
//! Files, devices and mounts are the loop driver's business, which is used as it is; `pool` and its other parameters mean
//! what they mean there. A volume in a shared pool is attached by its keeper as long as it exists, like any other: the pool
//! does not make it another node's.
//!
//! The table is the record of what may
//! be here: a volume has its row before anything of it is attached, and until its file is gone.
//!
//! Must not know: claims, pods, the API; how the server is run.

mod calls;
mod patience;
mod pod;
mod serve;
mod serving;
mod table;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, sync::Arc};

use uuid::Uuid;

pub(super) use self::calls::{
    attributes, capacity, create, delete, is_client_mount, keeps, list, publish, stage, take_away,
};
use self::{patience::Patience, table::Table};
use super::place::Own;
use crate::{
    driver::{Capacity, Code, Create, Driver, Error, Reach, Volume, VolumeRef},
    drivers::{blocking, fault::Context},
    host::{self, Host, MountEntry, NfsServer},
};

/// Ports are looked for from here on: below those that the kernel gives to whoever asks for none.
const PORTS: u16 = 20_000;
/// How many ports lie between the places where two instances begin to look, at most.
const SPREAD: u16 = 10_000;

/// The kernel's number for loop devices.
const LOOP_MAJOR: u32 = 7;

/// What a node needs to have exports of its own.
#[derive(Clone)]
pub struct ExportsConfig {
    /// The machine.
    pub host: Arc<dyn Host>,
    /// The server.
    pub server: Arc<dyn NfsServer>,
    /// The loop driver whose pool holds the files.
    pub pool: Arc<dyn Driver>,
    /// The directory in which exported volumes are mounted, each in one of its own.
    pub root: PathBuf,
    /// Names this Orlop among others on the machine, whose ports lie elsewhere.
    pub instance: String,
    /// This node's name.
    pub node: String,
    /// The address by which other nodes reach it.
    pub address: IpAddr,
}

/// The exports of one node. Clones share their state.
#[derive(Clone)]
pub(super) struct Exports {
    host: Arc<dyn Host>,
    pool: Arc<dyn Driver>,
    table: Table,
    patience: Patience,
    root: PathBuf,
    node: String,
    address: IpAddr,
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exports").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Where an instance begins to look for a port: two that start at the same moment must not find the same one free.
fn first_port(instance: &str) -> u16 {
    let sum = instance.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    PORTS + u16::try_from(sum % u32::from(SPREAD)).unwrap_or_default()
}

/// The volume of a handle: `pvc-<claim uid>`, the only text from outside that becomes part of a path.
fn volume_of(context: &Context, handle: &str) -> Result<Uuid, Error> {
    crate::drivers::claim_uid(handle).ok_or_else(|| {
        let why = format!(
            "volumeHandle {handle:?} is not one of {}: it must be pvc- and the UID of a claim",
            super::NAME
        );
        context.fail(Code::InvalidArgument, why)
    })
}

/// The loop driver's name for a volume in a pool.
fn file_name(pool: Option<&str>, handle: &str) -> String {
    pool.map_or_else(|| handle.to_owned(), |pool| format!("{pool}/{handle}"))
}

/// The pool in such a name.
fn pool_in(file: &str) -> Option<String> {
    file.split_once('/').map(|(pool, _)| pool.to_owned())
}

/// The pool that a volume says it is in.
fn pool_of(context: &Context, volume: &VolumeRef) -> Result<Option<String>, Error> {
    super::place::pool(&volume.attributes).map_err(|why| context.fail(Code::InvalidArgument, why))
}

/// What is asked of the loop driver: a file for one node, whoever mounts from there.
fn for_keeper(request: &Create) -> Create {
    let mut request = request.clone();
    request.claim.access_modes = vec!["ReadWriteOnce".to_owned()];
    request
}

impl Exports {
    pub(super) fn new(config: ExportsConfig) -> Self {
        let table = Table::new(config.server, config.root.clone(), first_port(&config.instance));
        Self {
            host: config.host,
            pool: config.pool,
            table,
            patience: Patience::default(),
            root: config.root,
            node: config.node,
            address: config.address,
        }
    }

    /// Whether this node keeps the volume.
    pub(super) fn keeps(&self, own: &Own) -> bool {
        own.node == self.node
    }

    /// Runs what blocks off the async runtime.
    async fn blocking<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&Self, &Context) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        blocking::run(context.clone(), super::DEADLINE, move |context| work(&this, context)).await
    }

    /// Whether the server is installed.
    pub(super) fn can_export(&self) -> bool {
        self.table.server().installed().is_ok()
    }

    /// The loop driver's name for the volume, in the pool that the table knows, or else the attributes.
    async fn file(&self, context: &Context, volume: &VolumeRef) -> Result<VolumeRef, Error> {
        let (uuid, volume) = (volume_of(context, &volume.handle)?, volume.clone());
        self.blocking(context, move |this, context| {
            let known = this.table.with(context, |table| Ok(table.of(uuid).map(|row| row.pool.clone())))?;
            let pool = known.map_or_else(|| pool_of(context, &volume), Ok)?;
            let handle = file_name(pool.as_deref(), &volume.handle);
            Ok(VolumeRef { handle, attributes: BTreeMap::new(), ..volume })
        })
        .await
    }

    fn attributes(&self, name: &str, port: u16, pool: Option<String>) -> BTreeMap<String, String> {
        let (node, path) = (self.node.clone(), format!("/{name}"));
        Own { node, server: self.address, port, path, pool }.attributes()
    }

    /// What the attributes of a volume to be made will be, as far as removing it needs them: not the port.
    pub(super) fn attributes_to_be(&self, request: &Create) -> Result<BTreeMap<String, String>, Error> {
        let pool = pool_in(&self.pool.handle(&for_keeper(request))?);
        Ok(self.attributes(&request.name, 0, pool))
    }

    pub(super) async fn create(&self, context: &Context, request: Create) -> Result<Volume, Error> {
        let volume = volume_of(context, &request.name)?;
        let made = self.pool.create(for_keeper(&request)).await?;
        let pool = pool_in(&made.handle);
        let of = pool.clone();
        let port = self
            .blocking(context, move |this, context| {
                let number =
                    |table: &mut host::ExportTable| table::number(context, table, volume, of.as_deref());
                this.table.with(context, number)?;
                this.table.write(context)?;
                Ok(this.table.wanted(context)?.port)
            })
            .await?;
        let (attributes, handle) = (self.attributes(&request.name, port, pool), request.name);
        Ok(Volume { handle, attributes, reach: Reach::Everywhere, ..made })
    }

    /// Removes a volume that no pod uses, with its export.
    pub(super) async fn delete(&self, context: &Context, volume: &VolumeRef) -> Result<(), Error> {
        let uuid = volume_of(context, &volume.handle)?;
        let file = self.file(context, volume).await?;
        self.end(context, volume).await?;
        self.pool.delete(file).await?;
        self.blocking(context, move |this, context| {
            let known = this.table.with(context, |table| {
                let known = table.of(uuid).is_some();
                table.remove(uuid);
                Ok(known)
            })?;
            if known { this.table.write(context) } else { Ok(()) }
        })
        .await
    }

    /// All volumes that have a row.
    pub(super) async fn list(&self) -> Result<Vec<Volume>, Error> {
        let context = Context::new("list", "*");
        let table = self.blocking(&context, |this, context| this.table.wanted(context)).await?;
        let file = |row: &host::Export| (file_name(row.pool.as_deref(), &row.name()), row.clone());
        let rows: BTreeMap<String, host::Export> = table.exports.iter().map(file).collect();
        let all = self.pool.list().await?.into_iter().filter_map(|file| {
            let row = rows.get(&file.handle)?;
            let attributes = self.attributes(&row.name(), table.port, row.pool.clone());
            Some(Volume { handle: row.name(), attributes, reach: Reach::Everywhere, ..file })
        });
        Ok(all.collect())
    }

    pub(super) async fn capacity(&self) -> Result<Capacity, Error> {
        self.pool.capacity().await
    }

    /// All mounts of a served volume, in mount order, the one at its directory among them; none when it is not served.
    /// By device number: only what is mounted at its directory can tell which that is. Blocks.
    fn mounts(&self, context: &Context, name: &str) -> Result<Vec<MountEntry>, Error> {
        let directory = self.directory(context, name)?;
        let mut mounts = self.host.mounts().map_err(|error| context.host(error))?;
        let top = mounts.iter().rfind(|mount| mount.target == directory).map(|mount| mount.number);
        match top.filter(|number| number.0 == LOOP_MAJOR) {
            Some(number) => mounts.retain(|mount| mount.number == number),
            None => mounts.clear(),
        }
        Ok(mounts)
    }

    /// Where volumes are mounted, as the mount table names it. Blocks.
    fn root(&self, context: &Context) -> Result<PathBuf, Error> {
        let root = self.host.canonical(&self.root).map_err(|error| context.host(error))?;
        Ok(root.unwrap_or_else(|| self.root.clone()))
    }

    /// The directory of a volume, as the mount table names it. Blocks.
    fn directory(&self, context: &Context, name: &str) -> Result<PathBuf, Error> {
        Ok(self.root(context)?.join(name))
    }
}
