//! What becomes of a volume's directory when the volume is deleted, as its class says.
//!
//! | `onDelete` | `archiveOnDelete` | then |
//! |---|---|---|
//! | `delete`, `retain`, `archive` | any | that |
//! | none | `true`, `false` | archive, delete |
//! | none | none | delete; with the subdir provisioner archive |

use std::collections::BTreeMap;

use super::SUBDIR_PROVISIONER;

/// What becomes of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// It is removed.
    Delete,
    /// It stays.
    Retain,
    /// It is renamed to `archived-…`.
    Archive,
}

impl OnDelete {
    /// The word's meaning.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "delete" => Some(Self::Delete),
            "retain" => Some(Self::Retain),
            "archive" => Some(Self::Archive),
            _ => None,
        }
    }

    /// The word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Retain => "retain",
            Self::Archive => "archive",
        }
    }

    /// What a class asks for.
    pub fn of_class(provisioner: &str, parameters: &BTreeMap<String, String>) -> Result<Self, String> {
        let archive = match parameters.get("archiveOnDelete").map(String::as_str) {
            None => None,
            Some("true") => Some(Self::Archive),
            Some("false") => Some(Self::Delete),
            Some(other) => {
                return Err(format!("parameter archiveOnDelete {other:?} is neither true nor false"));
            }
        };
        match parameters.get("onDelete") {
            Some(text) if !text.is_empty() => Self::parse(text)
                .ok_or_else(|| format!("parameter onDelete {text:?} is none of delete, retain and archive")),
            _ if provisioner == SUBDIR_PROVISIONER => Ok(archive.unwrap_or(Self::Archive)),
            _ => Ok(archive.unwrap_or(Self::Delete)),
        }
    }
}
