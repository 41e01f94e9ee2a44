//! Directories of all Orlops of this machine, which no pod is shown: found by the word that each has left.
//!
//! | in the directory of what dies with a boot | its own |
//! |---|---|
//! | always | that directory, this agent's data directory and what of it dies with a boot |
//! | `<instance>.home` | the data directory of an Orlop, whether it runs or not |
//! | `<instance>.pools` | its pools, a line for each: also those outside of its data directory |
//! | a word that cannot be read | nothing is shown to anybody |
//! | a word that is no absolute path | nothing |

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// Where all Orlops keep what dies with a boot, unless they are told otherwise.
const RUN: &str = "/run/orlop";

/// The directories, for an agent with these two.
pub(super) fn all(data: &Path, run: &Path) -> Result<Vec<PathBuf>, Error> {
    let words = run.parent().unwrap_or(run);
    let mut own = vec![data.to_owned(), run.to_owned(), PathBuf::from(RUN)];
    let names = match fs::read_dir(words) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let names = names.map_err(|source| Error::File { operation: "list", path: words.to_owned(), source })?;
    for path in names {
        own.extend(read(path)?);
    }
    own.retain(|path| path.is_absolute());
    Ok(own)
}

fn read(path: PathBuf) -> Result<Vec<PathBuf>, Error> {
    let is = |ending: &str| path.extension().is_some_and(|found| found == ending);
    if !is("home") && !is("pools") {
        return Ok(Vec::new());
    }
    let named = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    match fs::read(&path) {
        Ok(text) if is("home") => Ok(vec![named(text.strip_suffix(b"\n").unwrap_or(&text))]),
        Ok(text) => Ok(text.split(|byte| *byte == b'\n').map(named).collect()),
        // An Orlop that was just removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::File { operation: "read", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table.
    #[test]
    fn words() {
        let dir = tempfile::tempdir().unwrap();
        let (data, run) = (Path::new("/data"), dir.path().join("0123abcd"));
        let own = || {
            let all = all(data, &run).unwrap();
            assert_eq!(all[..3], [data.to_owned(), run.clone(), RUN.into()]);
            let mut words = all[3..].to_vec();
            words.sort();
            words.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(own(), Vec::<String>::new());
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("0123abcd.home", "/data\n");
        write("0123abcd.pools", "/data/pool\n/mnt/ssd\n");
        // Another one, that does not run.
        write("ffff0000.home", "/other of\ntwo lines\n");
        write("ffff0000.pools", "/srv/common\n");
        write("ffff0001.pools", "");
        write("ffff0002.home", "nowhere\n");
        write("ffff0003.pools.new", "/half\n");
        fs::create_dir(&run).unwrap();
        assert_eq!(own(), ["/data", "/data/pool", "/mnt/ssd", "/other of\ntwo lines", "/srv/common"]);
        fs::create_dir(dir.path().join("ffff0004.pools")).unwrap();
        let error = all(data, &run).unwrap_err();
        assert!(error.chain().contains("ffff0004.pools"), "{}", error.chain());
    }
}
