//! Making a volume: under a temporary name until it is complete and durable.

use std::path::Path;

use super::{
    accounts,
    fault::Context,
    pools::Pool,
    request::{Handle, Spec},
};
use crate::{
    driver::{Code, Error, Volume},
    host::{self, Probe},
};

pub(super) fn create(pool: &Pool, context: &Context, spec: &Spec) -> Result<Volume, Error> {
    let Some(promise) = accounts::promise(pool, context, spec)? else {
        check_same(pool, context, spec)?;
        return Ok(accounts::volume(pool, &spec.handle, spec.bytes, spec.fs_type));
    };
    let making = pool.dir.join(spec.handle.making_name());
    let complete = pool.path(&spec.handle);
    make(pool, spec, &making, &complete).map_err(|error| {
        // The first error is the one that tells; the next try or start removes the file as well.
        let _ = remove_left_over(pool, &making);
        context.host(error)
    })?;
    drop(promise);
    check_same(pool, context, spec)?;
    tracing::info!(volume = %spec.handle, bytes = spec.bytes, fs_type = %spec.fs_type, "volume made");
    Ok(accounts::volume(pool, &spec.handle, spec.bytes, spec.fs_type))
}

fn make(pool: &Pool, spec: &Spec, making: &Path, complete: &Path) -> host::Result<()> {
    let host = pool.host.as_ref();
    // In a shared pool the file is the promise, and is there already.
    if !pool.shared {
        remove_left_over(pool, making)?;
        host.create_sparse(making, spec.bytes)?;
    }
    if spec.thick {
        host.allocate(making, spec.bytes)?;
    }
    host.make_filesystem(making, spec.fs_type, &spec.handle.uuid())?;
    host.sync_file(making)?;
    // Whoever counts the pool's files must find this one under one name or the other.
    let _turn = pool.turn()?;
    host.rename(making, complete)
}

fn remove_left_over(pool: &Pool, making: &Path) -> host::Result<()> {
    if pool.host.file(making)?.is_some() { pool.host.remove_file(making) } else { Ok(()) }
}

/// A complete file holds the file system that is asked for, or it is not the volume that is asked for.
fn check_same(pool: &Pool, context: &Context, spec: &Spec) -> Result<(), Error> {
    let found = pool.host.probe(&pool.path(&spec.handle)).map_err(|error| context.host(error))?;
    match judge(&found, &spec.handle) {
        Ok(kind) if kind == spec.fs_type.to_string() => Ok(()),
        Ok(kind) => {
            let why = format!("it exists with file system {kind} and not {}", spec.fs_type);
            Err(context.fail(Code::AlreadyExists, why))
        }
        Err(why) => Err(context.fail(Code::DataLoss, why)),
    }
}

/// The type of the file system that a volume holds, when it is the volume's own. Nothing here is ever formatted anew:
/// a file that is complete and blank has lost its data.
pub(super) fn judge<'a>(found: &'a Probe, handle: &Handle) -> Result<&'a str, String> {
    let lost = "it is not touched; restore it from a backup, or delete the claim";
    match found {
        Probe::FileSystem { kind, uuid: Some(uuid) } if *uuid == handle.uuid() => Ok(kind),
        Probe::FileSystem { kind, uuid } => Err(format!(
            "it is damaged or another volume's: it holds {kind} with UUID {} instead of {}; {lost}",
            uuid.as_deref().unwrap_or("none"),
            handle.uuid()
        )),
        Probe::Blank => {
            Err(format!("it is damaged: it was formatted when it was made and is blank now; {lost}"))
        }
        Probe::Other(what) => Err(format!("it is damaged: it holds {what}; {lost}")),
    }
}
