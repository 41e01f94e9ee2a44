//! Why the store does not do what it was asked for.

use std::sync::Arc;

use orlop_objects::Revision;

/// A store failure. A transaction's own failure is [`UpdateError::Refused`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The revision is older than what is kept: list again.
    #[error("revision {asked} is no longer kept (oldest: {oldest})")]
    Expired {
        /// The revision asked for.
        asked: Revision,
        /// The oldest revision that can still be asked for.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision {asked} is in the future (newest: {newest})")]
    Future {
        /// The revision asked for.
        asked: Revision,
        /// The newest revision.
        newest: Revision,
    },
    /// An earlier I/O error stopped all writes; reads go on.
    #[error(
        "the store takes no writes since an I/O error: {reason}; nothing that was acknowledged is lost: look after the \
         disk, then start Orlop again"
    )]
    Unavailable {
        /// What went wrong, in words.
        reason: Arc<str>,
    },
    /// The log is full and so is the disk behind it. Nothing was written; reads go on, and so do writes as soon as there
    /// is room again.
    #[error(
        "the disk of {path} is full: {free} MiB are free, and {needed} MiB are needed to write on; nothing that was \
         acknowledged is lost: free space there, and try again"
    )]
    Full {
        /// The directory.
        path: Arc<str>,
        /// How much is free, in MiB.
        free: u64,
        /// How much has to be free, in MiB.
        needed: u64,
    },
    /// The transaction lost against others, and so did its five reruns.
    #[error("the transaction conflicted with others, and so did its 5 reruns")]
    Conflict,
    /// The transaction breaks a limit: 64 objects, 1 MiB, one object of a kind.
    #[error("the transaction is refused: {reason}")]
    Limits {
        /// Which limit, and what the transaction holds.
        reason: String,
    },
    /// Opening or reading the engine failed.
    #[error("{operation} the store")]
    Engine {
        /// `open`, `read`, `create`, …
        operation: &'static str,
        /// What went wrong.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// An engine failure with its source.
    pub(crate) fn engine(
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Engine { operation, source: Arc::from(source.into()) }
    }
}

/// The error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |words, source| format!("{words}: {source}"))
}

/// What `Store::update` answers when it does not commit.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// The closure refused.
    #[error("refused")]
    Refused(E),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] Error),
}
