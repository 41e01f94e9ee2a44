//! Why a container cannot be described. Each names the field of the pod's spec and the way out.

use std::path::PathBuf;

/// A failure to make a bundle.
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
    /// The pod asks for something that cannot be honoured.
    #[error("{field}: {reason}")]
    Refused {
        /// The field, as in a container's manifest.
        field: &'static str,
        /// Why, and what to write instead.
        reason: String,
    },
    /// Neither the pod nor the image names a program.
    #[error("command: neither the container nor its image {image} names a program to run; set command")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// `runAsNonRoot` and the process would be root (kubelet's words: tools match on them).
    #[error("container has runAsNonRoot and image will run as root")]
    RunsAsRoot,
}

/// Adds operation and path to an I/O error.
pub(super) trait At<T> {
    /// Names what was done to what.
    fn at(self, operation: &'static str, path: &std::path::Path) -> Result<T, Error>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, operation: &'static str, path: &std::path::Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { operation, path: path.to_owned(), source: source.into() })
    }
}
