//! Our own look at magic numbers: who says "blank" must not trust one program alone.
//!
//! Places: ext2/3/4 superblock at 1024 (magic at +56, incompatible features at +96, UUID at +104), XFS at 0 (UUID at
//! +32), btrfs at 65536 (magic at +64), swap's at the end of the first page, LVM's label in one of the first sectors.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Something recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As blkid would name it.
    pub(super) kind: &'static str,
    /// Its UUID, where it is in a fixed place and not all zeros.
    pub(super) uuid: Option<String>,
}

/// Incompatible feature of ext4: files are maps of extents.
const EXTENTS: u32 = 0x40;
const LOOKED_AT: usize = 68 * 1024;

/// All that is recognised.
pub(super) fn look(file: &File) -> io::Result<Vec<Found>> {
    let mut head = vec![0; LOOKED_AT];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(recognise(&head))
}

/// `head` is padded with zeros to 68 KiB.
fn recognise(head: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    if head[1080..1082] == [0x53, 0xEF] {
        let incompatible = u32::from_le_bytes([head[1120], head[1121], head[1122], head[1123]]);
        let kind = if incompatible & EXTENTS == 0 { "ext2" } else { "ext4" };
        found.push(Found { kind, uuid: uuid(&head[1128..1144]) });
    }
    if head.starts_with(b"XFSB") {
        found.push(Found { kind: "xfs", uuid: uuid(&head[32..48]) });
    }
    if head[65600..65608] == *b"_BHRfS_M" {
        found.push(Found { kind: "btrfs", uuid: None });
    }
    if head[4086..4096] == *b"SWAPSPACE2" {
        found.push(Found { kind: "swap", uuid: None });
    }
    if (0..4).any(|sector| head[sector * 512..].starts_with(b"LABELONE")) {
        found.push(Found { kind: "LVM2_member", uuid: None });
    }
    if head.starts_with(b"LUKS") {
        found.push(Found { kind: "crypto_LUKS", uuid: None });
    }
    if head[510..512] == [0x55, 0xAA] {
        found.push(Found { kind: "a partition table or boot sector", uuid: None });
    }
    found
}

fn uuid(bytes: &[u8]) -> Option<String> {
    uuid::Uuid::from_slice(bytes).ok().filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string())
}
