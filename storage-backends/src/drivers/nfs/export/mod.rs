//! Orlop's own exports: each volume a loop file with a file system of its own, served by nfs-ganesha.
//!
//! Not built yet: every call says so.

use super::{Inner, place::Own};
use crate::{
    driver::{Code, Create, Error, Publish, Stage, Volume},
    drivers::fault::Context,
};

fn not_built(context: &Context) -> Error {
    let why = "Orlop does not serve exports of its own yet; name a server that is there already in the class's \
               parameters server and share";
    context.fail(Code::Unimplemented, why)
}

pub(super) async fn create(_: &Inner, context: &Context, _: Create) -> Result<Volume, Error> {
    Err(not_built(context))
}

pub(super) async fn delete(_: &Inner, context: &Context, _: &Own) -> Result<(), Error> {
    Err(not_built(context))
}

pub(super) async fn stage(_: &Inner, context: &Context, _: &Own, _: Stage) -> Result<(), Error> {
    Err(not_built(context))
}

pub(super) async fn publish(_: &Inner, context: &Context, _: &Own, _: Publish) -> Result<(), Error> {
    Err(not_built(context))
}
