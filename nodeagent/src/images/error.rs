//! What can go wrong with images. Knows no path of the store's inside.

use std::path::PathBuf;

/// A failure of the image store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused something.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is no image archive.
    #[error(
        "{} is not an image archive: {reason}; expected what `docker save IMAGE -o FILE` writes, or an OCI image layout in a tar",
        path.display()
    )]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What was missing or wrong.
        reason: String,
    },
    /// The archive is one, and is damaged or lies about its content.
    #[error("image archive {}: {reason}; nothing was loaded from it, make it anew", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An archive holds something that must not be unpacked.
    #[error("image archive {}: layer {layer}: {entry:?}: {reason}", path.display())]
    Unsafe {
        /// The archive.
        path: PathBuf,
        /// The layer's digest.
        layer: String,
        /// The entry's name in the layer.
        entry: String,
        /// Why it is refused.
        reason: String,
    },
    /// The image was made for another kind of machine.
    #[error("image {reference} is for {found}, this machine is {wanted}: load one made for it")]
    Platform {
        /// The image.
        reference: String,
        /// `os/architecture` of the image.
        found: String,
        /// `os/architecture` of this machine.
        wanted: String,
    },
    /// The reference does not follow the grammar of image names.
    #[error("image reference {reference:?}: {reason}")]
    Reference {
        /// What was given.
        reference: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no such image here.
    #[error(
        "image {0} is not here: load it with `orlop image load FILE`, see what there is with `orlop image ls`"
    )]
    NotFound(String),
    /// A container needs the image.
    #[error("image {0} is in use by a container: delete the pods that run it first")]
    InUse(String),
    /// It cannot be told what containers need.
    #[error("look which images containers run from; nothing was removed")]
    Look(#[source] orlop_backends::host::Error),
    /// The store's own record cannot be read.
    #[error("image store record {}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A full disk is the one error here that a user meets daily: it gets the way out.
fn explain(source: std::io::Error) -> std::io::Error {
    match source.kind() {
        kind @ (std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) => std::io::Error::new(
            kind,
            format!(
                "{source}: free space there (`orlop image rm`), then load again; nothing half made was left"
            ),
        ),
        _ => source,
    }
}

impl Error {
    /// The kernel refused something.
    pub(super) fn io(operation: &'static str, path: PathBuf, source: std::io::Error) -> Self {
        Self::Io { operation, path, source: explain(source) }
    }
}

/// Adds operation and path to an I/O error.
pub(super) trait At<T> {
    /// Names what was done to what.
    fn at(self, operation: &'static str, path: &std::path::Path) -> Result<T, Error>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, operation: &'static str, path: &std::path::Path) -> Result<T, Error> {
        self.map_err(|source| Error::io(operation, path.to_owned(), source.into()))
    }
}
