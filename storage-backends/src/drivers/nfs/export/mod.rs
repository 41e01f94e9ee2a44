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
//! Files, devices and mounts are the loop driver's business, which is used as it is. The table is the record of what may
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

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};

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

    /// The loop driver's name for the volume: it needs no attributes.
    fn file(volume: &VolumeRef) -> VolumeRef {
        VolumeRef { attributes: BTreeMap::new(), ..volume.clone() }
    }

    fn attributes(&self, name: &str, port: u16) -> BTreeMap<String, String> {
        let own = Own { node: self.node.clone(), server: self.address, port, path: format!("/{name}") };
        own.attributes()
    }

    /// What the attributes of a volume to be made will be, as far as removing it needs them: not the port.
    pub(super) fn attributes_to_be(&self, request: &Create) -> BTreeMap<String, String> {
        self.attributes(&request.name, 0)
    }

    pub(super) async fn create(&self, context: &Context, request: Create) -> Result<Volume, Error> {
        let volume = volume_of(context, &request.name)?;
        if request.parameters.contains_key("pool") {
            let why = "parameter pool: exports are made in the pool default; leave it out";
            return Err(context.fail(Code::InvalidArgument, why));
        }
        let made = self.pool.create(request).await?;
        let port = self
            .blocking(context, move |this, context| {
                let number = |table: &mut host::ExportTable| table::number(context, table, volume);
                this.table.with(context, number)?;
                this.table.write(context)?;
                Ok(this.table.wanted(context)?.port)
            })
            .await?;
        let attributes = self.attributes(&made.handle, port);
        Ok(Volume { attributes, reach: Reach::Everywhere, ..made })
    }

    /// Removes a volume that no pod uses, with its export.
    pub(super) async fn delete(&self, context: &Context, volume: &VolumeRef) -> Result<(), Error> {
        let uuid = volume_of(context, &volume.handle)?;
        self.end(context, volume).await?;
        self.pool.delete(Self::file(volume)).await?;
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
        let names: BTreeSet<String> = table.exports.iter().map(host::Export::name).collect();
        let mut all = self.pool.list().await?;
        all.retain(|volume| names.contains(&volume.handle));
        for volume in &mut all {
            volume.attributes = self.attributes(&volume.handle, table.port);
            volume.reach = Reach::Everywhere;
        }
        Ok(all)
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
