//! Images of this node: a content store with unpacked layers, filled from archives. Knows no pod and no container.
//!
//! ```text
//!  orlop image load FILE ─► archive (docker save, OCI layout) ─► digests checked while streaming ─► unpack ─┐
//!                                                                                                        ▼
//!  DIR/images/  lock              one writer at a time, across processes
//!               mounting          held by who mounts layers, against who removes them
//!               references.json   which name is which image; replaced by rename
//!               blobs/sha256/     configurations, by digest
//!               layers/           unpacked, in overlayfs's form, by chain id; complete or not there
//!               tmp/              work in progress; emptied by whoever holds the lock next
//! ```
//!
//! A layer and a name appear by one rename each, after everything beneath is on disk: a crash leaves work in `tmp`,
//! never half an image.

mod archive;
mod config;
mod error;
mod load;
mod oci_layout;
mod reference;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod unpack;
mod used;

use std::path::PathBuf;

pub use config::ImageConfig;
pub use error::Error;
pub use reference::Reference;
pub use store::ImageStore;

/// An image that is complete here.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its full name: `docker.io/library/busybox:latest`; its id where it has no name.
    pub reference: String,
    /// Digest of its configuration: `sha256:…`.
    pub id: String,
    /// Bytes of its unpacked files.
    pub size: u64,
    /// How it wants to be run.
    pub config: ImageConfig,
    /// Its unpacked layers, topmost first.
    pub layers: Vec<PathBuf>,
}

/// What removing a reference took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The references that are gone.
    pub references: Vec<String>,
    /// Ids of the images that no reference named any more.
    pub images: Vec<String>,
    /// Bytes of the layers that went with them.
    pub bytes: u64,
}

#[cfg(test)]
mod tests;
