//! What a visit does, step by step. Every step looks first, so that a visit may be repeated from any point.
//!
//! | visit | marker | directory | done |
//! |---|---|---|---|
//! | any | cannot be read | | Refused: damaged |
//! | Make | of a volume above | | Refused: within |
//! | Make | another's | | Refused: foreign |
//! | Make | none | none | marker, directory |
//! | Make | none | there, and may not be adopted | Refused: unmarked |
//! | Make | none, but of a volume below | none or there | Refused: above |
//! | Make | none | there, may be adopted | marker |
//! | Make | own, and of a volume below | none or there | Refused: above |
//! | Make | own | none or there | what is missing |
//! | Remove, Archive | none | none | Done |
//! | Remove, Archive | none | there | Refused: unmarked |
//! | Release | none | | Done |
//! | Remove, Archive, Release | another's | | Refused: foreign |
//! | Remove, Archive, Release | own | adopted | marker goes, directory stays |
//! | Release | own | there | marker goes, directory stays |
//! | Remove, Archive | own, and of a volume below | there | Refused: above |
//! | Remove | own | there | directory goes, marker goes |
//! | Archive | own | there | directory gets another name, marker goes |
//! | Remove, Archive | own | something else | Refused: not a directory |
//! | Remove, Archive | own | none | marker goes |

use std::{borrow::Borrow, io};

use nix::errno::Errno;

use super::{Kept, Kind, Make, Marker, OWN, Outcome, Refusal, Root, Visit, marker_path};

/// The two directories of ours.
const VOLUMES: [&str; 2] = [OWN, "volumes"];
const REMOVING: [&str; 2] = [OWN, "removing"];
/// For root alone.
const PRIVATE: u32 = 0o700;
/// Of directories above a volume's.
const ABOVE: u32 = 0o755;

