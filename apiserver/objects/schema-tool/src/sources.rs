//! Where cargo keeps the sources of the two type crates.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The folders that are read.
#[derive(Debug)]
pub struct Sources {
    /// `k8s-openapi`, the folder of the API level that we serve.
    pub openapi: PathBuf,
    /// `k8s-pb`.
    pub proto: PathBuf,
}

/// Finds both below `CARGO_HOME`, in the versions that the workspace's lock file names.
pub fn find() -> anyhow::Result<Sources> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?)
            .join(".cargo"),
    };
    let registry = home.join("registry/src");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../Cargo.lock");
    let lock = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(Sources {
        openapi: unpacked(&registry, &lock, "k8s-openapi")?.join("src/v1_36"),
        proto: unpacked(&registry, &lock, "k8s-pb")?.join("src"),
    })
}

/// The folder of a crate, in any of the registry's indexes.
fn unpacked(registry: &Path, lock: &str, name: &str) -> anyhow::Result<PathBuf> {
    let folder =
        format!("{name}-{}", locked(lock, name).with_context(|| format!("{name} is not in Cargo.lock"))?);
    let indexes = registry.read_dir().with_context(|| format!("read {}", registry.display()))?;
    for index in indexes {
        let path = index?.path().join(&folder);
        if path.is_dir() {
            return Ok(path);
        }
    }
    bail!("no {folder} below {}: run `cargo fetch`", registry.display())
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

/// All Rust files below `dir`, with their folder relative to it (`api/core/v1`).
pub(crate) fn files(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let place = folder.strip_prefix(dir)?.to_string_lossy().into_owned();
                out.push((place, std::fs::read_to_string(&path)?));
            }
        }
    }
    Ok(out)
}
