//! Archives made for tests: layers entry by entry, wrapped as `docker save` and as an OCI layout do. Machines in memory on
//! which containers stand on layers.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use orlop_backends::host::{Host, MountRequest, fake::Fake};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::{
    config::architecture,
    store::{digest, hex},
};

/// Says loudly why a test is not run, when it cannot be: unpacking changes owners.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let _ = Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED {test}: not root\n"));
    }
    root
}

/// A layer in the making.
pub(crate) struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Any entry, with a name that no honest tool would write if need be.
    pub(crate) fn entry(mut self, kind: EntryType, name: &str, link: &str, mode: u32, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        // Not by `set_path`, which refuses `..` and absolute names.
        let fields = header.as_old_mut();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, name, "", 0o644, data.as_bytes())
    }

    pub(crate) fn dir(self, name: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, name, "", mode, b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, 0o777, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, 0o644, b"")
    }

    /// PAX records for the entry that follows.
    pub(crate) fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub(crate) fn owned(mut self, name: &str, uid: u64, gid: u64, mode: u32) -> Self {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(0);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(1_600_000_000);
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    pub(crate) fn device(mut self, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Char);
        header.set_path(name).unwrap();
        header.set_size(0);
        header.set_mode(0o666);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// An image's configuration for these layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({"Cmd": ["sh"], "Env": ["PATH=/bin"], "Entrypoint": null});
    json!({"architecture": architecture(), "os": "linux", "config": config,
           "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string()
    .into_bytes()
}

/// A tar of plain files.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, data.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The members of what `docker save` writes.
pub(crate) fn saved(tags: &[&str], layers: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let config = config(layers);
    let name = format!("{}.json", hex(&digest(&config)));
    let files: Vec<String> = (0..layers.len()).map(|i| format!("{i}/layer.tar")).collect();
    let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": files}]);
    let mut members = vec![("manifest.json".to_owned(), manifest.to_string().into_bytes()), (name, config)];
    members.extend(files.into_iter().zip(layers.iter().cloned()));
    members
}

/// The members of an OCI layout with gzipped layers.
pub(crate) fn layout(name: &str, layers: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let mut members = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut blob = |bytes: Vec<u8>, kind: &str| -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        members.push((format!("blobs/sha256/{}", hex(&digest)), bytes));
        descriptor
    };
    let config = blob(config(layers), "application/vnd.oci.image.config.v1+json");
    let packed: Vec<Value> =
        layers.iter().map(|l| blob(gzip(l), "application/vnd.oci.image.layer.v1.tar+gzip")).collect();
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": packed});
    let mut ours = blob(manifest.to_string().into_bytes(), "application/vnd.oci.image.manifest.v1+json");
    ours["platform"] = json!({"os": "linux", "architecture": architecture()});
    let other = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(b"s390x"),
                       "platform": {"os": "linux", "architecture": "s390x"}});
    let inner = json!({"schemaVersion": 2, "manifests": [other, ours]});
    let mut inner = blob(inner.to_string().into_bytes(), "application/vnd.oci.image.index.v1+json");
    inner["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [inner]});
    members.push(("index.json".to_owned(), index.to_string().into_bytes()));
    members
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Writes an archive of these members and answers its path.
pub(crate) fn archive(dir: &Path, members: &[(String, Vec<u8>)]) -> PathBuf {
    let path = dir.join("image.tar");
    std::fs::write(&path, tar(members)).unwrap();
    path
}

/// A machine with these directories for layers.
pub(crate) fn machine(layers: &[impl AsRef<Path>]) -> Fake {
    let machine = Fake::default();
    let others = ["/upper", "/work", "/root"].map(Path::new);
    for directory in layers.iter().map(AsRef::as_ref).chain(others) {
        machine.create_dir(directory).unwrap();
    }
    machine
}

/// Mounts a container's root on these layers, topmost first.
pub(crate) fn run_on(machine: &dyn Host, layers: &[impl AsRef<Path>]) {
    let [upper, work, target] = ["/upper", "/work", "/root"].map(PathBuf::from);
    let lower = layers.iter().map(|layer| layer.as_ref().to_owned()).collect();
    machine.mount(&MountRequest::Overlay { lower, upper, work, target }).unwrap();
}
