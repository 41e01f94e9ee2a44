//! Files and directories of the fake machine, per file system.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Weak,
};

use nix::errno::Errno;

use super::{
    super::{Cause, Error, FileId, FileInfo, FsType, Probe, Result, Space},
    Machine,
};

/// The root file system; others get their numbers as they are made.
pub(super) const ROOT: u64 = 0;
/// What a fresh file system occupies of its file.
const FORMATTED: u64 = 664 * 1024;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing but zeros.
    Blank,
    /// A file system.
    FileSystem {
        /// `ext4`, …
        kind: String,
        /// Its UUID.
        uuid: String,
        /// Which of the fake's file systems it is.
        number: u64,
    },
    /// Bytes.
    Data(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) directory: bool,
    pub(super) length: u64,
    pub(super) allocated: u64,
    pub(super) content: Content,
    /// Still has a name.
    pub(super) linked: bool,
}

/// All file systems' files. A name is a file system and a path from its root.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) names: BTreeMap<(u64, PathBuf), u64>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) sizes: BTreeMap<u64, u64>,
    /// Directories that have a device number of their own within their file system.
    subvolumes: BTreeMap<(u64, PathBuf), u64>,
    next_inode: u64,
    next_system: u64,
    pub(super) overwritten: u64,
    /// Locked files, by inode.
    pub(super) locks: BTreeMap<u64, Weak<()>>,
    pub(super) formatted: BTreeMap<String, u64>,
}

pub(super) fn refuse(operation: &'static str, path: &Path, errno: Errno) -> Error {
    Error { operation, object: path.display().to_string(), source: Cause::Os(errno.into()) }
}

impl Files {
    pub(super) fn new(bytes: u64) -> Self {
        let mut files = Self {
            names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            sizes: BTreeMap::new(),
            subvolumes: BTreeMap::new(),
            next_inode: 2,
            next_system: ROOT,
            overwritten: 0,
            locks: BTreeMap::new(),
            formatted: BTreeMap::new(),
        };
        files.new_system(bytes);
        files
    }

    /// A file system of that size with an empty root.
    pub(super) fn new_system(&mut self, bytes: u64) -> u64 {
        let number = self.next_system;
        self.next_system += 1;
        self.sizes.insert(number, bytes);
        self.add(number, Path::new("/"), true, 0, Content::Blank);
        number
    }

    pub(super) fn add(&mut self, system: u64, path: &Path, directory: bool, length: u64, content: Content) {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.names.insert((system, path.to_owned()), inode);
        self.inodes.insert(inode, Inode { directory, length, allocated: 0, content, linked: true });
    }

    fn used(&self, system: u64) -> u64 {
        let own = self.names.iter().filter(|((number, _), _)| *number == system);
        own.filter_map(|(_, inode)| self.inodes.get(inode)).map(|inode| inode.allocated).sum()
    }

    fn free(&self, system: u64) -> u64 {
        self.sizes.get(&system).copied().unwrap_or(0).saturating_sub(self.used(system))
    }

    /// The device number that a file has by its name.
    pub(super) fn device(&self, system: u64, inner: &Path) -> u64 {
        let subvolume = |at: &Path| self.subvolumes.get(&(system, at.to_owned())).copied();
        inner.ancestors().find_map(subvolume).unwrap_or(system)
    }

    pub(super) fn forget_unlinked(&mut self) {
        self.inodes.retain(|_, inode| inode.linked);
    }
}

impl Machine {
    /// The file at a path, through the mount table.
    pub(super) fn lookup(&self, path: &Path) -> Option<(u64, &Inode)> {
        let (_, key) = self.mounts.resolve(path);
        let number = *self.files.names.get(&key)?;
        self.files.inodes.get(&number).map(|inode| (number, inode))
    }

    pub(super) fn find(&self, operation: &'static str, path: &Path) -> Result<u64> {
        self.lookup(path).map(|(number, _)| number).ok_or_else(|| refuse(operation, path, Errno::ENOENT))
    }

