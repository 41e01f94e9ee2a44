//! Image archives: finds the images in a tar and where their parts lie. Reads; changes nothing but a scratch file.
//!
//! Two layouts are known, told apart by what the tar holds:
//!
//! | holds | written by | read through |
//! |---|---|---|
//! | `manifest.json` | `docker save`, podman, skopeo, kaniko | its list of config, tags and layers |
//! | `index.json` and `blobs/` | OCI image layout 1.0: buildx, skopeo `oci-archive` | index → manifest → config and layers |
//!
//! Newer Dockers write both; the first wins, since it says the tags as people wrote them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Error,
    config::nullable,
    error::At,
    oci_layout,
    reference::is_digest,
    store::{digest, read_all},
};

/// No manifest or configuration is longer than this.
const JSON_LIMIT: u64 = 8 << 20;

/// An archive with the places of its members.
pub(super) struct Archive {
    /// For messages.
    pub(super) path: PathBuf,
    file: File,
    members: BTreeMap<String, Member>,
}

/// What a name in the tar stands for.
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

/// An image as the archive describes it; nothing of it is verified but the digest of its configuration.
pub(super) struct Found {
    /// Names, as written; empty when the archive gives none.
    pub(super) names: Vec<String>,
    /// Digest of its configuration.
    pub(super) id: String,
    /// The configuration's bytes.
    pub(super) config: Vec<u8>,
    /// Digest of its manifest, where it has one.
    pub(super) manifest: Option<String>,
    /// Layers, lowest first.
    pub(super) layers: Vec<LayerBlob>,
}

/// A layer's place in the archive.
pub(super) struct LayerBlob {
    /// Its member.
    pub(super) member: String,
    /// The digest that the member's own bytes must have, where its name or manifest gives one.
    pub(super) digest: Option<String>,
}

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default, deserialize_with = "nullable")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    layers: Vec<String>,
}

