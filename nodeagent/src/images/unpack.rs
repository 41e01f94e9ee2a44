//! Unpacking one layer beneath a directory handle, in the form that overlayfs reads. The tar is hostile until shown
//! otherwise; every name is resolved by the kernel with the handle as root (`openat2`, `RESOLVE_IN_ROOT`).
//!
//! | in the tar | becomes |
//! |---|---|
//! | a name with `..`, or with a NUL | refused |
//! | an absolute name | the name beneath the layer's root |
//! | a name that leads through a link of the layer | resolved beneath the layer's root, wherever the link points |
//! | hard link | a link within the layer; refused when its target is not in the layer |
//! | `.wh.NAME` | character device 0:0 `NAME`: overlayfs hides the name of the layers below |
//! | `.wh..wh..opq` | `trusted.overlay.opaque=y` on the directory: overlayfs hides all that is below |
//! | character device 0:0 | refused: it would be a whiteout that no whiteout asked for |
//! | other devices, FIFOs | made; a container's device rules decide who may open them |
//! | sockets, other kinds | refused |
//! | `user.*`, `security.capability`, POSIX ACLs | kept |
//! | `trusted.*` and other attributes | left out: they would speak to overlayfs or to the host's policy |
//! | directories that only occur in names | made with mode, owner and group of the layer below, else 0755 root |
//!
//! Sources: OCI image specification 1.1, layer.md; Documentation/filesystems/overlayfs.rst.

mod attributes;
mod names;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use tar::{Entry, EntryType};

use super::tree::{DIRECTORY, remove_entry};
use attributes::Attributes;
use names::Name;

/// Why a layer could not be unpacked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The stream itself is broken.
    Read(io::Error),
    /// The kernel refused an effect.
    Write { operation: &'static str, entry: String, source: io::Error },
    /// The layer asks for something that is not done.
    Refused { entry: String, reason: String },
}

type Result<T> = std::result::Result<T, Fault>;

/// Kernel's prefix of overlayfs's own marks.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Unpacks one layer.
pub(super) struct Unpacker {
    root: OwnedFd,
    /// The layers below, topmost first: where the attributes of directories that are only implied come from.
    lower: Vec<OwnedFd>,
    device: u64,
    /// Directories whose times are set last, since filling them changes these.
    directories: Vec<(Name, Attributes)>,
    /// Directories made over a whiteout or marked: what is below them stays hidden.
    opaque: BTreeSet<PathBuf>,
    bytes: u64,
}

