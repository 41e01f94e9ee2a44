//! Where a volume is, as its attributes say. Pure: what a PersistentVolume holds is text from outside, so every part is
//! checked again here, whoever wrote it.
//!
//! | attributes | place |
//! |---|---|
//! | `export: own`, `node`, `server`, `port`, `path`, `pool` (none: `default`) | an export of Orlop's own: [`Own`] |
//! | `server`, `share`, `subDir`, `onDelete`, `mountOptions` | a directory of a share that is there already: [`Existing`] |
//! | `server`, `share` and no `subDir` | the share itself, of a volume that people made: never removed |

use std::{collections::BTreeMap, net::IpAddr};

use orlop_objects::nfs::{self, OnDelete};

use crate::{
    driver::{Code, Error, Stage},
    drivers::{
        fault::Context,
        loop_file::{DEFAULT_POOL, check_pool_name},
    },
    host::Share,
};

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
    /// What becomes of the directory when the volume is deleted.
    pub(super) on_delete: OnDelete,
    /// How the share is mounted while something is done on it.
    pub(super) options: Vec<String>,
}

/// On an export of Orlop's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// The node whose agent serves it.
    pub(super) node: String,
    /// That node's address.
    pub(super) server: IpAddr,
    /// Where its server listens.
    pub(super) port: u16,
    /// The path that it exports.
    pub(super) path: String,
    /// The pool of that node that holds it; `None` for the one called `default`.
    pub(super) pool: Option<String>,
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

/// The pool that a volume's attributes name; `None` for the one called `default`.
pub(super) fn pool(attributes: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    let named = attributes.get("pool").filter(|pool| *pool != DEFAULT_POOL);
    if let Some(pool) = named {
        check_pool_name(pool).map_err(|why| format!("volumeAttributes pool: {why}"))?;
    }
    Ok(named.cloned())
}

impl Own {
    fn parse(attributes: &BTreeMap<String, String>) -> Result<Self, String> {
        let (server, port) = (text(attributes, "server")?, text(attributes, "port")?);
        Ok(Self {
            node: text(attributes, "node")?.to_owned(),
            server: server
                .parse()
                .map_err(|_| format!("volumeAttributes server is {server:?} and no address"))?,
            port: port.parse().map_err(|_| format!("volumeAttributes port is {port:?} and no port"))?,
            path: text(attributes, "path")?.to_owned(),
            pool: pool(attributes)?,
        })
    }

    /// The attributes that say so.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        let (server, port) = (self.server.to_string(), self.port.to_string());
        let all = [
            ("export", "own"),
            ("node", self.node.as_str()),
            ("server", server.as_str()),
            ("port", port.as_str()),
            ("path", self.path.as_str()),
        ];
        let pool = self.pool.iter().map(|pool| ("pool", pool.as_str()));
        all.into_iter().chain(pool).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What it is to a node that does not keep it: a share like any other, of the one version and at the one port that
    /// its server has, from a port of the kind that it hears, whatever the class's options say.
    pub(super) fn into_share(
        self,
        context: &Context,
        mut request: Stage,
    ) -> Result<(Existing, Stage), Error> {
        if self.path != format!("/{}", request.volume.handle) {
            let why = format!("volumeAttributes path is {:?} and not this volume's", self.path);
            return Err(context.fail(Code::InvalidArgument, why));
        }
        let (port, own) = (format!("port={}", self.port), ["nfsvers=4.2", "resvport"]);
        request.mount_options.push(port);
        request.mount_options.extend(own.map(str::to_owned));
        let existing = Existing {
            server: self.server.to_string(),
            share: self.path,
            directory: Vec::new(),
            on_delete: OnDelete::Retain,
            options: Vec::new(),
        };
        Ok((existing, request))
    }
}

impl Existing {
    fn parse(attributes: &BTreeMap<String, String>) -> Result<Self, String> {
        let server = text(attributes, "server")?;
        if let Some(why) = nfs::server(server) {
            return Err(format!("volumeAttributes server {server:?} {why}"));
        }
        let share = text(attributes, "share")?;
        if let Some(why) = nfs::path(share) {
            return Err(format!("volumeAttributes share {share:?} {why}"));
        }
        let directory = match attributes.get("subDir") {
            None => Vec::new(),
            Some(directory) => nfs::directory(directory)
                .map_err(|why| format!("volumeAttributes subDir {directory:?}: {why}"))?,
        };
        let on_delete = match attributes.get("onDelete") {
            None => OnDelete::Retain,
            Some(word) => OnDelete::parse(word).ok_or_else(|| {
                format!("volumeAttributes onDelete {word:?} is none of delete, retain and archive")
            })?,
        };
        let options: Vec<String> = attributes.get("mountOptions").cloned().into_iter().collect();
        nfs::options(&options)?;
        Ok(Self { server: server.to_owned(), share: share.to_owned(), directory, on_delete, options })
    }

    /// The share that it is on.
    pub(super) fn share(&self) -> Share {
        Share { server: self.server.clone(), path: self.share.clone(), options: self.options.clone() }
    }

    /// As the mount table names it.
    pub(super) fn source(&self) -> String {
        let share = self.share().to_string();
        let share = share.trim_end_matches('/').to_owned();
        self.directory.iter().fold(share, |source, part| format!("{source}/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::VolumeRef;

    /// A class cannot talk a node into a way of mounting that the keeper's server does not hear.
    #[test]
    fn an_export_is_mounted_as_its_server_wants() {
        let handle = "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77".to_owned();
        let (path, pool) = (format!("/{handle}"), Some("fast".to_owned()));
        let own = Own { node: "n".into(), server: [10, 0, 0, 2].into(), port: 20_001, path, pool };
        assert_eq!(Own::parse(&own.attributes()), Ok(own.clone()));
        let asked = ["noresvport", "port=2049,nfsvers=3", "soft"].map(str::to_owned).to_vec();
        let request = Stage {
            volume: VolumeRef { handle, attributes: own.attributes(), deadline: super::super::DEADLINE },
            device: None,
            target: "/staged".into(),
            fs_type: None,
            mount_options: asked,
        };
        let (_, request) = own.into_share(&Context::new("stage", "v"), request).unwrap();
        let options = nfs::options(&request.mount_options).unwrap();
        assert_eq!((options.port, options.versions), (Some(20_001), vec![nfs::Version::V4(2)]));
        let ports: Vec<_> = options.client.iter().filter(|(name, _)| name.contains("resvport")).collect();
        assert_eq!(ports.last().map(|(name, _)| *name), Some("resvport"), "the last one counts");
    }

    #[test]
    fn a_pool_is_a_name_and_never_a_path() {
        let named = |name: &str| pool(&[("pool".to_owned(), name.to_owned())].into());
        assert_eq!(named("fast"), Ok(Some("fast".to_owned())));
        assert_eq!((named(DEFAULT_POOL), pool(&BTreeMap::new())), (Ok(None), Ok(None)));
        for bad in ["", "..", "a/b", "Fast", "a\"; } EXPORT {"] {
            assert!(named(bad).unwrap_err().contains("volumeAttributes pool"), "{bad}");
        }
    }
}
