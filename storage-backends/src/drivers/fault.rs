//! From a failure of the machine to an error in CSI's words.

use std::{error::Error as _, io};

use crate::{
    driver::{Code, Error},
    host::{self, Cause},
};

/// Which call is under way for which volume.
#[derive(Clone, Debug)]
pub(in crate::drivers) struct Context {
    pub(in crate::drivers) operation: &'static str,
    pub(in crate::drivers) volume: String,
}

impl Context {
    pub(in crate::drivers) fn new(operation: &'static str, volume: &str) -> Self {
        Self { operation, volume: volume.to_owned() }
    }

    /// An error of our own judgement.
    pub(in crate::drivers) fn fail(&self, code: Code, message: impl Into<String>) -> Error {
        Error {
            operation: self.operation,
            volume: self.volume.clone(),
            message: message.into(),
            code,
            source: None,
        }
    }

    /// An error of the machine. Its words are in the message as well, since an Event shows nothing else.
    pub(in crate::drivers) fn host(&self, error: host::Error) -> Error {
        let why = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let hint = hint(&error.source).map(|hint| format!("; {hint}")).unwrap_or_default();
        Error {
            operation: self.operation,
            volume: self.volume.clone(),
            message: format!("{error}{why}{hint}"),
            code: code_of(&error.source),
            source: Some(Box::new(error)),
        }
    }
}

/// What the kernel's one word does not say.
fn hint(cause: &Cause) -> Option<&'static str> {
    let Cause::Os(error) = cause else { return None };
    match error.kind() {
        io::ErrorKind::ResourceBusy => {
            Some("a process still has files open there, or works in it: it must end first")
        }
        io::ErrorKind::StorageFull => Some("the disk that holds the pool is full: make room on it"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is read-only: see `dmesg` for why"),
        io::ErrorKind::PermissionDenied => Some("Orlop must run as root"),
        _ => None,
    }
}

fn code_of(cause: &Cause) -> Code {
    match cause {
        Cause::Os(error) | Cause::Told { error, .. } => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::ResourceExhausted,
            io::ErrorKind::FileTooLarge => Code::OutOfRange,
            io::ErrorKind::ResourceBusy => Code::FailedPrecondition,
            _ => Code::Internal,
        },
        Cause::Refused(_) | Cause::NotIts(_) => Code::FailedPrecondition,
        Cause::Program { .. }
        | Cause::Missing { .. }
        | Cause::Timeout(_)
        | Cause::Unsupported(_)
        | Cause::Hanging { .. }
        | Cause::Crashed => Code::Internal,
    }
}
