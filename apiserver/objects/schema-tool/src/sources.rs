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

/// Finds both below `CARGO_HOME`.
pub fn find() -> anyhow::Result<Sources> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?)
            .join(".cargo"),
    };
    let registry = home.join("registry/src");
    Ok(Sources {
        openapi: unpacked(&registry, "k8s-openapi-0.29.")?.join("src/v1_36"),
        proto: unpacked(&registry, "k8s-pb-0.9.")?.join("src"),
    })
}

/// The newest unpacked crate whose folder begins with `prefix`.
fn unpacked(registry: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    let indexes = registry.read_dir().with_context(|| format!("read {}", registry.display()))?;
    for index in indexes {
        for krate in index?.path().read_dir()? {
            let path = krate?.path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)) {
                found.push(path);
            }
        }
    }
    found.sort();
    match found.pop() {
        Some(path) => Ok(path),
        None => bail!("no {prefix}* below {}: run `cargo fetch`", registry.display()),
    }
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
