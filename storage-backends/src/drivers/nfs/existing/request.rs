//! What a class may ask for of a server that is there already. Pure.
//!
//! | parameter | values | default |
//! |---|---|---|
//! | `server`, `nfs.server` | the server's name or address | must be there |
//! | `share`, `path`, `nfs.path` | the path that it exports | must be there |
//! | `pathPattern`, `subDir` | the volume's directory: see `pattern` | `${namespace}-${claim}-${volume}`; with `nfs.csi.k8s.io` the volume's name |
//! | `onDelete` | `delete`, `retain`, `archive` | `delete`; with the subdir provisioner `archive` |
//! | `archiveOnDelete` | `true`, `false`; without effect beside `onDelete` | |
//! | `uid`, `gid` | the directory's owner and group | as the server makes it |
//! | `mode`, `mountPermissions` | octal; `0` = the default | `0777` |
//!
//! The subdir provisioner has its server and path from its deployment's environment, of which nothing is left here: its
//! classes name them as `server` and `share`, or as its chart does, `nfs.server` and `nfs.path`. A parameter that is
//! not in the table is refused by name.

use std::collections::BTreeMap;

use orlop_objects::nfs::{self, OnDelete};

use super::pattern;
use crate::{
    driver::Create,
    host::share::{Make, Marker, Share},
};

const KNOWN: &str =
    "server, share, pathPattern, subDir, onDelete, archiveOnDelete, uid, gid, mode, mountPermissions";

/// A volume to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) share: Share,
    pub(super) make: Make,
    pub(super) on_delete: OnDelete,
}

impl Spec {
    pub(super) fn parse(request: &Create) -> Result<Self, String> {
        let parameters = Parameters(&request.parameters);
        parameters.all_known()?;
        let share = parameters.share(&request.mount_options)?;
        let on_delete = OnDelete::of_class(&request.provisioner, &request.parameters)?;
        let directory = parameters.directory(request)?;
        let number = |name| parameters.number(name, 10);
        let mode = parameters.number("mode", 8)?.or(parameters.number("mountPermissions", 8)?);
        let marker = Marker {
            volume: request.name.clone(),
            claim: format!("{}/{}", request.claim.namespace, request.claim.name),
            directory: directory.join("/"),
            adopted: false,
        };
        let make = Make {
            directory,
            marker,
            uid: number("uid")?,
            gid: number("gid")?,
            mode: mode.filter(|mode| *mode != 0).unwrap_or(0o777),
            // Only what stays when the volume goes may have been there before it.
            adopt: on_delete == OnDelete::Retain,
        };
        if make.mode > 0o7777 {
            return Err(format!("parameter mode {:o} is not a mode; write for example 0770", make.mode));
        }
        Ok(Self { share, make, on_delete })
    }

    /// `spec.csi.volumeAttributes`: all that staging and removing need to know, whatever becomes of the class.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        let mut attributes: BTreeMap<String, String> = [
            ("server", self.share.server.clone()),
            ("share", self.share.path.clone()),
            ("subDir", self.make.directory.join("/")),
            ("onDelete", self.on_delete.text().to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if !self.share.options.is_empty() {
            attributes.insert("mountOptions".to_owned(), self.share.options.join(","));
        }
        attributes
    }
}

struct Parameters<'a>(&'a BTreeMap<String, String>);

impl Parameters<'_> {
    fn all_known(&self) -> Result<(), String> {
        let known = |name: &str| {
            KNOWN.split(", ").any(|known| known == name) || matches!(name, "nfs.server" | "nfs.path" | "path")
        };
        match self.0.keys().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => Err(format!("parameter {name:?} is not known; known are {KNOWN}")),
        }
    }

    /// The value of one of these names, and which it is; more than one is one too many.
    fn one<'a>(&'a self, names: &[&'a str]) -> Result<Option<(&'a str, &'a str)>, String> {
        let mut found = names.iter().filter_map(|name| Some((*name, self.0.get(*name)?.as_str())));
        match (found.next(), found.next()) {
            (Some((first, _)), Some((second, _))) => {
                Err(format!("parameters {first} and {second} say the same thing; leave one of them out"))
            }
            (one, _) => Ok(one),
        }
    }

    fn share(&self, mount_options: &[String]) -> Result<Share, String> {
        let missing = |what: &str, example: &str| {
            format!(
                "the class does not say {what}: add {example} to its parameters (a provisioner of another cluster may \
                 have had it from its deployment's environment; here the class says it)"
            )
        };
        let server = self.one(&nfs::SERVER_PARAMETERS)?;
        let (name, server) =
            server.ok_or_else(|| missing("which server its volumes are on", "server: nfs.example.org"))?;
        if let Some(why) = nfs::server(server) {
            return Err(format!("parameter {name} {server:?} {why}"));
        }
        let path = self.one(&nfs::SHARE_PARAMETERS)?;
        let (name, path) =
            path.ok_or_else(|| missing("which path of the server its volumes are on", "share: /srv/nfs"))?;
        if let Some(why) = nfs::path(path) {
            return Err(format!("parameter {name} {path:?} {why}"));
        }
        nfs::options(mount_options)?;
        Ok(Share { server: server.to_owned(), path: path.to_owned(), options: mount_options.to_owned() })
    }

    fn directory(&self, request: &Create) -> Result<Vec<String>, String> {
        let default = match request.provisioner.as_str() {
            nfs::CSI_DRIVER_NFS => "${volume}",
            _ => pattern::DEFAULT,
        };
        let (name, pattern) = match self.one(&["pathPattern", "subDir"])? {
            Some((name, pattern)) if !pattern.is_empty() => (name, pattern),
            _ => ("pathPattern", default),
        };
        pattern::directory(name, pattern, &request.claim, &request.name)
    }

    fn number(&self, name: &str, radix: u32) -> Result<Option<u32>, String> {
        let Some(text) = self.0.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, radix) {
            Ok(number) if !digits.starts_with('+') && number != u32::MAX => Ok(Some(number)),
            _ => Err(format!(
                "parameter {name} {text:?} is not a number{}",
                if radix == 8 { " in octal, as 0770" } else { "" }
            )),
        }
    }
}

#[cfg(test)]
mod tests;
