//! From a failure of the machine to an error in CSI's words.

use std::{error::Error as _, io};

use crate::{
    driver::{Code, Error},
    host::{self, Cause},
};

/// Which call is under way for which volume.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) operation: &'static str,
    pub(super) volume: String,
}

impl Context {
    pub(super) fn new(operation: &'static str, volume: &str) -> Self {
        Self { operation, volume: volume.to_owned() }
    }

    /// An error of our own judgement.
    pub(super) fn fail(&self, code: Code, message: impl Into<String>) -> Error {
        Error {
            operation: self.operation,
            volume: self.volume.clone(),
            message: message.into(),
            code,
            source: None,
        }
    }

    /// An error of the machine. Its words are in the message as well, since an Event shows nothing else.
    pub(super) fn host(&self, error: host::Error) -> Error {
        let why = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Error {
            operation: self.operation,
            volume: self.volume.clone(),
            message: format!("{error}{why}"),
            code: code_of(&error.source),
            source: Some(Box::new(error)),
        }
    }
}

fn code_of(cause: &Cause) -> Code {
    match cause {
        Cause::Os(error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::ResourceExhausted,
            io::ErrorKind::FileTooLarge => Code::OutOfRange,
            io::ErrorKind::ResourceBusy => Code::FailedPrecondition,
            _ => Code::Internal,
        },
        Cause::Refused(_) => Code::FailedPrecondition,
        Cause::Program { .. } | Cause::Missing { .. } | Cause::Timeout(_) | Cause::Crashed => Code::Internal,
    }
}
