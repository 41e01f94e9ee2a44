//! The mount table of the fake machine: a tree of mounts, walked component by component as the kernel walks it.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{
    super::{Cause, Error, FsType, MountEntry, MountRequest, Result, options},
    Machine,
    files::{Content, ROOT, refuse},
    runtime::busy,
};

/// A mount, and which file system it shows.
#[derive(Clone, Debug)]
pub(super) struct Mounted {
    entry: MountEntry,
    system: u64,
}

impl Mounted {
    pub(super) fn read_only(&self) -> bool {
        self.entry.options.split(',').any(|option| option == "ro")
    }
}

#[derive(Debug)]
pub(super) struct Mounts {
    table: Vec<Mounted>,
    next: u64,
}

/// Number of a device that a file system without one gets, in the range of the kernel's anonymous devices.
pub(super) fn anonymous(system: u64) -> (u32, u32) {
    (0, u32::try_from(system).unwrap_or(u32::MAX))
}

impl Mounts {
    pub(super) fn new() -> Self {
        let entry = MountEntry {
            id: 1,
            parent: 0,
            number: (254, 0),
            root: "/".into(),
            target: "/".into(),
            options: "rw,relatime".into(),
            fs_type: "ext4".into(),
            source: "/dev/vda".into(),
            super_options: "rw".into(),
        };
        Self { table: vec![Mounted { entry, system: ROOT }], next: 2 }
    }

    pub(super) fn entries(&self) -> Vec<MountEntry> {
        self.table.iter().map(|mount| mount.entry.clone()).collect()
    }

    /// The mount that shows a path, and the path within its file system.
    pub(super) fn resolve(&self, path: &Path) -> (&Mounted, (u64, PathBuf)) {
        let mut at = &self.table[0];
        let mut prefix = PathBuf::new();
        for component in path.components() {
            prefix.push(component);
            while let Some(over) = self.child(at, &prefix) {
                at = over;
            }
        }
        let below = path.strip_prefix(&at.entry.target).unwrap_or(Path::new(""));
        let inner =
            if below.as_os_str().is_empty() { at.entry.root.clone() } else { at.entry.root.join(below) };
        (at, (at.system, inner))
    }

    /// What is mounted on this mount at this place; a later one there is a child of the former.
    fn child(&self, parent: &Mounted, target: &Path) -> Option<&Mounted> {
        let mut over = self.table.iter().rev();
        over.find(|mount| mount.entry.parent == parent.entry.id && mount.entry.target == target)
    }

    pub(super) fn is_mount_point(&self, path: &Path) -> bool {
        self.resolve(path).0.entry.target == path
    }

    pub(super) fn add(&mut self, system: u64, mut entry: MountEntry) {
        entry.id = self.next;
        self.next += 1;
        entry.parent = self.resolve(&entry.target).0.entry.id;
        self.table.push(Mounted { entry, system });
    }
}

pub(super) fn entry(
    number: (u32, u32),
    target: &Path,
    read_only: bool,
    fs_type: &str,
    source: &str,
) -> MountEntry {
    let mode = if read_only { "ro" } else { "rw" };
    MountEntry {
        id: 0,
        parent: 0,
        number,
        root: "/".into(),
        target: target.to_owned(),
        options: format!("{mode},relatime"),
        fs_type: fs_type.into(),
        source: source.into(),
        super_options: mode.into(),
    }
}

impl Machine {
    pub(super) fn mount(&mut self, request: &MountRequest) -> Result<()> {
        match request {
            MountRequest::Device { source, target, fs_type, read_only, options } => {
                let read_only = self.checked_options(target, *fs_type, *read_only, options)?;
                self.mount_device(source, target, *fs_type, read_only)
            }
            MountRequest::Bind { source, target, read_only } => self.bind(source, target, *read_only),
            MountRequest::Overlay { lower, upper, work, target } => {
                for path in lower.iter().chain([upper, work, target]) {
                    self.directory(path)?;
                }
                let system = self.files.new_system(u64::MAX);
                let mut overlay = entry(anonymous(system), target, false, "overlay", "overlay");
                let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
                overlay.super_options = format!("rw,lowerdir={}", lower.join(":"));
                self.mounts.add(system, overlay);
                Ok(())
            }
            MountRequest::Nfs { share, beneath, volume, target, read_only } => {
                self.mount_share(share, beneath, volume.as_deref(), target, *read_only)
            }
            MountRequest::Tmpfs { target, bytes, .. } => {
                self.directory(target)?;
                let system = self.files.new_system(bytes.unwrap_or(u64::MAX));
                self.mounts.add(system, entry(anonymous(system), target, false, "tmpfs", "tmpfs"));
                Ok(())
            }
        }
    }