impl Unpacker {
    /// Unpacks into `root`, over `lower` (topmost first).
    pub(super) fn new(root: OwnedFd, lower: Vec<OwnedFd>) -> io::Result<Self> {
        let device = rustix::fs::fstat(&root)?.st_dev;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755))?;
        Ok(Self { root, lower, device, directories: Vec::new(), opaque: BTreeSet::new(), bytes: 0 })
    }

    /// Reads a tar to its end mark and makes what it holds; answers the bytes of the files made.
    pub(super) fn unpack(&mut self, layer: impl Read) -> Result<u64> {
        let mut tar = tar::Archive::new(layer);
        for entry in tar.entries().map_err(Fault::Read)? {
            self.entry(&mut entry.map_err(Fault::Read)?)?;
        }
        for (name, attributes) in std::mem::take(&mut self.directories) {
            let dir =
                self.open(&name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| name.fault("open", e))?;
            attributes.times_of(&dir).map_err(|e| name.fault("set times of", e))?;
        }
        Ok(self.bytes)
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let name = Name::parse(&entry.path_bytes())?;
        let attributes = Attributes::of(entry, &name)?;
        let Some((parent, last)) = name.split() else {
            return self.root_entry(kind, name, attributes);
        };
        let dir = self.parent(&parent)?;
        if let Some(hidden) = last.whiteout()? {
            return self.whiteout(&dir, &parent, hidden);
        }
        match kind {
            EntryType::Directory => self.directory(&dir, &name, attributes),
            EntryType::Link => self.hard_link(&dir, &name, entry),
            _ => {
                self.clear(&dir, &name)?;
                self.node(&dir, &name, kind, entry, &attributes)
            }
        }
    }

    /// The layer may say what the root directory itself is like.
    fn root_entry(&mut self, kind: EntryType, name: Name, attributes: Attributes) -> Result<()> {
        if kind != EntryType::Directory {
            return Err(name.refuse("the root of a layer is a directory"));
        }
        attributes.apply(&self.root).map_err(|e| name.fault("set attributes of", e))?;
        self.directories.push((name, attributes));
        Ok(())
    }

    fn directory(&mut self, dir: &OwnedFd, name: &Name, attributes: Attributes) -> Result<()> {
        match self.kind(dir, name)? {
            Some(Found::Directory) => {}
            Some(Found::Whiteout) => {
                self.clear(dir, name)?;
                self.make_dir(dir, name)?;
                self.mark_opaque(name)?;
            }
            Some(Found::Other) => {
                self.clear(dir, name)?;
                self.make_dir(dir, name)?;
            }
            None => self.make_dir(dir, name)?,
        }
        let made = open_dir(dir, name).map_err(|e| name.fault("open", e))?;
        attributes.apply(&made).map_err(|e| name.fault("set attributes of", e))?;
        self.directories.push((name.clone(), attributes));
        Ok(())
    }

    fn hard_link<R: Read>(&mut self, dir: &OwnedFd, name: &Name, entry: &Entry<'_, R>) -> Result<()> {
        let target = Name::parse(&entry.link_name_bytes().unwrap_or_default())?;
        let missing = || name.refuse(&format!("hard link to {target}, which is no file of this layer"));
        let (parent, last) = target.split().ok_or_else(missing)?;
        if target == *name {
            return Ok(());
        }
        let from = self.open(&parent, OFlags::PATH | OFlags::DIRECTORY).map_err(|_| missing())?;
        let stat =
            rustix::fs::statat(&from, last.last(), AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory || is_whiteout(&stat) {
            return Err(missing());
        }
        self.clear(dir, name)?;
        rustix::fs::linkat(&from, last.last(), dir, name.last(), AtFlags::empty())
            .map_err(|e| name.fault("link", e))
    }

    fn node<R: Read>(
        &mut self,
        dir: &OwnedFd,
        name: &Name,
        kind: EntryType,
        entry: &mut Entry<'_, R>,
        attributes: &Attributes,
    ) -> Result<()> {
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                return self.file(dir, name, entry, attributes);
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                rustix::fs::symlinkat(target.as_ref(), dir, name.last())
                    .map_err(|e| name.fault("link", e))?;
            }
            EntryType::Fifo => make_node(dir, name, FileType::Fifo, 0)?,
            EntryType::Char | EntryType::Block => {
                let number =
                    |part: io::Result<Option<u32>>| part.map_err(Fault::Read).map(Option::unwrap_or_default);
                let (major, minor) =
                    (number(entry.header().device_major())?, number(entry.header().device_minor())?);
                if (major, minor) == (0, 0) {
                    return Err(name.refuse("a device 0:0 is overlayfs's own mark, and no image may set it"));
                }
                let of =
                    if kind == EntryType::Char { FileType::CharacterDevice } else { FileType::BlockDevice };
                make_node(dir, name, of, rustix::fs::makedev(major, minor))?;
            }
            other => {
                return Err(
                    name.refuse(&format!("entries of kind {:?} are not known", other.as_byte() as char))
                );
            }
        }
        attributes
            .apply_at(dir, name.last(), kind != EntryType::Symlink)
            .map_err(|e| name.fault("set attributes of", e))
    }

    fn file<R: Read>(
        &mut self,
        dir: &OwnedFd,
        name: &Name,
        entry: &mut Entry<'_, R>,
        attributes: &Attributes,
    ) -> Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, name.last(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|e| name.fault("create", e))?);
        let mut buffer = [0; 1 << 16];
        loop {
            let n = entry.read(&mut buffer).map_err(Fault::Read)?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n]).map_err(|e| name.fault("write", e))?;
            self.bytes += n as u64;
        }
        attributes.apply(&file).map_err(|e| name.fault("set attributes of", e))?;
        attributes.times_of(&file).map_err(|e| name.fault("set times of", e))
    }

    /// A name of the layers below is to be hidden. What this layer itself has under the name stays.
    fn whiteout(&mut self, dir: &OwnedFd, parent: &Name, hidden: names::Hidden) -> Result<()> {
        match hidden {
            names::Hidden::Nothing => Ok(()),
            names::Hidden::All => self.mark_opaque(parent),
            names::Hidden::One(last) => {
                let name = parent.join(last);
                match self.kind(dir, &name)? {
                    Some(Found::Directory) => self.mark_opaque(&name),
                    Some(_) => Ok(()),
                    None => make_node(dir, &name, FileType::CharacterDevice, 0),
                }
            }
        }
    }

    fn mark_opaque(&mut self, name: &Name) -> Result<()> {
        if !self.opaque.insert(name.path()) {
            return Ok(());
        }
        let dir = self.open(name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| name.fault("open", e))?;
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::fsetxattr(&dir, OPAQUE, b"y", flags).map_err(|e| name.fault("mark as opaque", e))
    }

    /// Opens the directory that an entry lies in; makes it and those above it when no entry did.
    fn parent(&mut self, name: &Name) -> Result<OwnedFd> {
        match self.open(name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(dir) => return Ok(dir),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(e) => return Err(name.fault("open", e)),
        }
        let Some((above, last)) = name.split() else {
            return Err(name.fault("open", Errno::NOENT));
        };
        let dir = self.parent(&above)?;
        match self.kind(&dir, name)? {
            None => self.make_dir(&dir, name)?,
            Some(Found::Whiteout) => {
                self.clear(&dir, name)?;
                self.make_dir(&dir, name)?;
                self.mark_opaque(name)?;
            }
            Some(Found::Directory) => {}
            Some(Found::Other) => return Err(name.refuse("entries lie beneath it, and it is no directory")),
        }
        let made = open_dir(&dir, &last).map_err(|e| name.fault("open", e))?;
        self.inherit(&made, name).map_err(|e| name.fault("set attributes of", e))?;
        Ok(made)
    }

    /// A directory that only names imply looks as it does in the layers below.
    fn inherit(&self, made: &OwnedFd, name: &Name) -> rustix::io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let below = self.lower.iter().find_map(|lower| open_in(lower, name, flags).ok());
        let Some(below) = below else {
            return rustix::fs::fchmod(made, Mode::from_raw_mode(0o755));
        };
        let stat = rustix::fs::fstat(&below)?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(made, Some(uid), Some(gid))?;
        rustix::fs::fchmod(made, Mode::from_raw_mode(stat.st_mode & 0o7777))
    }

    fn make_dir(&self, dir: &OwnedFd, name: &Name) -> Result<()> {
        rustix::fs::mkdirat(dir, name.last(), Mode::RWXU).map_err(|e| name.fault("create directory", e))
    }

    /// Takes away what an earlier entry of the same layer made under this name.
    fn clear(&mut self, dir: &OwnedFd, name: &Name) -> Result<()> {
        match remove_entry(dir, &name.last_c(), self.device) {
            Ok(_) => {
                let path = name.path();
                self.directories.retain(|(made, _)| !made.path().starts_with(&path));
                self.opaque.retain(|made| !made.starts_with(&path));
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(name.fault("replace", e)),
        }
    }

    fn kind(&self, dir: &OwnedFd, name: &Name) -> Result<Option<Found>> {
        match rustix::fs::statat(dir, name.last(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_whiteout(&stat) => Ok(Some(Found::Whiteout)),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Some(Found::Directory))
            }
            Ok(_) => Ok(Some(Found::Other)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(name.fault("look at", e)),
        }
    }

    fn open(&self, name: &Name, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        open_in(&self.root, name, flags)
    }
}

/// What an earlier entry left under a name.
enum Found {
    Directory,
    Whiteout,
    Other,
}

/// The one way a name of more than one part is resolved.
fn open_in(root: &OwnedFd, name: &Name, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, name.relative(), flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn open_dir(dir: &OwnedFd, name: &Name) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(dir, name.last(), DIRECTORY, Mode::empty())
}

fn make_node(dir: &OwnedFd, name: &Name, kind: FileType, device: u64) -> Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(dir, name.last(), kind, mode, device).map_err(|e| name.fault("create", e))
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

#[cfg(test)]
mod tests;
