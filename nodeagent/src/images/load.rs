//! Loading: an archive's images made part of the store, each whole or not at all.
//!
//! Order, so that a crash at any point leaves the store as it was or complete: layers, configuration, name.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use rustix::fs::Mode;
use sha2::{Digest, Sha256};

use super::{
    Error, Image, ImageStore, Reference,
    archive::{Archive, Found, LayerBlob, in_words},
    config::{ImageFile, architecture},
    error::At,
    store::{Entry, Record, chain, finish, hex},
    tree,
    unpack::{Fault, Unpacker},
};

/// Images deeper than this do not fit into overlayfs's options.
const MOST_LAYERS: usize = 60;

impl ImageStore {
    /// Loads every image of an archive and answers them under the names that the archive gives.
    ///
    /// A name that meant another image now means this one; the other stays, under its id.
    pub fn load(&self, path: &Path) -> Result<Vec<Image>, Error> {
        let _lock = self.lock()?;
        let result = self.load_locked(path);
        if result.is_err() {
            // What was unpacked before the error belongs to no name. An error of sweeping would hide the first one.
            let _ = self.record().and_then(|record| self.sweep(&record, self.unnamed(&record)?));
        }
        result
    }

    fn load_locked(&self, path: &Path) -> Result<Vec<Image>, Error> {
        let archive = Archive::open(path, &self.tmp().join("archive"))?;
        let mut record = self.record()?;
        let mut names = Vec::new();
        for found in archive.images()? {
            let entry = self.add(&archive, &found)?;
            names.extend(enter(&mut record, &found, &entry)?);
        }
        self.save(&record)?;
        let image = |name: &String| self.image(name, &record.references[name]);
        names.iter().map(image).collect()
    }

    /// Makes an image's layers and configuration part of the store; no name leads to it yet.
    fn add(&self, archive: &Archive, found: &Found) -> Result<Entry, Error> {
        let file: ImageFile = serde_json::from_slice(&found.config)
            .map_err(|e| archive.not_an_image(format!("configuration {}: {e}", found.id)))?;
        let diff_ids = &file.rootfs.diff_ids;
        check(archive, found, &file)?;
        let chain = chain(diff_ids);
        let mut layer_bytes = Vec::new();
        for (at, (layer, diff_id)) in found.layers.iter().zip(diff_ids).enumerate() {
            layer_bytes.push(self.add_layer(archive, layer, diff_id, &chain[..=at])?);
        }
        let path = self.blobs().join(hex(&found.id));
        if fs::read(&path).ok().as_deref() != Some(found.config.as_slice()) {
            self.put(&found.config, &path)?;
        }
        Ok(Entry { image: found.id.clone(), layer_bytes, manifest: found.manifest.clone() })
    }

    /// Unpacks a layer unless it is there; `chain` ends with its own directory name. Answers the bytes of its files.
    fn add_layer(
        &self,
        archive: &Archive,
        layer: &LayerBlob,
        diff_id: &str,
        chain: &[String],
    ) -> Result<u64, Error> {
        let Some((name, below)) = chain.split_last() else {
            return Ok(0);
        };
        let (target, size) = (self.layers().join(name), self.layers().join(format!("{name}.size")));
        if target.is_dir() {
            return Ok(fs::read_to_string(size).ok().and_then(|text| text.parse().ok()).unwrap_or(0));
        }
        let temporary = self.tmp().join("layer");
        tree::create_dirs(&temporary)?;
        let unpacked = self.unpack(archive, layer, diff_id, &temporary, below);
        let bytes = match unpacked {
            Ok(bytes) => bytes,
            Err(e) => {
                tree::remove_tree(&self.tmp(), "layer")?;
                return Err(e);
            }
        };
        self.put(bytes.to_string().as_bytes(), &size)?;
        let root = rustix::fs::open(&temporary, tree::DIRECTORY, Mode::empty()).at("open", &temporary)?;
        // One call for all files of the layer; fsync of each would take minutes for a large image.
        rustix::fs::syncfs(&root).at("sync", &temporary)?;
        fs::rename(&temporary, &target).at("rename into", &target)?;
        tree::sync_dir(&self.layers())?;
        Ok(bytes)
    }

    fn unpack(
        &self,
        archive: &Archive,
        layer: &LayerBlob,
        diff_id: &str,
        into: &Path,
        below: &[String],
    ) -> Result<u64, Error> {
        let open = |path: &Path| rustix::fs::open(path, tree::DIRECTORY, Mode::empty()).at("open", path);
        let lower: Result<Vec<_>, Error> = below.iter().rev().map(|n| open(&self.layers().join(n))).collect();
        let mut unpacker = Unpacker::new(open(into)?, lower?).at("look at", into)?;
        let (written, found) = stream(archive, layer, &mut unpacker)?;
        if found == diff_id {
            return Ok(written);
        }
        Err(archive.damaged(format!("layer {} unpacks to {found}, its image wants {diff_id}", layer.member)))
    }
}