    fn checked_options(
        &self,
        target: &Path,
        fs_type: FsType,
        read_only: bool,
        options: &[String],
    ) -> Result<bool> {
        let parsed = options::parse(fs_type, options).map_err(|why| Error {
            operation: "mount",
            object: target.display().to_string(),
            source: Cause::Refused(why),
        })?;
        Ok(read_only || parsed.flags.contains(&options::Flag::ReadOnly))
    }

    pub(super) fn directory(&self, path: &Path) -> Result<()> {
        match self.lookup(path) {
            None => Err(refuse("mount on", path, Errno::ENOENT)),
            Some((_, inode)) if !inode.directory => Err(refuse("mount on", path, Errno::ENOTDIR)),
            Some(_) => Ok(()),
        }
    }

    fn mount_device(&mut self, source: &Path, target: &Path, fs_type: FsType, read_only: bool) -> Result<()> {
        self.directory(target)?;
        let refused = |errno| Err(refuse("mount on", target, errno));
        let Some(device) = self.devices.at(source) else { return refused(Errno::ENOENT) };
        let kind = fs_type.to_string();
        let system = match device
            .backing
            .as_ref()
            .ok()
            .and_then(|file| self.files.inodes.get(&file.inode))
            .map(|inode| &inode.content)
        {
            Some(Content::FileSystem { kind: found, number, .. }) if *found == kind => *number,
            _ => return refused(Errno::EINVAL),
        };
        let new = entry(device.number, target, read_only, &kind, &source.display().to_string());
        // A file system that is mounted is shown again, and cannot be writable here and read-only there.
        let contrary =
            self.mounts.table.iter().any(|mount| {
                mount.entry.number == new.number && mount.entry.super_options != new.super_options
            });
        if contrary {
            return refused(Errno::EBUSY);
        }
        self.mounts.add(system, new);
        Ok(())
    }

    pub(super) fn bind(&mut self, source: &Path, target: &Path, read_only: bool) -> Result<()> {
        let Some((_, inode)) = self.lookup(source) else {
            return Err(refuse("bind mount on", source, Errno::ENOENT));
        };
        let directory = inode.directory;
        match self.lookup(target) {
            None => return Err(refuse("bind mount on", target, Errno::ENOENT)),
            Some((_, place)) if place.directory != directory => {
                return Err(refuse("bind mount on", target, Errno::ENOTDIR));
            }
            Some(_) => {}
        }
        let (shown, (system, inner)) = self.mounts.resolve(source);
        let mut new = shown.entry.clone();
        let read_only = read_only || shown.read_only();
        new.root = inner;
        target.clone_into(&mut new.target);
        new.options = format!("{},relatime", if read_only { "ro" } else { "rw" });
        self.mounts.add(system, new);
        Ok(())
    }

    /// Pins a namespace, whose kind of file system holds nothing else.
    pub(super) fn pin(&mut self, target: &Path) {
        let system = self.files.new_system(0);
        self.mounts.add(system, entry((0, 4), target, false, "nsfs", "nsfs"));
    }

    pub(super) fn unmount(&mut self, target: &Path) -> Result<()> {
        if self.lookup(target).is_none() {
            return Err(refuse("unmount", target, Errno::ENOENT));
        }
        let top = self.mounts.resolve(target).0.entry.clone();
        if top.target != target || top.parent == 0 {
            return Err(refuse("unmount", target, Errno::EINVAL));
        }
        if self.mounts.table.iter().any(|mount| mount.entry.parent == top.id) {
            return Err(refuse("unmount", target, Errno::EBUSY));
        }
        if self.containers.hold(target) || self.nfs_server.holds(target) {
            return Err(busy(target));
        }
        self.mounts.table.retain(|mount| mount.entry.id != top.id);
        Ok(())
    }
}
