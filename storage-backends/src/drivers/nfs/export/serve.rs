//! Serving: what the keeper does for a volume as long as it exists.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use uuid::Uuid;

use super::{
    Exports, pool_of,
    table::{self, Settled},
    volume_of,
};
use crate::{
    driver::{Code, Error, Served, Stage, VolumeRef},
    drivers::{fault::Context, nfs::place::Own},
    host::Export,
};

impl Exports {
    /// Names of all volumes that have a row.
    pub(in crate::drivers::nfs) async fn served(&self) -> Result<Vec<String>, Error> {
        let context = Context::new("list exports", "*");
        let table = self.blocking(&context, |this, context| this.table.wanted(context)).await?;
        Ok(table.exports.iter().map(Export::name).collect())
    }

    /// How far a volume is served to these clients.
    pub(in crate::drivers::nfs) async fn look(
        &self,
        context: &Context,
        volume: &VolumeRef,
        clients: BTreeSet<IpAddr>,
    ) -> Result<Served, Error> {
        let (uuid, name) = (volume_of(context, &volume.handle)?, volume.handle.clone());
        self.blocking(context, move |this, context| {
            let directory = this.directory(context, &name)?;
            let up = !this.mounts(context, &name)?.is_empty();
            let row = this.table.with(context, |table| Ok(table.of(uuid).cloned()))?;
            let shown = row.as_ref().is_some_and(|row| row.shown);
            let same = row.is_some_and(|row| row.shown && row.clients == clients);
            let there = this.host.file(&directory).map_err(|error| context.host(error))?.is_some();
            let exported = up && same && this.table.exports(context, uuid)?;
            Ok(Served { up, exported, touched: there || shown })
        })
        .await
    }

    /// Ensures that the volume is attached and mounted at its directory.
    pub(in crate::drivers::nfs) async fn serve(
        &self,
        context: &Context,
        volume: &VolumeRef,
    ) -> Result<(), Error> {
        let uuid = volume_of(context, &volume.handle)?;
        let outcome = self.bring_up(context, volume, uuid).await;
        match &outcome {
            Ok(()) => self.patience.forget(uuid),
            Err(error) if self.patience.is_over(uuid, error.code) => self.give_up(context, uuid).await?,
            Err(_) => {}
        }
        outcome
    }

    async fn bring_up(&self, context: &Context, volume: &VolumeRef, uuid: Uuid) -> Result<(), Error> {
        let (name, pool) = (volume.handle.clone(), pool_of(context, volume)?);
        let (directory, up) = self
            .blocking(context, move |this, context| {
                let numbered = this.table.with(context, |table| {
                    let new = table.of(uuid).is_none();
                    table::number(context, table, uuid, pool.as_deref()).map(|_| new)
                })?;
                if numbered {
                    this.table.write(context)?;
                }
                this.host.create_dir(&this.root.join(&name)).map_err(|error| context.host(error))?;
                let directory = this.directory(context, &name)?;
                let up = !this.mounts(context, &name)?.is_empty();
                Ok((directory, up))
            })
            .await?;
        if up {
            return Ok(());
        }
        let file = self.file(context, volume).await?;
        let device = self.pool.attach(file.clone()).await?;
        let (fs_type, mount_options) = (None, Vec::new());
        self.pool.stage(Stage { volume: file, device, target: directory, fs_type, mount_options }).await?;
        tracing::info!(volume = %volume.handle, "volume served");
        Ok(())
    }

    /// What cannot be mounted must not keep a server from starting that others wait for, once it has had its time (see
    /// `patience`). One that runs goes on with it.
    async fn give_up(&self, context: &Context, uuid: Uuid) -> Result<(), Error> {
        self.blocking(context, move |this, context| {
            let server = this.table.server().server().map_err(|error| context.host(error))?;
            if server.is_some() {
                return Ok(());
            }
            let shown = this.table.with(context, |table| {
                let row = table.of_mut(uuid).filter(|row| row.shown);
                Ok(row.map(|row| row.shown = false).is_some())
            })?;
            if shown {
                tracing::warn!(volume = %context.volume, "the NFS server starts without a volume that cannot be mounted");
                this.table.write(context)?;
            }
            Ok(())
        })
        .await
    }

    /// Ensures that these clients can mount it, and no others.
    pub(in crate::drivers::nfs) async fn export(
        &self,
        context: &Context,
        own: &Own,
        volume: &VolumeRef,
        clients: BTreeSet<IpAddr>,
    ) -> Result<(), Error> {
        let (uuid, name, own) = (volume_of(context, &volume.handle)?, volume.handle.clone(), own.clone());
        self.blocking(context, move |this, context| {
            this.check_known_as(context, &own)?;
            if this.mounts(context, &name)?.is_empty() {
                return Err(context.fail(Code::FailedPrecondition, "it is not mounted; serve it first"));
            }
            this.table.with(context, |table| {
                table::number(context, table, uuid, own.pool.as_deref())?;
                if let Some(row) = table.of_mut(uuid) {
                    (row.shown, row.clients) = (true, clients);
                }
                Ok(())
            })?;
            match this.settle(context)? {
                Settled::Done => Ok(()),
                Settled::Later(why) => Err(context.fail(Code::Aborted, why)),
            }
        })
        .await
    }

