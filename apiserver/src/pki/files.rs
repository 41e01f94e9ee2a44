//! The files of the authority: read, and written so that a crash leaves the old or the new one.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::{Certified, PkiError};

/// Makes the directory, 0700.
pub(super) fn directory(dir: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)))
        .map_err(failed("create", dir))
}

/// Reads `NAME.crt` and `NAME.key`, or makes and writes both where the certificate is missing.
pub(super) fn pair(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> Result<Certified, PkiError>,
) -> Result<Certified, PkiError> {
    if let Some(pair) = read_pair(dir, name)? {
        return Ok(pair);
    }
    let pair = make()?;
    write_pair(dir, name, &pair)?;
    Ok(pair)
}

/// Reads a pair; `None` where the certificate is missing. A certificate without its key is damage.
pub(super) fn read_pair(dir: &Path, name: &str) -> Result<Option<Certified>, PkiError> {
    let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    match (read(&certificate)?, read(&key)?) {
        (None, _) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Certified { certificate, key })),
        (Some(_), None) => Err(PkiError::Damaged { path: key, reason: "it is missing".to_owned() }),
    }
}

/// Writes a pair, the key first.
pub(super) fn write_pair(dir: &Path, name: &str, pair: &Certified) -> Result<(), PkiError> {
    write(&dir.join(format!("{name}.key")), &pair.key)?;
    write(&dir.join(format!("{name}.crt")), &pair.certificate)
}

/// Writes a file of mode 0600 beside its place and renames it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let new = path.with_extension("new");
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    written.map_err(failed("write", path))
}

pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PkiError {
    let path = path.to_owned();
    move |source| PkiError::File { operation, path, source }
}