/// Why a visit ended before its end.
pub(super) enum Stop {
    Refused(Refusal),
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

pub(super) type Step<T> = Result<T, Stop>;

/// Carries out a visit on an opened share.
pub fn carry_out(root: &dyn Root, visit: &Visit) -> io::Result<Outcome> {
    let outcome = match visit {
        Visit::Make(make) => self::make(root, make),
        Visit::Remove(kept) => end(root, kept, remove),
        Visit::Archive(kept) => end(root, kept, archive),
        Visit::Release(kept) => release(root, kept),
    };
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Refused(why)) => Ok(Outcome::Refused(why)),
        Err(Stop::Failed(error)) if is_no_way(&error) => {
            Ok(Outcome::Refused(Refusal::NotADirectory(visit.directory().join("/"))))
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// A part of a path is a link, a file or another file system.
pub(super) fn is_no_way(error: &io::Error) -> bool {
    let known = [Errno::ELOOP, Errno::ENOTDIR, Errno::EXDEV];
    known.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

impl Visit {
    fn directory(&self) -> &[String] {
        match self {
            Self::Make(make) => &make.directory,
            Self::Remove(kept) | Self::Archive(kept) | Self::Release(kept) => &kept.directory,
        }
    }
}

pub(super) fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The marker's name: a sign that no part may have joins the parts.
pub(super) fn marker_name<S: Borrow<str>>(directory: &[S]) -> String {
    directory.join("+")
}

pub(super) fn read_marker(root: &dyn Root, directory: &[&str]) -> Step<Option<Marker>> {
    let Some(content) = root.read(&[VOLUMES[0], VOLUMES[1], &marker_name(directory)])? else {
        return Ok(None);
    };
    match serde_json::from_slice::<Marker>(&content) {
        Ok(marker) if marker.directory == directory.join("/") => Ok(Some(marker)),
        _ => Err(Stop::Refused(Refusal::Damaged(marker_path(directory)))),
    }
}

fn remove_marker(root: &dyn Root, directory: &[&str]) -> io::Result<()> {
    root.remove_file(&[VOLUMES[0], VOLUMES[1], &marker_name(directory)])
}

/// Ensures that a directory is there.
fn ensure_dir(root: &dyn Root, path: &[&str], mode: u32) -> Step<()> {
    match root.make_dir(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return Ok(other?),
    }
    match root.kind(path)? {
        Some(Kind::Directory) => Ok(()),
        _ => Err(Stop::Refused(Refusal::NotADirectory(path.join("/")))),
    }
}

fn ensure_own(root: &dyn Root, own: [&str; 2]) -> Step<()> {
    ensure_dir(root, &own[..1], PRIVATE)?;
    ensure_dir(root, &own, PRIVATE)
}

fn make(root: &dyn Root, make: &Make) -> Step<Outcome> {
    let directory = parts(&make.directory);
    ensure_own(root, VOLUMES)?;
    refuse_within(root, &directory)?;
    let (marker, fresh) = match read_marker(root, &directory)? {
        Some(marker) if marker.volume == make.marker.volume => (marker, false),
        Some(marker) => return Err(Stop::Refused(Refusal::Foreign(marker))),
        None => mark(root, make, &directory)?,
    };
    // A directory above or below may have been marked between the look and the mark: one of the two sees it. Looked for
    // whenever there is a mark of ours, since whoever made it may have died before this.
    let crossed = refuse_within(root, &directory).and_then(|()| refuse_above(root, &directory));
    if crossed.is_err() && fresh {
        remove_marker(root, &directory)?;
    }
    crossed?;
    let made = fill_in(root, make, &directory, &marker);
    if made.is_err() && fresh && matches!(root.kind(&directory), Ok(None)) {
        // Nothing half made; the first error is the one that tells.
        let _ = remove_marker(root, &directory);
    }
    made.map(|()| Outcome::Done)
}

/// A directory in another volume's is that volume's.
fn refuse_within(root: &dyn Root, directory: &[&str]) -> Step<()> {
    for above in 1..directory.len() {
        if let Some(marker) = read_marker(root, &directory[..above])? {
            return Err(Stop::Refused(Refusal::Within(marker)));
        }
    }
    Ok(())
}

/// Whoever has a directory has all that lies in it, other volumes' as well.
fn refuse_above(root: &dyn Root, directory: &[&str]) -> Step<()> {
    let begin = format!("{}+", marker_name(directory));
    for below in root.names(&VOLUMES)?.into_iter().filter(|name| name.starts_with(&begin)) {
        // Gone between the two looks: its volume is, too, and says nothing of the others.
        if let Some(marker) = read_marker(root, &below.split('+').collect::<Vec<_>>())? {
            return Err(Stop::Refused(Refusal::Above(marker)));
        }
    }
    Ok(())
}

/// Writes the marker of a directory that nobody has marked; false: a try of this volume's that is not over yet was faster.
fn mark(root: &dyn Root, make: &Make, directory: &[&str]) -> Step<(Marker, bool)> {
    let adopted = match root.kind(directory)? {
        None => false,
        Some(Kind::Directory) if make.adopt => true,
        Some(Kind::Directory) => return Err(Stop::Refused(Refusal::Unmarked)),
        Some(Kind::Other) => return Err(Stop::Refused(Refusal::NotADirectory(directory.join("/")))),
    };
    refuse_above(root, directory)?;
    let marker = Marker { directory: directory.join("/"), adopted, ..make.marker.clone() };
    let content = serde_json::to_vec(&marker).map_err(io::Error::from)?;
    match root.write_new(&[VOLUMES[0], VOLUMES[1], &marker_name(directory)], &content) {
        // Another node was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read_marker(root, directory)? {
            Some(other) if other.volume != make.marker.volume => Err(Stop::Refused(Refusal::Foreign(other))),
            Some(own) => Ok((own, false)),
            None => Err(Stop::Failed(error)),
        },
        Err(error) => Err(Stop::Failed(error)),
        Ok(()) => Ok((marker, true)),
    }
}

/// Makes what is missing of a marked directory.
fn fill_in(root: &dyn Root, make: &Make, directory: &[&str], marker: &Marker) -> Step<()> {
    for above in 1..directory.len() {
        ensure_dir(root, &directory[..above], ABOVE)?;
    }
    ensure_dir(root, directory, PRIVATE)?;
    if !marker.adopted {
        root.give(directory, make.uid, make.gid, make.mode)?;
    }
    Ok(())
}

/// What ends a directory as a volume's: its own marker says that it may be done, and goes last.
fn end(root: &dyn Root, kept: &Kept, how: impl FnOnce(&dyn Root, &Kept) -> Step<Outcome>) -> Step<Outcome> {
    let directory = parts(&kept.directory);
    match read_marker(root, &directory)? {
        None => match root.kind(&directory)? {
            None => Ok(Outcome::Done),
            Some(_) => Err(Stop::Refused(Refusal::Unmarked)),
        },
        Some(marker) if marker.volume != kept.volume => Err(Stop::Refused(Refusal::Foreign(marker))),
        Some(marker) => {
            let outcome = if marker.adopted { Outcome::Done } else { how(root, kept)? };
            remove_marker(root, &directory)?;
            Ok(outcome)
        }
    }
}

/// What has no marker is nobody's already.
fn release(root: &dyn Root, kept: &Kept) -> Step<Outcome> {
    match read_marker(root, &parts(&kept.directory))? {
        None => Ok(Outcome::Done),
        Some(_) => end(root, kept, |_, _| Ok(Outcome::Done)),
    }
}

fn remove(root: &dyn Root, kept: &Kept) -> Step<Outcome> {
    let directory = parts(&kept.directory);
    let doomed = [REMOVING[0], REMOVING[1], kept.volume.as_str()];
    ensure_own(root, REMOVING)?;
    // What an earlier visit did not finish.
    if root.kind(&doomed)?.is_some() {
        root.remove_tree(&doomed)?;
    }
    match root.kind(&directory)? {
        None => return Ok(Outcome::Done),
        Some(Kind::Other) => return Err(Stop::Refused(Refusal::NotADirectory(directory.join("/")))),
        Some(Kind::Directory) => {}
    }
    refuse_above(root, &directory)?;
    // The name is ours from here on, and renaming over it can replace nothing but the empty directory just made.
    root.make_dir(&doomed, PRIVATE)?;
    root.rename(&directory, &doomed)?;
    root.remove_tree(&doomed)?;
    Ok(Outcome::Done)
}

/// NFS cannot rename without replacing, so the name is taken by making an empty directory of it, which fails when
/// there is anything; renaming over it replaces that and nothing else.
fn archive(root: &dyn Root, kept: &Kept) -> Step<Outcome> {
    let directory = parts(&kept.directory);
    let Some((name, above)) = directory.split_last() else { return Ok(Outcome::Done) };
    match root.kind(&directory)? {
        None => return Ok(Outcome::Done),
        Some(Kind::Other) => return Err(Stop::Refused(Refusal::NotADirectory(directory.join("/")))),
        Some(Kind::Directory) => {}
    }
    refuse_above(root, &directory)?;
    // The second name is this volume's alone: an empty directory there is from an earlier visit.
    let names = [format!("archived-{name}"), format!("archived-{name}-{}", kept.volume)];
    for (try_number, archive) in names.iter().enumerate() {
        let to = [above, &[archive.as_str()]].concat();
        match root.make_dir(&to, PRIVATE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && try_number == 0 => continue,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        return match root.rename(&directory, &to) {
            Ok(()) => Ok(Outcome::Archived(to.join("/"))),
            Err(error) if is_taken(&error) => Err(Stop::Refused(Refusal::ArchivesTaken(names.to_vec()))),
            Err(error) => Err(error.into()),
        };
    }
    Ok(Outcome::Refused(Refusal::ArchivesTaken(names.to_vec())))
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
}
