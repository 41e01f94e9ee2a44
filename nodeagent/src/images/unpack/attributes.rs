//! What an entry is like: owner, mode, time and extended attributes, and how they are set on what was made of it.

use std::{ffi::OsStr, io::Read, os::fd::AsFd};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use tar::Entry;

use super::{Fault, Result, names::Name};

/// Prefix of extended attributes in PAX records (star's, used by every image builder).
const PAX_XATTR: &str = "SCHILY.xattr.";

/// What an entry's header and PAX records say.
pub(super) struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    modified: Timespec,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    /// Reads an entry's header.
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>, name: &Name) -> Result<Self> {
        let mut modified = None;
        let mut xattrs = Vec::new();
        if let Some(records) = entry.pax_extensions().map_err(Fault::Read)? {
            for record in records {
                let record = record.map_err(Fault::Read)?;
                let key = record.key().unwrap_or_default();
                if key == "mtime" {
                    modified = record.value().ok().and_then(timestamp);
                } else if let Some(key) = key.strip_prefix(PAX_XATTR).filter(|key| is_kept(key)) {
                    xattrs.push((key.to_owned(), record.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        let id =
            |value: u64| u32::try_from(value).map_err(|_| name.refuse("its owner's number is out of range"));
        let seconds = i64::try_from(header.mtime().map_err(Fault::Read)?).unwrap_or(0);
        Ok(Self {
            uid: id(header.uid().map_err(Fault::Read)?)?,
            gid: id(header.gid().map_err(Fault::Read)?)?,
            mode: header.mode().map_err(Fault::Read)? & 0o7777,
            modified: modified.unwrap_or(Timespec { tv_sec: seconds, tv_nsec: 0 }),
            xattrs,
        })
    }

    /// Sets owner, mode and extended attributes, in the order that keeps them: a change of owner clears set-id bits and
    /// file capabilities.
    pub(super) fn apply(&self, file: impl AsFd) -> rustix::io::Result<()> {
        rustix::fs::fchown(&file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(self.mode))?;
        self.xattrs.iter().try_for_each(|(key, value)| {
            rustix::fs::fsetxattr(&file, key.as_str(), value, XattrFlags::empty())
        })
    }

    /// The same for what cannot be opened: links, which have no mode of their own, and devices, which may act on open.
    pub(super) fn apply_at(&self, dir: impl AsFd, name: &OsStr, has_mode: bool) -> rustix::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if has_mode {
            rustix::fs::chmodat(&dir, name, Mode::from_raw_mode(self.mode), AtFlags::empty())?;
        }
        rustix::fs::utimensat(&dir, name, &self.timestamps(), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets the time of last change of an open file.
    pub(super) fn times_of(&self, file: impl AsFd) -> rustix::io::Result<()> {
        rustix::fs::futimens(file, &self.timestamps())
    }

    fn timestamps(&self) -> Timestamps {
        Timestamps { last_access: self.modified, last_modification: self.modified }
    }
}

/// Attributes that mean the same inside a container; all others speak to the host.
fn is_kept(key: &str) -> bool {
    key.starts_with("user.") || key == "security.capability" || key.starts_with("system.posix_acl_")
}

/// A PAX time: seconds with an optional fraction.
fn timestamp(text: &str) -> Option<Timespec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(Timespec { tv_sec: seconds.parse().ok()?, tv_nsec: nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times_have_fractions() {
        let parts = |text| timestamp(text).map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(parts("1700000000.25"), Some((1_700_000_000, 250_000_000)));
        assert_eq!(parts("12"), Some((12, 0)));
        assert_eq!(parts("1.1234567891"), Some((1, 123_456_789)));
        assert_eq!(parts("soon"), None);
    }

    #[test]
    fn attributes_for_the_host_are_left_out() {
        assert!(is_kept("user.mime") && is_kept("security.capability") && is_kept("system.posix_acl_access"));
        assert!(!is_kept("trusted.overlay.opaque") && !is_kept("security.selinux") && !is_kept("user"));
    }
}
