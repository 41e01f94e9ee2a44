//! An image's configuration: the part of it that a container starts from. Pure.
//!
//! Source of the shape: OCI image specification 1.1, config.md; `docker save` writes the same members.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// How an image wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Program and first arguments.
    #[serde(default, rename = "Entrypoint", deserialize_with = "nullable")]
    pub entrypoint: Vec<String>,
    /// Arguments, or the program where there is no entrypoint.
    #[serde(default, rename = "Cmd", deserialize_with = "nullable")]
    pub cmd: Vec<String>,
    /// `NAME=value` lines.
    #[serde(default, rename = "Env", deserialize_with = "nullable")]
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group`, …; empty is root.
    #[serde(default, rename = "User", deserialize_with = "nullable")]
    pub user: String,
    /// Where the process starts; empty is `/`.
    #[serde(default, rename = "WorkingDir", deserialize_with = "nullable")]
    pub working_dir: String,
    /// The signal that asks it to stop (`SIGQUIT`, `3`); empty is SIGTERM.
    #[serde(default, rename = "StopSignal", deserialize_with = "nullable")]
    pub stop_signal: String,
    /// Directories that the image declares as volumes.
    #[serde(default, rename = "Volumes", deserialize_with = "nullable")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// Labels.
    #[serde(default, rename = "Labels", deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
}

/// The whole file: configuration, platform and the digests of the unpacked layers.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ImageFile {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) config: ImageConfig,
    pub(super) rootfs: RootFs,
}

/// The layers of an image, lowest first.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RootFs {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) diff_ids: Vec<String>,
}

/// Docker writes `null` for lists, maps and strings that are empty.
pub(super) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// This machine's architecture in the words of images (Go's GOARCH).
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
