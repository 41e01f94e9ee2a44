//! Making file systems, and finding out what a device holds.
//!
//! | blkid says | our own look at the magic numbers | answer |
//! |---|---|---|
//! | (not asked) | exactly one, ext4 or XFS, with its UUID | that file system |
//! | a file system | anything | that file system |
//! | a partition table, a member of something, several | anything | Other |
//! | nothing: exit 2 and not a word | none | Blank |
//! | nothing: exit 2 and not a word | any | refused: they disagree |
//! | anything else | anything | an error, never Blank |

use std::{
    collections::BTreeMap, ffi::OsString, fs::File, os::unix::fs::FileTypeExt, path::Path, time::Duration,
};

use rustix::{fs::SeekFrom, io::Errno};

use super::{
    super::{Cause, Error, FsType, Probe, Result},
    failed,
    program::{Output, Program},
    superblock,
};

/// A probe reads a few blocks; longer means that the device hangs.
const PROBE_DEADLINE: Duration = Duration::from_secs(30);
/// Large devices on slow disks, writing little.
const MAKE_DEADLINE: Duration = Duration::from_secs(300);

pub(super) fn make(path: &Path, fs_type: FsType, uuid: &str) -> Result<()> {
    let zeroed = is_one_hole(path);
    if !zeroed {
        refuse_data(path)?;
    }
    let program = |arguments: Vec<OsString>| match fs_type {
        FsType::Ext4 => Program {
            operation: "make ext4 file system on",
            object: path.display().to_string(),
            name: "mkfs.ext4",
            package: "e2fsprogs",
            arguments,
            deadline: MAKE_DEADLINE,
        },
        FsType::Xfs => Program {
            operation: "make xfs file system on",
            object: path.display().to_string(),
            name: "mkfs.xfs",
            package: "xfsprogs",
            arguments,
            deadline: MAKE_DEADLINE,
        },
    };
    match fs_type {
        FsType::Xfs => program(xfs_arguments(path, uuid)).run().map(drop),
        // Only mke2fs 1.47 and newer can be told that all is zero already, so that the kernel need not write inode
        // tables into the holes later; older ones say that they do not know the option.
        FsType::Ext4 if zeroed => {
            match program(ext4_arguments(path, uuid, "assume_storage_prezeroed=1")).run() {
                Err(Error { source: Cause::Program { .. }, .. }) => {
                    program(ext4_arguments(path, uuid, "lazy_itable_init=1")).run().map(drop)
                }
                other => other.map(drop),
            }
        }
        FsType::Ext4 => program(ext4_arguments(path, uuid, "lazy_itable_init=1")).run().map(drop),
    }
}

/// The caller has proven it blank; what is at stake is worth a second look.
fn refuse_data(path: &Path) -> Result<()> {
    let found = match probe(path)? {
        Probe::Blank => return Ok(()),
        Probe::FileSystem { kind, .. } => kind,
        Probe::Other(what) => what,
    };
    Err(Error {
        operation: "make file system on",
        object: path.display().to_string(),
        source: Cause::Refused(format!("it holds {found} already")),
    })
}

/// `-F`: a regular file is meant. `-m 0`: nothing is kept back for root, a volume is as large as was asked for.
fn ext4_arguments(path: &Path, uuid: &str, tables: &str) -> Vec<OsString> {
    let extended = format!("nodiscard,{tables},lazy_journal_init=1");
    let mut arguments: Vec<OsString> =
        ["-q", "-F", "-b", "4096", "-m", "0", "-E", &extended, "-U", uuid].map(Into::into).into();
    arguments.push(path.into());
    arguments
}

/// `-K`: no discard. Without `-f` mkfs.xfs itself refuses a file that holds something.
fn xfs_arguments(path: &Path, uuid: &str) -> Vec<OsString> {
    let metadata = format!("uuid={uuid}");
    let mut arguments: Vec<OsString> = ["-q", "-K", "-m", &metadata].map(Into::into).into();
    arguments.push(path.into());
    arguments
}

/// Whether a regular file has no data at all, so that every byte of it reads zero.
fn is_one_hole(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let regular = file.metadata().is_ok_and(|found| found.is_file());
    regular && rustix::fs::seek(&file, SeekFrom::Data(0)) == Err(Errno::NXIO)
}

pub(super) fn probe(path: &Path) -> Result<Probe> {
    let seen = look(path)?;
    if let [superblock::Found { kind: kind @ ("ext4" | "xfs"), uuid: Some(uuid) }] = seen.as_slice() {
        return Ok(Probe::FileSystem { kind: (*kind).to_owned(), uuid: Some(uuid.clone()) });
    }
    let program = Program {
        operation: "probe",
        object: path.display().to_string(),
        name: "blkid",
        package: "util-linux",
        arguments: vec!["-p".into(), "-o".into(), "export".into(), path.into()],
        deadline: PROBE_DEADLINE,
    };
    let output = program.output()?;
    match judge(&output) {
        Verdict::Found(probe) => Ok(probe),
        Verdict::Nothing if seen.is_empty() => Ok(Probe::Blank),
        Verdict::Nothing => Err(Error {
            operation: "probe",
            object: path.display().to_string(),
            source: Cause::Refused(format!("blkid finds nothing, but there are signs of {}", seen[0].kind)),
        }),
        Verdict::Failed => Err(program.exited(&output)),
    }
}

/// Opens the device ourselves: blkid answers "nothing" for a file that is not there, too.
fn look(path: &Path) -> Result<Vec<superblock::Found>> {
    let context = failed("probe", path);
    let file = File::open(path).map_err(&context)?;
    let kind = file.metadata().map_err(&context)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Error {
            operation: "probe",
            object: path.display().to_string(),
            source: Cause::Refused("it is neither a file nor a block device".into()),
        });
    }
    superblock::look(&file).map_err(context)
}

enum Verdict {
    Found(Probe),
    Nothing,
    Failed,
}

fn judge(output: &Output) -> Verdict {
    match output.code {
        Some(0) => Verdict::Found(read_export(&output.stdout)),
        Some(2) if output.stdout.is_empty() && output.stderr.is_empty() => Verdict::Nothing,
        // Several signatures that contradict each other.
        Some(8) => Verdict::Found(Probe::Other("several signatures that contradict each other".into())),
        _ => Verdict::Failed,
    }
}

/// Reads `NAME=value` lines. Something that is not recognised as a file system is Other, never Blank.
fn read_export(text: &str) -> Probe {
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    match (values.get("USAGE").copied(), values.get("TYPE").copied()) {
        (Some("filesystem"), Some(kind)) => Probe::FileSystem {
            kind: kind.to_owned(),
            uuid: values.get("UUID").map(|uuid| (*uuid).to_owned()),
        },
        (_, Some(kind)) => Probe::Other(kind.to_owned()),
        (_, None) => match values.get("PTTYPE") {
            Some(table) => Probe::Other(format!("a partition table ({table})")),
            None => Probe::Other("something that blkid does not name".into()),
        },
    }
}

#[cfg(test)]
mod tests;
