//! The store on disk: its lock, its record of names, lookups and removal. Unpacking is `layer`'s, reading is `archive`'s.
//!
//! Readers take no lock: `references.json` is replaced whole, and a layer is removed only after no name leads to it and no
//! container stands on it. Who is about to mount layers holds them meanwhile.
//!
//! | an image's last name is to go, and | then |
//! |---|---|
//! | no overlay stands on a layer that would go with it | it goes |
//! | one does, or it cannot be told | refused; nothing is changed |
//! | the configuration of another image cannot be read | it goes; layers stay, as any may be the other's |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use orlop_backends::host::Host;
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Error, Image, Reference, Removed,
    config::ImageFile,
    error::At,
    reference::as_id,
    tree::{self, remove_tree},
    used::Used,
};

/// The images of one node. Cheap to clone, synchronous, safe to use from several processes at once.
#[derive(Clone, Debug)]
pub struct ImageStore {
    dir: Arc<PathBuf>,
}

/// What `references.json` holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Full name, or id for an image without a name → entry.
    pub(super) references: BTreeMap<String, Entry>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Digest of the image's configuration.
    pub(super) image: String,
    /// Bytes of its unpacked layers, lowest first.
    pub(super) layer_bytes: Vec<u64>,
    /// Digest of its manifest, where the archive had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<String>,
}

/// The right to change the store, or to mount what is in it; let go when dropped.
pub(crate) struct Lock {
    _file: OwnedFd,
}

impl ImageStore {
    /// Opens the store in `dir`, which is made when missing (0700).
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let store = Self { dir: Arc::new(dir.to_owned()) };
        for dir in [dir.to_owned(), store.blobs(), store.layers(), store.tmp()] {
            tree::create_dirs(&dir)?;
        }
        Ok(store)
    }

    /// The image that a reference names, or `None`. Short names resolve as Docker's do; an id is fine too.
    pub fn find(&self, reference: &str) -> Result<Option<Image>, Error> {
        let record = self.record()?;
        match locate(&record, reference)? {
            Some((name, entry)) => self.image(name, entry).map(Some),
            None => Ok(None),
        }
    }

    /// All images, by name.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        self.record()?.references.iter().map(|(name, entry)| self.image(name, entry)).collect()
    }

    /// Takes a name away, and with its last name the image and the layers that no other image has.
    ///
    /// Refused while a container stands on one of these. An id takes all names of the image away.
    pub fn remove(&self, reference: &str, host: &dyn Host) -> Result<Removed, Error> {
        let _lock = self.lock()?;
        let mut record = self.record()?;
        let (name, entry) =
            locate(&record, reference)?.ok_or_else(|| Error::NotFound(reference.to_owned()))?;
        let (name, id) = (name.to_owned(), entry.image.clone());
        let by_id = as_id(reference).is_some();
        let names: Vec<String> = record
            .references
            .iter()
            .filter(|(key, other)| if by_id { other.image == id } else { **key == name })
            .map(|(key, _)| key.clone())
            .collect();
        record.references.retain(|key, _| !names.contains(key));
        let unnamed = self.save_unused(&record, &name, host)?;
        let last = record.references.values().all(|other| other.image != id);
        let bytes = self.sweep(&record, unnamed)?;
        let images = if last { vec![id] } else { Vec::new() };
        Ok(Removed { references: names, images, bytes })
    }

    /// Saves a record without `name`, unless a container stands on what no name leads to then; answers that. From the look
    /// until nobody finds the image any more, no container's root is mounted.
    fn save_unused(&self, record: &Record, name: &str, host: &dyn Host) -> Result<Vec<String>, Error> {
        let _alone = self.flock("mounting", FlockOperation::LockExclusive)?;
        let used = Used::look(host).map_err(Error::Look)?;
        let unnamed = self.unnamed(record)?;
        if unnamed.iter().any(|layer| used.has(&self.layers().join(layer))) {
            return Err(Error::InUse(name.to_owned()));
        }
        self.save(record)?;
        Ok(unnamed)
    }

    /// Keeps what is found now until it is mounted: as long as this is held, no image is removed. Waits for a removal, not
    /// for who loads.
    pub(crate) fn hold(&self) -> Result<Lock, Error> {
        self.flock("mounting", FlockOperation::LockShared)
    }

    /// Removes what is `unnamed`, and blobs that no name leads to; answers how many bytes of layers went. The lock has been
    /// held since these were listed.
    pub(super) fn sweep(&self, record: &Record, unnamed: Vec<String>) -> Result<u64, Error> {
        let mut bytes = 0;
        for name in unnamed {
            let removed = remove_tree(&self.layers(), &name)?;
            bytes += if name.ends_with(".size") { 0 } else { removed };
        }
        let blobs: BTreeSet<&str> = record.references.values().map(|entry| hex(&entry.image)).collect();
        for name in names(&self.blobs())? {
            if !blobs.contains(name.as_str()) {
                let path = self.blobs().join(&name);
                fs::remove_file(&path).at("remove", &path)?;
            }
        }
        Ok(bytes)
    }

    /// Layers, and the files of their sizes, to which no name leads. None of them where an image cannot be read: they may
    /// be its.
    pub(super) fn unnamed(&self, record: &Record) -> Result<Vec<String>, Error> {
        let mut named = BTreeSet::new();
        for entry in record.references.values() {
            match self.image_file(&entry.image) {
                Ok(file) => named.extend(chain(&file.rootfs.diff_ids)),
                Err(error) => {
                    let image = &entry.image;
                    tracing::warn!(
                        image,
                        error = crate::error::chain(&error),
                        "an image cannot be read, so no layer is removed; remove it or load it anew"
                    );
                    return Ok(Vec::new());
                }
            }
        }
        let is_named = |name: &String| named.contains(name.strip_suffix(".size").unwrap_or(name));
        Ok(names(&self.layers())?.into_iter().filter(|name| !is_named(name)).collect())
    }

    pub(super) fn image(&self, name: &str, entry: &Entry) -> Result<Image, Error> {
        let file = self.image_file(&entry.image)?;
        let mut layers: Vec<PathBuf> =
            chain(&file.rootfs.diff_ids).iter().map(|id| self.layers().join(id)).collect();
        layers.reverse();
        Ok(Image {
            reference: name.to_owned(),
            id: entry.image.clone(),
            size: entry.layer_bytes.iter().sum(),
            config: file.config,
            layers,
        })
    }

    fn image_file(&self, id: &str) -> Result<ImageFile, Error> {
        let path = self.blobs().join(hex(id));
        let bytes = fs::read(&path).at("read", &path)?;
        if digest(&bytes) != id {
            return Err(Error::Corrupt {
                path,
                reason: "its content does not have the digest it is named by".into(),
            });
        }
        serde_json::from_slice(&bytes).map_err(|e| Error::Corrupt { path, reason: e.to_string() })
    }

    /// The record as it stands; empty when there is none yet.
    pub(super) fn record(&self) -> Result<Record, Error> {
        let path = self.record_path();
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| Error::Corrupt { path, reason: e.to_string() })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(source) => Err(Error::io("read", path, source)),
        }
    }

    /// Replaces the record durably. The lock is held.
    pub(super) fn save(&self, record: &Record) -> Result<(), Error> {
        let path = self.record_path();
        let text = serde_json::to_vec_pretty(record)
            .map_err(|e| Error::Corrupt { path: path.clone(), reason: e.to_string() })?;
        self.put(&text, &path)
    }

    /// Writes a file whole: temporary name, data on disk, rename, directory on disk. The lock is held.
    pub(super) fn put(&self, content: &[u8], path: &Path) -> Result<(), Error> {
        let temporary = self.tmp().join("file");
        let mut file = fs::File::create(&temporary).at("create", &temporary)?;
        file.write_all(content).at("write", &temporary)?;
        file.sync_all().at("sync", &temporary)?;
        fs::rename(&temporary, path).at("rename into", path)?;
        tree::sync_dir(path.parent().unwrap_or(&self.dir))
    }

    /// Waits for the right to change the store, and clears what a crashed holder left.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        let lock = self.flock("lock", FlockOperation::LockExclusive)?;
        for name in names(&self.tmp())? {
            remove_tree(&self.tmp(), &name)?;
        }
        Ok(lock)
    }

    fn flock(&self, name: &str, how: FlockOperation) -> Result<Lock, Error> {
        let path = self.dir.join(name);
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).at("open", &path)?;
        rustix::fs::flock(&file, how).at("lock", &path)?;
        Ok(Lock { _file: file })
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join("references.json")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }
}

