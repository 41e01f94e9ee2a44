//! The initramfs of a guest: busybox, the modules that find its root, and two scripts. Written as a cpio archive here, not
//! compressed: unpacking costs an emulated processor more than reading does.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::modules::Modules;

/// What must be there before the root is: the rest is loaded from `/lib/modules` when something asks for it. No udev runs in
/// a guest, so that drivers of devices belong here.
const NEEDED: &[&str] =
    &["virtio_pci", "virtio_console", "virtio_net", "virtio_blk", "9pnet_virtio", "9p", "overlay"];

const BUSYBOX: &str = "/bin/busybox";
const INIT: &str = include_str!("init.sh");
const GUEST: &str = include_str!("guest.sh");

/// The archive for the kernel whose modules lie in `modules`.
pub(super) fn build(modules: &Path) -> Result<Vec<u8>> {
    let read = |name: &str| {
        let path = modules.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let order = Modules::parse(&read("modules.dep")?, &read("modules.builtin")?).closure(NEEDED)?;
    let busybox = fs::read(BUSYBOX).with_context(|| format!("read {BUSYBOX} (Debian: busybox-static)"))?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "mods", "proc", "ro", "root", "rw", "sys"] {
        archive.add(dir, DIRECTORY, &[]);
    }
    archive.add("bin/busybox", PROGRAM, &busybox);
    archive.add("init", PROGRAM, INIT.as_bytes());
    archive.add("guest", PROGRAM, GUEST.as_bytes());
    let mut names = String::new();
    for (position, file) in order.iter().enumerate() {
        let name = format!("{position:02}.ko");
        let path = modules.join(file);
        let code = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        archive.add(&format!("mods/{name}"), FILE, &code);
        names.push_str(&name);
        names.push('\n');
    }
    archive.add("mods/order", FILE, names.as_bytes());
    Ok(archive.finish())
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// A cpio archive in the one format that the kernel unpacks (`newc`).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        self.entry(self.entries, name, mode, content);
    }

    fn entry(&mut self, inode: u32, name: &str, mode: u32, content: &[u8]) {
        let size = u32::try_from(content.len()).expect("smaller than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("a short name");
        // inode, mode, uid, gid, links, mtime, size, device (2), device of a node (2), length of the name, checksum
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry(0, "TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_kernels_layout() {
        let mut archive = Archive::default();
        archive.add("a", FILE, b"12345");
        let bytes = archive.finish();
        assert_eq!(&bytes[..14], b"07070100000001", "magic and inode");
        assert_eq!(&bytes[14..22], b"000081a4", "a regular file, 0644");
        assert_eq!(&bytes[54..62], b"00000005", "its size");
        assert_eq!(&bytes[110..117], b"a\x0012345", "name and content, each padded to four bytes");
        assert_eq!(&bytes[117..126], b"\0\0\x00070701", "the trailer follows");
        assert!(bytes.len().is_multiple_of(4) && bytes.windows(11).any(|w| w == b"TRAILER!!!\0"));
    }
}
