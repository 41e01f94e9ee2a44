//! `DIR/pki` of an agent: `node.key`, `node.crt`, `ca.crt`, each 0600, written beside its place and renamed. The
//! certificate comes last: where it is, everything is.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::{IdentityError, Papers, papers};

const KEY: &str = "node.key";
pub(super) const CERTIFICATE: &str = "node.crt";
const AUTHORITY: &str = "ca.crt";

/// What is stored, if the node has joined.
pub(super) fn read(dir: &Path) -> Result<Option<Papers>, IdentityError> {
    let Some(certificate) = one(dir, CERTIFICATE)? else { return Ok(None) };
    let missing =
        |name: &str| IdentityError::Damaged { path: dir.join(name), reason: "it is missing".to_owned() };
    let key = one(dir, KEY)?.ok_or_else(|| missing(KEY))?;
    let authority = one(dir, AUTHORITY)?.ok_or_else(|| missing(AUTHORITY))?;
    Ok(Some(Papers { key, certificate, authority }))
}

/// The node's key, made on first use; on disk before it is used.
pub(super) fn key(dir: &Path) -> Result<String, IdentityError> {
    if let Some(key) = one(dir, KEY)? {
        return Ok(key);
    }
    let key = papers::key()?;
    write_one(dir, KEY, &key)?;
    Ok(key)
}

pub(super) fn write(dir: &Path, papers: &Papers) -> Result<(), IdentityError> {
    write_one(dir, KEY, &papers.key)?;
    write_one(dir, AUTHORITY, &papers.authority)?;
    write_one(dir, CERTIFICATE, &papers.certificate)
}

fn one(dir: &Path, name: &str) -> Result<Option<String>, IdentityError> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::File { operation: "read", path, source }),
    }
}

fn write_one(dir: &Path, name: &str, text: &str) -> Result<(), IdentityError> {
    let path = dir.join(name);
    let new = dir.join(format!("{name}.new"));
    let written = (|| {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        fs::File::open(dir)?.sync_all()
    })();
    written.map_err(|source| IdentityError::File { operation: "write", path, source })
}
