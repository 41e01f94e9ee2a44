//! The OCI image layout inside an archive: index → manifest → configuration and layers, digests checked on the way.
//!
//! Source: OCI image specification 1.1, image-layout.md, image-index.md, manifest.md; Docker's manifest list has the
//! same members.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::{
    Error,
    archive::{Archive, Found, LayerBlob},
    config::{architecture, nullable},
    reference::is_digest,
    store::{digest, hex},
};

/// An index may lead to an index; deeper than this is no honest image.
const DEPTH: usize = 4;

/// A list of manifests.
#[derive(Deserialize)]
struct Index {
    #[serde(default, deserialize_with = "nullable")]
    manifests: Vec<Descriptor>,
}

/// A pointer to a blob.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    #[serde(default, deserialize_with = "nullable")]
    layers: Vec<Descriptor>,
}

/// The images of a layout that are for this machine.
pub(super) fn images(archive: &Archive) -> Result<Vec<Found>, Error> {
    let index: Index = archive.json("index.json")?;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for descriptor in index.manifests {
        let names = names(&descriptor);
        collect(archive, &descriptor, &names, DEPTH, &mut found, &mut others)?;
    }
    match (found.is_empty(), others.pop()) {
        (true, Some(other)) => Err(Error::Platform {
            reference: archive.path.display().to_string(),
            found: other,
            wanted: format!("linux/{}", architecture()),
        }),
        _ => Ok(found),
    }
}

fn collect(
    archive: &Archive,
    descriptor: &Descriptor,
    names: &[String],
    depth: usize,
    found: &mut Vec<Found>,
    others: &mut Vec<String>,
) -> Result<(), Error> {
    if let Some(platform) = descriptor.platform.as_ref().filter(|p| !fits(p)) {
        // Attestations travel as manifests of an unknown platform.
        if platform.os != "unknown" {
            others.push(format!("{}/{}", platform.os, platform.architecture));
        }
        return Ok(());
    }
    let bytes = blob(archive, &descriptor.digest)?;
    let wrong = |e| archive.not_an_image(format!("manifest {}: {e}", descriptor.digest));
    if is_index(&descriptor.media_type) {
        let deeper = depth
            .checked_sub(1)
            .ok_or_else(|| archive.damaged("indexes lead to indexes without end".into()))?;
        let index: Index = serde_json::from_slice(&bytes).map_err(wrong)?;
        return index.manifests.iter().try_for_each(|d| collect(archive, d, names, deeper, found, others));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(wrong)?;
    found.push(Found {
        names: names.to_vec(),
        config: blob(archive, &manifest.config.digest)?,
        id: manifest.config.digest,
        manifest: Some(descriptor.digest.clone()),
        layers: manifest.layers.iter().map(layer).collect(),
    });
    Ok(())
}

fn layer(descriptor: &Descriptor) -> LayerBlob {
    LayerBlob { member: member(&descriptor.digest), digest: Some(descriptor.digest.clone()) }
}

fn member(digest: &str) -> String {
    format!("blobs/sha256/{}", hex(digest))
}

/// A small blob whose bytes have the digest it is asked for by.
fn blob(archive: &Archive, wanted: &str) -> Result<Vec<u8>, Error> {
    if !is_digest(wanted) {
        return Err(archive.not_an_image(format!("{wanted:?} is no sha256 digest")));
    }
    let bytes = archive.bytes(&member(wanted))?;
    match digest(&bytes) {
        found if found == wanted => Ok(bytes),
        found => Err(archive.damaged(format!("blob {wanted} has the digest {found}"))),
    }
}

fn fits(platform: &Platform) -> bool {
    platform.os == "linux" && platform.architecture == architecture()
}

fn is_index(media_type: &str) -> bool {
    media_type.ends_with("image.index.v1+json") || media_type.ends_with("manifest.list.v2+json")
}

/// containerd writes the whole name, others only a tag, which by itself names nothing.
fn names(descriptor: &Descriptor) -> Vec<String> {
    let annotation = |key: &str| descriptor.annotations.get(key).cloned();
    annotation("io.containerd.image.name")
        .or_else(|| annotation("org.opencontainers.image.ref.name").filter(|name| name.contains(['/', ':'])))
        .into_iter()
        .collect()
}