    fn writable(&self, operation: &'static str, path: &Path) -> Result<(u64, PathBuf)> {
        let (mount, key) = self.mounts.resolve(path);
        if mount.read_only() { Err(refuse(operation, path, Errno::EROFS)) } else { Ok(key) }
    }

    fn new_name(&self, operation: &'static str, path: &Path) -> Result<(u64, PathBuf)> {
        let key = self.writable(operation, path)?;
        if self.files.names.contains_key(&key) {
            return Err(refuse(operation, path, Errno::EEXIST));
        }
        match path.parent().and_then(|parent| self.lookup(parent)) {
            None => Err(refuse(operation, path, Errno::ENOENT)),
            Some((_, parent)) if !parent.directory => Err(refuse(operation, path, Errno::ENOTDIR)),
            Some(_) => Ok(key),
        }
    }

    pub(super) fn create_sparse(&mut self, path: &Path, bytes: u64) -> Result<()> {
        let (system, inner) = self.new_name("create file", path)?;
        self.files.add(system, &inner, false, bytes, Content::Blank);
        Ok(())
    }

    pub(super) fn allocate(&mut self, path: &Path, bytes: u64) -> Result<()> {
        let number = self.find("allocate", path)?;
        let (system, _) = self.writable("allocate", path)?;
        let had = self.files.inodes[&number].allocated;
        if bytes.saturating_sub(had) > self.files.free(system) {
            return Err(refuse("allocate", path, Errno::ENOSPC));
        }
        self.change(number, |inode| inode.allocated = inode.allocated.max(bytes));
        Ok(())
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Inode)) {
        if let Some(inode) = self.files.inodes.get_mut(&number) {
            change(inode);
        }
    }

    pub(super) fn write(&mut self, path: &Path, data: &[u8]) -> Result<()> {
        if self.lookup(path).is_none() {
            self.create_sparse(path, 0)?;
        }
        let length = data.len() as u64;
        self.allocate(path, length)?;
        let number = self.find("write", path)?;
        self.change(number, |inode| {
            inode.length = length;
            inode.content = Content::Data(data.to_owned());
        });
        Ok(())
    }

    pub(super) fn read(&self, path: &Path) -> Option<Content> {
        self.lookup(path).map(|(_, inode)| inode.content.clone())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.find("rename", from)?;
        let new = self.new_name("rename", to)?;
        let (_, old) = self.mounts.resolve(from);
        if let Some(inode) = self.files.names.remove(&old) {
            self.files.names.insert(new, inode);
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> Result<()> {
        let number = self.find("remove file", path)?;
        let key = self.writable("remove file", path)?;
        if self.files.inodes[&number].directory {
            return Err(refuse("remove file", path, Errno::EISDIR));
        }
        self.unlink(&key, number);
        Ok(())
    }

    /// An unlinked file lives on while a loop device holds it.
    fn unlink(&mut self, key: &(u64, PathBuf), number: u64) {
        self.files.names.remove(key);
        if self.devices.holds(number) {
            self.change(number, |inode| inode.linked = false);
        } else {
            self.files.inodes.remove(&number);
        }
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> Result<()> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        for part in ancestors {
            match self.lookup(part) {
                Some((_, inode)) if inode.directory => {}
                Some(_) => return Err(refuse("create directory", part, Errno::EEXIST)),
                None => {
                    let (system, inner) = self.new_name("create directory", part)?;
                    self.files.add(system, &inner, true, 0, Content::Blank);
                }
            }
        }
        Ok(())
    }

    pub(super) fn create_subvolume(&mut self, path: &Path) -> Result<()> {
        self.create_dir(path)?;
        let (_, key) = self.mounts.resolve(path);
        let device = self.files.next_system;
        self.files.next_system += 1;
        self.files.subvolumes.insert(key, device);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> Result<()> {
        let refused = |errno| Err(refuse("remove directory", path, errno));
        let number = self.find("remove directory", path)?;
        if self.mounts.is_mount_point(path) {
            return refused(Errno::EBUSY);
        }
        if !self.files.inodes[&number].directory {
            return refused(Errno::ENOTDIR);
        }
        if !self.list_dir(path).is_empty() {
            return refused(Errno::ENOTEMPTY);
        }
        let key = self.writable("remove directory", path)?;
        self.unlink(&key, number);
        Ok(())
    }

    pub(super) fn remove_tree(&mut self, path: &Path) -> Result<()> {
        if let Some(mount) = self.mounts.entries().into_iter().find(|mount| mount.target.starts_with(path)) {
            let why = format!("{} is mounted in it", mount.target.display());
            let object = path.display().to_string();
            return Err(Error { operation: "remove tree", object, source: Cause::Refused(why) });
        }
        let (system, inner) = self.writable("remove tree", path)?;
        let doomed: Vec<_> = self
            .files
            .names
            .iter()
            .filter(|((number, name), _)| *number == system && name.starts_with(&inner))
            .map(|(key, inode)| (key.clone(), *inode))
            .collect();
        for (key, inode) in doomed {
            self.unlink(&key, inode);
        }
        Ok(())
    }

    pub(super) fn info(&self, path: &Path) -> Option<FileInfo> {
        let (_, (system, inner)) = self.mounts.resolve(path);
        self.lookup(path).map(|(number, inode)| FileInfo {
            id: FileId { device: self.files.device(system, &inner), inode: number },
            length: inode.length,
            allocated: inode.allocated,
            directory: inode.directory,
        })
    }

    pub(super) fn list_dir(&self, path: &Path) -> Vec<String> {
        let (_, (system, inner)) = self.mounts.resolve(path);
        let below = self
            .files
            .names
            .keys()
            .filter(|(number, name)| *number == system && name.parent() == Some(&inner));
        below
            .filter_map(|(_, name)| name.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    pub(super) fn file_system(&self, path: &Path) -> Option<u64> {
        let (_, (system, _)) = self.mounts.resolve(path);
        self.lookup(path).map(|_| system)
    }

    pub(super) fn space(&self, path: &Path) -> Result<Space> {
        self.find("look at the space of", path)?;
        let (_, (system, _)) = self.mounts.resolve(path);
        let total = self.files.sizes.get(&system).copied().unwrap_or(0);
        Ok(Space { total, available: self.files.free(system) })
    }

    /// A device stands for the file that it holds.
    fn image(&self, operation: &'static str, path: &Path) -> Result<u64> {
        match self.devices.backing(path) {
            Some(number) => Ok(number),
            None => self.find(operation, path),
        }
    }

    pub(super) fn make_filesystem(&mut self, path: &Path, fs_type: FsType, uuid: &str) -> Result<()> {
        let number = self.image("make file system on", path)?;
        let length = self.files.inodes[&number].length;
        if self.files.inodes[&number].content != Content::Blank {
            self.files.overwritten += 1;
            let (object, why) = (path.display().to_string(), "it holds something already".to_owned());
            return Err(Error { operation: "make file system on", object, source: Cause::Refused(why) });
        }
        *self.files.formatted.entry(uuid.to_owned()).or_default() += 1;
        let system = self.files.new_system(length.saturating_sub(FORMATTED));
        self.change(number, |inode| {
            inode.allocated = inode.allocated.max(FORMATTED.min(length));
            inode.content =
                Content::FileSystem { kind: fs_type.to_string(), uuid: uuid.to_owned(), number: system };
        });
        Ok(())
    }

    pub(super) fn probe(&self, path: &Path) -> Result<Probe> {
        let number = self.image("probe", path)?;
        let inode = &self.files.inodes[&number];
        if inode.directory {
            return Err(refuse("probe", path, Errno::EISDIR));
        }
        Ok(match &inode.content {
            Content::Blank => Probe::Blank,
            Content::FileSystem { kind, uuid, .. } => {
                Probe::FileSystem { kind: kind.clone(), uuid: Some(uuid.clone()) }
            }
            Content::Data(_) => Probe::Other("data".into()),
        })
    }
}