    /// Other nodes know a volume by the address and the port that it was made with.
    fn check_known_as(&self, context: &Context, own: &Own) -> Result<(), Error> {
        let port = self.table.wanted(context)?.port;
        let address = self.address;
        let why = if own.server != address {
            format!(
                "other nodes know this volume by the address {}, and this node has {address} now; give the node its \
                 old address back, or tell its agent with --address {} which of its addresses is meant",
                own.server, own.server
            )
        } else if own.port != port {
            format!(
                "other nodes know this volume by port {}, and this node's server has {port} now: its table of exports \
                 was lost; restore the directory nfs of the data directory",
                own.port
            )
        } else {
            return Ok(());
        };
        Err(context.fail(Code::FailedPrecondition, why))
    }

    /// Has the server export what is wanted, where everything that it must know is mounted. Blocks.
    fn settle(&self, context: &Context) -> Result<Settled, Error> {
        let root = self.root(context)?;
        let entries = self.host.mounts().map_err(|error| context.host(error))?;
        let mounted: BTreeSet<PathBuf> = entries.into_iter().map(|mount| mount.target).collect();
        let is_mounted = |export: &Export| mounted.contains(&root.join(export.name()));
        self.table.settle(context, &is_mounted)
    }

    /// Has a server that runs let go of what is not shown any more. One that cannot be told keeps the volume busy, which
    /// unmounting will say. Blocks.
    fn let_go(&self, context: &Context) -> Result<(), Error> {
        if self.table.server().server().map_err(|error| context.host(error))?.is_some()
            && let Err(error) = self.settle(context)
        {
            tracing::warn!(volume = %context.volume, error = error.message, "take back an export");
        }
        Ok(())
    }

    /// Takes the export back, unmounts and detaches the volume. Refused while a pod has it.
    pub(in crate::drivers::nfs) async fn end(
        &self,
        context: &Context,
        volume: &VolumeRef,
    ) -> Result<(), Error> {
        let (uuid, name) = (volume_of(context, &volume.handle)?, volume.handle.clone());
        self.patience.forget(uuid);
        self.blocking(context, move |this, context| {
            let directory = this.directory(context, &name)?;
            this.refuse_users(context, &name, &[&directory])?;
            let shown = this.table.with(context, |table| {
                let row = table.of_mut(uuid);
                let shown = row.as_ref().is_some_and(|row| row.shown);
                if let Some(row) = row {
                    row.shown = false;
                    row.clients.clear();
                }
                Ok(shown)
            })?;
            if shown {
                this.table.write(context)?;
            }
            // Always: an earlier life may have written the table and died before it told the server.
            this.let_go(context)
        })
        .await?;
        self.put_down(context, volume).await
    }

    /// Ensures that the volume is neither mounted at its directory nor attached.
    async fn put_down(&self, context: &Context, volume: &VolumeRef) -> Result<(), Error> {
        let file = self.file(context, volume).await?;
        let name = volume.handle.clone();
        let directory = self.blocking(context, move |this, context| this.directory(context, &name)).await?;
        self.pool.unstage(file.clone(), directory.clone()).await?;
        self.pool.detach(file).await?;
        self.blocking(context, move |this, context| {
            let host = |error| context.host(error);
            match this.host.file(&directory).map_err(host)? {
                Some(_) => this.host.remove_dir(&directory).map_err(host),
                None => Ok(()),
            }
        })
        .await
    }

    /// Takes everything down, and keeps the table: what is shown in it is exported again later.
    pub(in crate::drivers::nfs) async fn rest(&self) -> Result<(), Error> {
        let context = Context::new("stop exporting", "*");
        let table = self
            .blocking(&context, |this, context| {
                let table = this.table.server().table().map_err(|error| context.host(error))?;
                if table.is_some() {
                    this.table.stop(context)?;
                }
                Ok(table)
            })
            .await?;
        let mut first = None;
        for export in table.into_iter().flat_map(|table| table.exports) {
            let volume = VolumeRef {
                handle: export.name(),
                attributes: [].into(),
                deadline: crate::drivers::nfs::DEADLINE,
            };
            let context = Context::new("stop serving", &volume.handle);
            if let Err(error) = self.put_down(&context, &volume).await {
                tracing::warn!(volume = %volume.handle, error = error.message, "take down an export");
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Waits for the server's own end: not for one that was asked for.
    pub(in crate::drivers::nfs) async fn server_ends(&self, timeout: Duration) -> Result<bool, Error> {
        let context = Context::new("watch the NFS server", "*");
        self.blocking(&context, move |this, context| {
            if this.table.has_died(context)? {
                return Ok(true);
            }
            let ended = this.table.server().wait_for_end(timeout).map_err(|error| context.host(error))?;
            if ended && !this.table.has_died(context)? {
                // None is wanted: this is no reason to ask again at once.
                std::thread::sleep(timeout);
                return Ok(false);
            }
            Ok(ended)
        })
        .await
    }
}
