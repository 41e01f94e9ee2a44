//! `/proc/self/mountinfo`: parsed once, here.
//!
//! Traps: fields are escaped in octal (`\040` is a blank); a source or root that was unlinked ends in `//deleted`; a
//! place can be mounted on several times, the last line wins; the number of optional fields varies, a lone `-` ends
//! them; and the kernel gives no snapshot over several reads. Format: proc_pid_mountinfo(5).
//!
//! Where many pods come and go the table never stands still. From Linux 5.8 on (which `LOOP_CONFIGURE` needs as well)
//! a reader's place in it is kept by a cursor, so a mount that is there all the while is listed exactly once. Two
//! readings that agree show one moment besides; they are tried for a few times and no more.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::{
    super::{MountEntry, Result},
    failed,
};

const MOUNTINFO: &str = "/proc/self/mountinfo";
/// How often a table that changes under the reader's hands is read.
const READINGS: usize = 4;

/// The mount table, in mount order.
pub(super) fn read() -> Result<Vec<MountEntry>> {
    stable(read_once).and_then(|table| parse(&table)).map_err(failed("read", Path::new(MOUNTINFO)))
}

/// Whether the mount at a place, or one in it, tells others of what is mounted in it.
pub(super) fn is_shared(place: &Path) -> Result<bool> {
    let table = stable(read_once).map_err(failed("read", Path::new(MOUNTINFO)))?;
    Ok(shares_below(&table, place))
}

fn shares_below(table: &[u8], place: &Path) -> bool {
    table.split(|&byte| byte == b'\n').any(|line| {
        let mut fields = line.split(|&byte| byte == b' ').skip(4);
        fields.next().is_some_and(|target| path(target).starts_with(place))
            && fields.take_while(|field| *field != b"-").any(|field| field.starts_with(b"shared:"))
    })
}

fn read_once() -> io::Result<Vec<u8>> {
    let mut table = Vec::with_capacity(16 * 1024);
    File::open(MOUNTINFO)?.read_to_end(&mut table)?;
    Ok(table)
}

/// Reads until two readings are alike, and takes the last one when they never are.
fn stable(mut read: impl FnMut() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut last = read()?;
    for _ in 1..READINGS {
        let again = read()?;
        if again == last {
            return Ok(again);
        }
        last = again;
    }
    Ok(last)
}

pub(super) fn parse(table: &[u8]) -> io::Result<Vec<MountEntry>> {
    table
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            parse_line(line).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("not understood: {}", text(line)))
            })
        })
        .collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let (major, minor) = text(fields.next()?).split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    let root = path(fields.next()?);
    let target = path(fields.next()?);
    let options = text(fields.next()?);
    fields.by_ref().find(|field| *field == b"-")?;
    Some(MountEntry {
        id,
        parent,
        number: (major.parse().ok()?, minor.parse().ok()?),
        root,
        target,
        options,
        fs_type: text(&unescape(fields.next()?)),
        source: text(&unescape(fields.next()?)),
        super_options: text(&unescape(fields.next().unwrap_or_default())),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Replaces `\ooo` by the byte it stands for.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests;
