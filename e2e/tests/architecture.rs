//! Keeps the mechanical rules of ARCHITECTURE.md: who may import whom, what every file looks like, and that the
//! documents name only what exists. Everything here is read from the checkout; nothing is built.

#![allow(clippy::disallowed_methods, reason = "the rules of imports are cargo's to tell")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// package → the packages of this workspace that it may import (dev-dependencies of tests are free).
const DIRECTION: &[(&str, &[&str])] = &[
    ("orlop-objects", &[]),
    ("orlop-schema-tool", &[]),
    ("orlop-store", &["orlop-objects"]),
    ("orlop-registry", &["orlop-objects", "orlop-store"]),
    ("orlop-client", &["orlop-objects"]),
    ("orlop-backends", &["orlop-objects"]),
    ("orlop-apiserver", &["orlop-objects", "orlop-store", "orlop-registry"]),
    ("orlop-controllers", &["orlop-objects", "orlop-store", "orlop-registry", "orlop-backends"]),
    ("orlop-nodeagent", &["orlop-objects", "orlop-client", "orlop-backends"]),
];

/// Longest file that still fits a head.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the workspace").to_owned()
}

/// All files below `dir` with this ending, without what git ignores.
fn files(dir: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable folder").map(|e| e.expect("readable entry")) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().expect("file type").is_dir() {
            if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                files(&path, ending, into);
            }
        } else if name.as_encoded_bytes().ends_with(ending.as_bytes()) {
            into.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    files(&root(), ".rs", &mut paths);
    assert!(paths.len() > 50, "the checkout should hold more than {} Rust files", paths.len());
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable source");
            (path.strip_prefix(root()).expect("below the root").to_owned(), text)
        })
        .collect()
}

/// What cargo itself knows of this workspace's packages.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// The packages of this workspace that a package imports; what only its tests import is free.
fn imports(package: &Value) -> Vec<&str> {
    let dependencies = package["dependencies"].as_array().expect("dependencies");
    let shipped = dependencies.iter().filter(|d| d["kind"] != "dev" && d["path"].is_string());
    shipped.filter_map(|d| d["name"].as_str()).collect()
}

#[test]
fn imports_follow_the_direction() {
    let direction: BTreeMap<_, _> = DIRECTION.iter().copied().collect();
    let packages = packages();
    assert!(packages.len() > direction.len(), "cargo metadata lists the whole workspace");
    let mut wrong = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        if matches!(name, "orlop" | "orlop-e2e") {
            continue;
        }
        let allowed = direction.get(name).unwrap_or_else(|| panic!("{name} has no row in DIRECTION"));
        wrong.extend(
            imports(package)
                .into_iter()
                .filter(|i| !allowed.contains(i))
                .map(|i| format!("{name} imports {i}")),
        );
    }
    assert!(wrong.is_empty(), "against the direction: {wrong:#?}");
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(p, _)| p).collect();
    assert!(silent.is_empty(), "files that do not open with `//!`: {silent:#?}");
}

#[test]
fn no_file_is_longer_than_a_head_can_hold() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "files over {MAX_LINES} lines: {long:#?}");
}

#[test]
fn unsafe_stays_in_the_host() {
    let lifted: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| {
            let host = path.starts_with("storage-backends/src/host/linux");
            let this = path.ends_with("architecture.rs");
            !host
                && !this
                && ["expect(unsafe_code", "allow(unsafe_code"].iter().any(|mark| text.contains(mark))
        })
        .map(|(path, _)| path)
        .collect();
    assert!(lifted.is_empty(), "unsafe outside the host seam: {lifted:#?}");
}

#[test]
fn documents_name_only_what_exists() {
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).expect("the document");
        let quoted = text.split('`').skip(1).step_by(2);
        let paths = quoted.filter(|q| looks_like_a_path(q));
        missing.extend(
            paths
                .filter(|p| !root().join(p.trim_end_matches('/')).exists())
                .map(|p| format!("{document}: {p}")),
        );
    }
    assert!(missing.is_empty(), "paths that do not exist: {missing:#?}");
}

/// A quoted word is a path of this repository when it begins with one of its folders, or names a file beside them.
fn looks_like_a_path(text: &str) -> bool {
    const TOPS: &[&str] = &[
        "apiserver/",
        "controllers/",
        "nodeagent/",
        "storage-backends/",
        "e2e/",
        "src/",
        "examples/",
        "packaging/",
        ".ci/",
        "docker-compose.yml",
        "Dockerfile",
        "Makefile",
        "Cargo.toml",
        "README.md",
        "ARCHITECTURE.md",
    ];
    TOPS.iter().any(|top| text.starts_with(top)) && !text.contains(['*', ' ', '<', '{'])
}
