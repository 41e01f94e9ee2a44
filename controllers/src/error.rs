//! Why a verdict could not be carried out.

use orlop_objects::{DecodeError, Key};

/// A run that failed; the worker logs it once and tries again later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refused or the store could not.
    #[error("{operation} {key}")]
    Registry {
        /// What was being done, as in `bind`.
        operation: &'static str,
        /// To which object.
        key: Key,
        /// Why not.
        source: orlop_registry::Error,
    },
    /// A stored object cannot be read: nothing is decided about it, since unknown is not "absent".
    #[error("read {key}")]
    Decode {
        /// The key whose facts were gathered.
        key: Key,
        /// What is wrong with the object.
        source: DecodeError,
    },
}

impl Error {
    /// For `map_err`: wraps a refusal of the registry with what was being done to which object.
    pub(crate) fn doing(operation: &'static str, key: &Key) -> impl FnOnce(orlop_registry::Error) -> Self {
        let key = key.clone();
        move |source| Self::Registry { operation, key, source }
    }

    /// Whether the world merely moved on since the view was taken: look again, there is nothing to report.
    pub(crate) fn is_stale(&self) -> bool {
        use orlop_registry::Error as Refused;
        let Self::Registry { source, .. } = self else {
            return false;
        };
        matches!(
            source,
            Refused::Conflict { .. }
                | Refused::NotFound(_)
                | Refused::AlreadyExists(_)
                | Refused::Store(orlop_store::Error::Conflict)
        )
    }

    /// For `or_else`, of what is written beside: where somebody else was faster, the next look writes it again.
    pub(crate) fn unless_stale(self) -> Result<(), Self> {
        if self.is_stale() { Ok(()) } else { Err(self) }
    }
}

/// The world that was decided on has changed: raised inside a transaction, answered by another look.
pub(crate) fn stale(key: &Key) -> orlop_registry::Error {
    orlop_registry::Error::Conflict {
        key: key.clone(),
        reason: "it has changed since it was looked at".to_owned(),
    }
}
