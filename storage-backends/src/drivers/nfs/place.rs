//! Where a volume is, as its attributes say. Pure: what a PersistentVolume holds is text from outside, so every part is
//! checked again here, whoever wrote it.
//!
//! | attributes | place |
//! |---|---|
//! | `export: own`, `node`, `server`, `port`, `path` | an export of Orlop's own: [`Own`] |
//! | `server`, `share`, `subDir`, `onDelete`, `mountOptions` | a directory of a share that is there already: [`Existing`] |
//! | `server`, `share` and no `subDir` | the share itself, of a volume that people made: never removed |

use std::collections::BTreeMap;

/// Where a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a server that is there already.
    Existing(Existing),
    /// On an export of Orlop's own.
    Own(Own),
}

/// On a server that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Existing {
    /// Its name or address.
    pub(super) server: String,
    /// The path that it exports.
    pub(super) share: String,
    /// The volume's directory in it, part by part; empty for the whole share.
    pub(super) directory: Vec<String>,
}

/// On an export of Orlop's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// The node whose agent serves it.
    pub(super) node: String,
    /// That node's address.
    pub(super) server: String,
    /// Where its server listens.
    pub(super) port: u16,
    /// The path that it exports.
    pub(super) path: String,
}

impl Place {
    /// Reads `spec.csi.volumeAttributes`.
    pub(super) fn parse(attributes: &BTreeMap<String, String>) -> Result<Self, String> {
        match attributes.get("export").map(String::as_str) {
            Some("own") => Own::parse(attributes).map(Self::Own),
            Some(other) => Err(format!("volumeAttributes export is {other:?}; it can be own, or left out")),
            None => Existing::parse(attributes).map(Self::Existing),
        }
    }
}

fn text<'a>(attributes: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, String> {
    attributes
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("volumeAttributes have no {name}, so nobody knows where the volume is"))
}

impl Own {
    fn parse(attributes: &BTreeMap<String, String>) -> Result<Self, String> {
        let port = text(attributes, "port")?;
        Ok(Self {
            node: text(attributes, "node")?.to_owned(),
            server: text(attributes, "server")?.to_owned(),
            port: port.parse().map_err(|_| format!("volumeAttributes port is {port:?} and no port"))?,
            path: text(attributes, "path")?.to_owned(),
        })
    }
}

impl Existing {
    fn parse(attributes: &BTreeMap<String, String>) -> Result<Self, String> {
        let directory = attributes.get("subDir").map(String::as_str).unwrap_or_default();
        Ok(Self {
            server: text(attributes, "server")?.to_owned(),
            share: text(attributes, "share")?.to_owned(),
            directory: directory.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        })
    }
}