/// Runs a layer through decompression, both digests and the unpacker; answers bytes written and the digest found.
fn stream(archive: &Archive, layer: &LayerBlob, unpacker: &mut Unpacker) -> Result<(u64, String), Error> {
    let fault = |fault| tell(archive, &layer.member, fault);
    let mut member = archive.open_member(&layer.member)?;
    let compressed = compression(archive, layer, &mut member)?;
    let mut outer = Hashed::new(member);
    let (written, found) = {
        let plain: Box<dyn Read + '_> = if compressed {
            Box::new(flate2::read::MultiGzDecoder::new(&mut outer))
        } else {
            Box::new(&mut outer)
        };
        let mut inner = Hashed::new(plain);
        let written = unpacker.unpack(&mut inner).map_err(fault)?;
        // The digest covers what follows the tar's end mark as well.
        io::copy(&mut inner, &mut io::sink()).map_err(|e| fault(Fault::Read(e)))?;
        (written, finish(inner.hasher))
    };
    io::copy(&mut outer, &mut io::sink()).map_err(|e| fault(Fault::Read(e)))?;
    let outer = finish(outer.hasher);
    match &layer.digest {
        Some(wanted) if *wanted != outer => {
            Err(archive.damaged(format!("{} has the digest {outer}", layer.member)))
        }
        _ => Ok((written, found)),
    }
}

/// Whether a layer is compressed, by its first bytes: its name and media type are often wrong.
fn compression(archive: &Archive, layer: &LayerBlob, member: &mut io::Take<fs::File>) -> Result<bool, Error> {
    let mut magic = Vec::new();
    archive.open_member(&layer.member)?.take(4).read_to_end(&mut magic).at("read", &archive.path)?;
    // Both readers share the file's offset: go back to where this one began.
    *member = archive.open_member(&layer.member)?;
    if magic == [0x28, 0xb5, 0x2f, 0xfd] {
        let reason = format!(
            "layer {} is compressed with zstd, which is not read; save it with gzip or plain",
            layer.member
        );
        return Err(archive.not_an_image(reason));
    }
    Ok(magic.starts_with(&[0x1f, 0x8b]))
}

fn tell(archive: &Archive, layer: &str, fault: Fault) -> Error {
    match fault {
        Fault::Read(e) => archive.damaged(format!("layer {layer}: {}", in_words(&e))),
        Fault::Write { operation, entry, source } => Error::io(operation, entry.into(), source),
        Fault::Refused { entry, reason } => {
            Error::Unsafe { path: archive.path.clone(), layer: layer.to_owned(), entry, reason }
        }
    }
}

fn check(archive: &Archive, found: &Found, file: &ImageFile) -> Result<(), Error> {
    let (layers, diff_ids) = (found.layers.len(), &file.rootfs.diff_ids);
    if layers != diff_ids.len() {
        return Err(archive.damaged(format!("it has {layers} layers, its image wants {}", diff_ids.len())));
    }
    if layers == 0 || layers > MOST_LAYERS {
        return Err(archive.damaged(format!("an image has 1 to {MOST_LAYERS} layers, this one {layers}")));
    }
    if let Some(bad) = diff_ids.iter().find(|id| !super::reference::is_digest(id)) {
        return Err(archive.damaged(format!("its configuration names a layer {bad:?}")));
    }
    let here = ("linux", architecture());
    let os = if file.os.is_empty() { here.0 } else { &file.os };
    let arch = if file.architecture.is_empty() { here.1 } else { &file.architecture };
    if (os, arch) == here {
        return Ok(());
    }
    let reference = found.names.first().unwrap_or(&found.id).clone();
    Err(Error::Platform {
        reference,
        found: format!("{os}/{arch}"),
        wanted: format!("{}/{}", here.0, here.1),
    })
}

/// Enters an image's names into the record; answers them in full.
fn enter(record: &mut Record, found: &Found, entry: &Entry) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for name in &found.names {
        names.push(Reference::parse(name)?.to_string());
    }
    if names.is_empty() {
        names.push(found.id.clone());
    } else {
        record.references.remove(&found.id);
    }
    for name in &names {
        let old = record.references.insert(name.clone(), entry.clone());
        // The image that had this name may be in use: it stays reachable by its id.
        if let Some(old) = old.filter(|old| record.references.values().all(|e| e.image != old.image)) {
            record.references.insert(old.image.clone(), old);
        }
    }
    Ok(names)
}

/// A reader that computes the digest of what passes.
struct Hashed<R> {
    inner: R,
    hasher: Sha256,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}
