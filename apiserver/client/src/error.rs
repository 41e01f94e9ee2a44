//! Why a call failed.

use serde_json::Value;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server said no; `status` is its Status object.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The machine-readable reason, as in `NotFound`.
        reason: String,
        /// The server's words.
        message: String,
        /// The whole Status.
        status: Value,
    },
    /// The server could not be reached, or broke off.
    #[error("{operation} {path}")]
    Unreachable {
        /// The method.
        operation: &'static str,
        /// The path.
        path: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The HTTP status, where the server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable { .. } => None,
        }
    }

    /// Whether another attempt may go better without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code, 429 | 500..),
            Self::Unreachable { .. } => true,
        }
    }

    /// A refusal, read from a response.
    pub(crate) fn refused(code: u16, body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |field: &str| status[field].as_str().map(str::to_owned);
        Self::Refused {
            code,
            reason: text("reason").unwrap_or_default(),
            message: text("message")
                .unwrap_or_else(|| format!("HTTP {code}: {}", String::from_utf8_lossy(body).trim())),
            status,
        }
    }
}
