//! The driver's calls for volumes of Orlop's own that this node keeps. To any other node they are shares of a server.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::Exports;
use crate::{
    driver::{Capacity, Code, Create, Error, Publish, Stage, Volume, VolumeRef},
    drivers::{
        fault::Context,
        nfs::{Inner, Layer, place::Own},
    },
};

/// This node's exports.
pub(super) fn exports<'a>(inner: &'a Inner, context: &Context) -> Result<&'a Exports, Error> {
    inner.exports.as_ref().ok_or_else(|| {
        let why = "this agent has no exports of its own; name a server that is there in the class's parameters server \
                   and share";
        context.fail(Code::Unimplemented, why)
    })
}

/// What the attributes of a volume to be made will be, as far as removing it needs them.
pub(in crate::drivers::nfs) fn attributes(
    inner: &Inner,
    request: &Create,
) -> Result<BTreeMap<String, String>, Error> {
    exports(inner, &Context::new("create", &request.name))?.attributes_to_be(request)
}

pub(in crate::drivers::nfs) async fn create(
    inner: &Inner,
    context: &Context,
    request: Create,
) -> Result<Volume, Error> {
    exports(inner, context)?.create(context, request).await
}

pub(in crate::drivers::nfs) async fn delete(
    inner: &Inner,
    context: &Context,
    own: &Own,
    volume: &VolumeRef,
) -> Result<(), Error> {
    let exports = exports(inner, context)?;
    if !exports.keeps(own) {
        let why = format!("its data is on node {}, and only that node's agent can remove it", own.node);
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    exports.delete(context, volume).await
}

pub(in crate::drivers::nfs) async fn list(inner: &Inner) -> Result<Vec<Volume>, Error> {
    match &inner.exports {
        Some(exports) => exports.list().await,
        None => Ok(Vec::new()),
    }
}

pub(in crate::drivers::nfs) async fn capacity(inner: &Inner) -> Result<Capacity, Error> {
    exports(inner, &Context::new("capacity", "*"))?.capacity().await
}

/// Whether this node keeps the volume.
pub(in crate::drivers::nfs) fn keeps(inner: &Inner, own: &Own) -> bool {
    inner.exports.as_ref().is_some_and(|exports| exports.keeps(own))
}

pub(in crate::drivers::nfs) async fn stage(
    inner: &Inner,
    context: &Context,
    request: Stage,
) -> Result<(), Error> {
    exports(inner, context)?.stage_here(context, request).await
}

pub(in crate::drivers::nfs) async fn publish(
    inner: &Inner,
    context: &Context,
    request: Publish,
) -> Result<(), Error> {
    exports(inner, context)?.publish_here(context, request).await
}

/// Whether what is mounted there came from another node.
pub(in crate::drivers::nfs) async fn is_client_mount(
    inner: &Inner,
    context: &Context,
    target: &Path,
) -> Result<bool, Error> {
    exports(inner, context)?.is_client_mount(context, target).await
}

/// Takes away what this node itself has mounted there.
pub(in crate::drivers::nfs) async fn take_away(
    inner: &Inner,
    context: &Context,
    layer: Layer,
    volume: VolumeRef,
    target: PathBuf,
) -> Result<(), Error> {
    let exports = exports(inner, context)?;
    match layer {
        Layer::Staged => exports.unstage_here(context, volume, target).await,
        Layer::Published => exports.unpublish_here(context, volume, target).await,
    }
}