impl Archive {
    /// Opens an archive and lists its members. One that is compressed as a whole is unpacked into `scratch` first.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, Error> {
        let file = File::open(path).at("open", path)?;
        if !file.metadata().at("look at", path)?.is_file() {
            return Err(Error::NotAnImage { path: path.into(), reason: "it is no regular file".into() });
        }
        let file = plain(file, path, scratch)?;
        let mut archive = Self { path: path.into(), file, members: BTreeMap::new() };
        archive.members = archive.index()?;
        Ok(archive)
    }

    /// The images in it; at least one.
    pub(super) fn images(&self) -> Result<Vec<Found>, Error> {
        let found = if self.has("manifest.json") {
            let saved: Vec<SavedImage> = self.json("manifest.json")?;
            saved.into_iter().map(|image| self.saved(image)).collect::<Result<Vec<_>, _>>()?
        } else if self.has("index.json") {
            oci_layout::images(self)?
        } else {
            return Err(self.not_an_image("it holds neither manifest.json nor index.json".into()));
        };
        if found.is_empty() {
            return Err(self.not_an_image("its manifest names no image".into()));
        }
        Ok(found)
    }

    /// The bytes of a member.
    pub(super) fn open_member(&self, name: &str) -> Result<io::Take<File>, Error> {
        let (offset, size) = self.resolve(name)?;
        let mut file = self.file.try_clone().at("open", &self.path)?;
        file.seek(SeekFrom::Start(offset)).at("read", &self.path)?;
        Ok(file.take(size))
    }

    /// A small member, whole.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let reader = self.open_member(name)?;
        read_all(reader, JSON_LIMIT).map_err(|e| self.damaged(format!("{name}: {e}")))
    }

    /// A member that holds JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let bytes = self.bytes(name)?;
        serde_json::from_slice(&bytes).map_err(|e| self.not_an_image(format!("{name}: {e}")))
    }

    /// An error that says the archive contradicts itself.
    pub(super) fn damaged(&self, reason: String) -> Error {
        Error::Damaged { path: self.path.clone(), reason }
    }

    pub(super) fn not_an_image(&self, reason: String) -> Error {
        Error::NotAnImage { path: self.path.clone(), reason }
    }

    fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    fn saved(&self, image: SavedImage) -> Result<Found, Error> {
        let config = self.bytes(&image.config)?;
        let id = digest(&config);
        if digest_in_name(&image.config).is_some_and(|named| named != id) {
            return Err(
                self.damaged(format!("{} has the digest {id}, not the one it is named by", image.config))
            );
        }
        let blob = |member: String| {
            let digest = member.starts_with("blobs/").then(|| digest_in_name(&member)).flatten();
            LayerBlob { member, digest }
        };
        let layers = image.layers.into_iter().map(blob).collect();
        Ok(Found { names: image.repo_tags, id, config, manifest: None, layers })
    }

    /// Follows the links that older Dockers write for layers that occur twice.
    fn resolve(&self, name: &str) -> Result<(u64, u64), Error> {
        let mut name = name.to_owned();
        for _ in 0..8 {
            match self.members.get(&name) {
                Some(Member::File { offset, size }) => return Ok((*offset, *size)),
                Some(Member::Link(target)) => name.clone_from(target),
                None => return Err(self.damaged(format!("it names {name}, which is not in it"))),
            }
        }
        Err(self.damaged(format!("{name} is a circle of links")))
    }

    fn index(&self) -> Result<BTreeMap<String, Member>, Error> {
        let length = self.file.metadata().at("look at", &self.path)?.len();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).at("read", &self.path)?;
        let mut tar = tar::Archive::new(file);
        let mut members = BTreeMap::new();
        for entry in tar.entries_with_seek().at("read", &self.path)? {
            let entry = entry.map_err(|e| self.not_an_image(in_words(&e)))?;
            let name = clean(&String::from_utf8_lossy(&entry.path_bytes()));
            let (offset, size) = (entry.raw_file_position(), entry.size());
            let kind = entry.header().entry_type();
            if kind.is_file() {
                if offset.checked_add(size).is_none_or(|end| end > length) {
                    return Err(self.damaged(format!("it ends in the middle of {name}")));
                }
                members.insert(name, Member::File { offset, size });
            } else if let Some(target) =
                entry.link_name_bytes().filter(|_| kind.is_symlink() || kind.is_hard_link())
            {
                let target = String::from_utf8_lossy(&target).into_owned();
                let base =
                    if kind.is_symlink() { name.rsplit_once('/').map_or("", |(dir, _)| dir) } else { "" };
                members.insert(name.clone(), Member::Link(clean(&format!("{base}/{target}"))));
            }
        }
        Ok(members)
    }
}

/// What is wrong with a stream. The tar reader's own words quote the bytes that it could not read, which are no words.
pub(super) fn in_words(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off".into(),
        io::ErrorKind::Other | io::ErrorKind::InvalidData => "it is no tar, or is cut off".into(),
        _ => e.to_string(),
    }
}

/// The file itself, or what a gzip stream holds, in a scratch file.
fn plain(mut file: File, path: &Path, scratch: &Path) -> Result<File, Error> {
    if !is_gzip(&mut file).at("read", path)? {
        return Ok(file);
    }
    let mut options = File::options();
    let mut unpacked =
        options.read(true).write(true).create(true).truncate(true).open(scratch).at("create", scratch)?;
    let mut stream = flate2::read::MultiGzDecoder::new(file);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = stream
            .read(&mut buffer)
            .map_err(|e| Error::Damaged { path: path.into(), reason: format!("its compression: {e}") })?;
        if n == 0 {
            return Ok(unpacked);
        }
        io::Write::write_all(&mut unpacked, &buffer[..n]).at("write", scratch)?;
    }
}

/// Looks at the first bytes of a file (RFC 1952) and goes back to its begin.
fn is_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.take(2).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(magic == [0x1f, 0x8b])
}

/// A member's name with `.` and `..` worked out; names never leave the archive, they are only keys.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The digest that a member is named by: `<hex>.json`, `sha256:<hex>`, `blobs/sha256/<hex>`.
fn digest_in_name(name: &str) -> Option<String> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let hex = last.strip_prefix("sha256:").unwrap_or(last);
    let digest = format!("sha256:{}", hex.strip_suffix(".json").unwrap_or(hex));
    is_digest(&digest).then_some(digest)
}
