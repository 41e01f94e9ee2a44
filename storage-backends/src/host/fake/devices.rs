//! Loop devices of the fake machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::{
    super::{FileId, LoopDevice, Result, Untold},
    Fake, Machine,
    files::refuse,
};

/// Major number of loop devices.
pub(super) const MAJOR: u32 = 7;

#[derive(Debug, Default)]
pub(super) struct Devices {
    loops: BTreeMap<u32, LoopDevice>,
    /// Directories on servers that are silent: what devices with files there hold is not told.
    silent: BTreeSet<PathBuf>,
}

impl Devices {
    pub(super) fn at(&self, device: &Path) -> Option<&LoopDevice> {
        self.loops.values().find(|found| found.device == device)
    }

    /// The inode that a device holds.
    pub(super) fn backing(&self, device: &Path) -> Option<u64> {
        self.at(device).and_then(inode)
    }

    pub(super) fn holds(&self, inode: u64) -> bool {
        self.holding(inode) > 0
    }

    /// How many devices hold a file.
    pub(super) fn holding(&self, inode: u64) -> usize {
        self.loops.values().filter(|found| self::inode(found) == Some(inode)).count()
    }
}

fn inode(device: &LoopDevice) -> Option<u64> {
    device.backing.as_ref().ok().map(|file| file.inode)
}

impl Fake {
    /// Lets the devices with files below a directory not tell which files these are, as a server that is gone does.
    pub fn let_loops_be_silent(&self, dir: &Path, silent: bool) {
        let known = &mut self.machine().devices.silent;
        let _ = if silent { known.insert(dir.to_owned()) } else { known.remove(dir) };
    }
}

impl Machine {
    /// As the kernel does, without a look at whether another device holds the file already.
    pub(super) fn attach_loop(&mut self, file: &Path, read_only: bool) -> Result<LoopDevice> {
        let inode = self.find("attach loop device to", file)?;
        if self.files.inodes[&inode].directory {
            return Err(refuse("attach loop device to", file, Errno::EISDIR));
        }
        let (_, (system, inner)) = self.mounts.resolve(file);
        let number = (0..u32::MAX)
            .find(|number| !self.devices.loops.contains_key(number))
            .ok_or_else(|| refuse("attach loop device to", file, Errno::EBUSY))?;
        let device = LoopDevice {
            device: format!("/dev/loop{number}").into(),
            number: (MAJOR, number),
            backing: Ok(FileId { device: self.files.device(system, &inner), inode }),
            path: file.to_owned(),
            offset: 0,
            size_limit: 0,
            autoclear: false,
            direct_io: true,
            read_only,
        };
        self.devices.loops.insert(number, device.clone());
        Ok(device)
    }

    pub(super) fn loops(&self) -> Vec<LoopDevice> {
        let told = |device: LoopDevice| {
            let silent = self.devices.silent.iter().any(|dir| device.path.starts_with(dir));
            if silent { LoopDevice { backing: Err(Untold::Silent), ..device } } else { device }
        };
        self.devices.loops.values().cloned().map(|device| told(self.as_named_now(device))).collect()
    }

    /// The kernel reports the file's present name, and says when it has none.
    fn as_named_now(&self, mut device: LoopDevice) -> LoopDevice {
        let Some(inode) = inode(&device) else { return device };
        match self.files.names.iter().find(|(_, number)| **number == inode) {
            Some(((system, path), _)) if *system == super::files::ROOT => device.path.clone_from(path),
            Some(_) => {}
            None => device.path = PathBuf::from(format!("{} (deleted)", device.path.display())),
        }
        device
    }

    pub(super) fn detach_loop(&mut self, device: &Path) -> Result<()> {
        let refused = |errno| Err(refuse("detach", device, errno));
        let Some(found) = self.devices.at(device) else { return refused(Errno::ENXIO) };
        let number = found.number;
        if self.mounts.entries().iter().any(|mount| mount.number == number) {
            return refused(Errno::EBUSY);
        }
        let inode = inode(found);
        self.devices.loops.remove(&number.1);
        let Some(inode) = inode else { return Ok(()) };
        if !self.devices.holds(inode) && !self.files.inodes.get(&inode).is_some_and(|inode| inode.linked) {
            self.files.inodes.remove(&inode);
        }
        Ok(())
    }
}
