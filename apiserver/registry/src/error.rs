//! Why the door stayed shut.

use orlop_objects::{FieldError, Key, quote};

/// Why the door stayed shut. `apiserver` alone knows which status code that is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(Key),
    /// There is one already.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// Somebody else changed it first: read again and retry.
    #[error("operation cannot be fulfilled on {key}: {reason}")]
    Conflict {
        /// The object.
        key: Key,
        /// What does not match.
        reason: String,
    },
    /// Fields are wrong.
    #[error("{key} is invalid: {}", .causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Invalid {
        /// The object.
        key: Key,
        /// Every wrong field.
        causes: Vec<FieldError>,
    },
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The writer may not do this.
    #[error("{key}: forbidden: {reason}")]
    Forbidden {
        /// The object.
        key: Key,
        /// Why, and the way out.
        reason: String,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] orlop_store::Error),
}

impl Error {
    /// Kubernetes' words for a lost race; tools match on them.
    pub(crate) fn stale(key: &Key) -> Self {
        let reason =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::Conflict { key: key.clone(), reason: reason.to_owned() }
    }

    /// A uid that the caller expected and the object does not have.
    pub(crate) fn other_uid(key: &Key, wanted: &str, found: &str) -> Self {
        let wanted = quote::text(wanted);
        let reason =
            format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
        Self::Conflict { key: key.clone(), reason }
    }
}
