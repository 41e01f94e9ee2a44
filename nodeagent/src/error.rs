//! What can go wrong in the node agent, in terms of the operation and its object.

use std::path::PathBuf;

/// A failed step or look.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine said no.
    #[error("{source}: {}", .source.source)]
    Host {
        /// What it said.
        source: orlop_backends::host::Error,
    },
    /// A driver said no; its message is fit for an Event.
    #[error(transparent)]
    Driver(#[from] orlop_backends::driver::Error),
    /// The server said no, or is away.
    #[error("{0}")]
    Api(#[from] orlop_client::Error),
    /// The journal could not be read or written.
    #[error("{operation} the agent's journal {}", path.display())]
    Journal {
        /// `open`, `append to`, …
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A container cannot be prepared, for a reason that a user can mend.
    #[error("{message}")]
    Container {
        /// What the container's waiting reason says.
        reason: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// What is asked for cannot be done, or is not what it seems.
    #[error("{0}")]
    Refused(String),
    /// A file of the agent's own could not be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<orlop_backends::host::Error> for Error {
    fn from(source: orlop_backends::host::Error) -> Self {
        Self::Host { source }
    }
}

impl Error {
    /// The whole chain of causes, as an Event or a log line says it.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