/// Finds a name's entry: the name itself, an id, or a repository with a manifest's digest.
fn locate<'r>(record: &'r Record, reference: &str) -> Result<Option<(&'r str, &'r Entry)>, Error> {
    let mut all = record.references.iter().map(|(name, entry)| (name.as_str(), entry));
    if let Some(id) = as_id(reference) {
        return Ok(all.find(|(_, entry)| entry.image == id));
    }
    let wanted = Reference::parse(reference)?;
    let Some(digest) = &wanted.digest else {
        let name = wanted.to_string();
        return Ok(all.find(|(key, _)| *key == name));
    };
    Ok(all.find(|(key, entry)| {
        let same = Reference::parse(key).is_ok_and(|known| known.repository == wanted.repository);
        same && (entry.manifest.as_deref() == Some(digest) || entry.image == *digest)
    }))
}

/// Directory names of an image's layers, lowest first: the first half of their chain ids.
///
/// A chain id (OCI image specification, config.md) names a layer together with all beneath it. Half of it, 128 bits,
/// keeps overlayfs's option string short enough for images of sixty layers (mount data is one page).
pub(super) fn chain(diff_ids: &[String]) -> Vec<String> {
    let mut below: Option<String> = None;
    let mut names = Vec::new();
    for diff_id in diff_ids {
        let id = match &below {
            None => diff_id.clone(),
            Some(parent) => digest(format!("{parent} {diff_id}").as_bytes()),
        };
        names.push(hex(&id).chars().take(32).collect());
        below = Some(id);
    }
    names
}

/// `sha256:…` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    finish(Sha256::new_with_prefix(bytes))
}

/// `sha256:…` of what went through a hasher.
pub(super) fn finish(hasher: Sha256) -> String {
    let hex: String = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// The part of a digest after the colon.
pub(super) fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// Reads a stream to its end, at most `limit` bytes.
pub(super) fn read_all(from: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).at("list", dir)? {
        found.push(entry.at("list", dir)?.file_name().to_string_lossy().into_owned());
    }
    Ok(found)
}
