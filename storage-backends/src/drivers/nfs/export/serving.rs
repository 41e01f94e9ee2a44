//! What the keeper's agent asks for: the calls of [`Serving`], for volumes that this node keeps.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use futures::future::BoxFuture;

use super::{Exports, calls::exports};
use crate::{
    driver::{Code, Error, Served, Serving, VolumeRef},
    drivers::{
        fault::Context,
        nfs::{
            NfsDriver, parse,
            place::{Own, Place},
        },
    },
};

impl NfsDriver {
    /// The exports, and what the volume says of itself, where this node keeps it.
    fn kept(&self, context: &Context, volume: &VolumeRef) -> Result<(&Exports, Own), Error> {
        let exports = exports(&self.inner, context)?;
        match parse(context, volume)?.1 {
            Place::Own(own) if exports.keeps(&own) => Ok((exports, own)),
            _ => Err(context.fail(Code::InvalidArgument, "it is not this node that serves it")),
        }
    }
}

impl Serving for NfsDriver {
    fn serves(&self, volume: &VolumeRef) -> bool {
        self.kept(&Context::new("serve", &volume.handle), volume).is_ok()
    }

    fn served(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(async { exports(&self.inner, &Context::new("list exports", "*"))?.served().await })
    }

    fn look(&self, volume: VolumeRef, clients: BTreeSet<IpAddr>) -> BoxFuture<'_, Result<Served, Error>> {
        Box::pin(async move {
            let context = Context::new("look at the export of", &volume.handle);
            exports(&self.inner, &context)?.look(&context, &volume, clients).await
        })
    }

    fn serve(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("serve", &volume.handle);
            let (exports, _) = self.kept(&context, &volume)?;
            let _mine = self.inner.busy.claim(&context, volume.deadline).await?;
            exports.serve(&context, &volume).await
        })
    }

    fn export(&self, volume: VolumeRef, clients: BTreeSet<IpAddr>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("export", &volume.handle);
            let (exports, own) = self.kept(&context, &volume)?;
            exports.export(&context, &own, &volume, clients).await
        })
    }

    fn unserve(&self, volume: VolumeRef) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let context = Context::new("stop serving", &volume.handle);
            let exports = exports(&self.inner, &context)?;
            let _mine = self.inner.busy.claim(&context, volume.deadline).await?;
            exports.end(&context, &volume).await
        })
    }

    fn rest(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { exports(&self.inner, &Context::new("stop exporting", "*"))?.rest().await })
    }

    fn server_ends(&self, timeout: Duration) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            exports(&self.inner, &Context::new("watch the NFS server", "*"))?.server_ends(timeout).await
        })
    }
}
