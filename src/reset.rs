//! `orlop reset`: removes all data of one Orlop, after asking.
//!
//! | in the directory | goes |
//! |---|---|
//! | whatever else | first |
//! | `instance`, by which the directory is Orlop's | then: who is interrupted before can say `orlop reset` again |
//! | `lock`, held all the while | last: what is left with nothing but it is anybody's to begin anew |
//! | `lost+found` | never: it is the disk's |
//!
//! The directory itself goes too, unless it is the root of a disk of its own.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use orlop_backends::host::{Host, linux::Linux};

use crate::{Wrap, cli::Reset, down, home, machine, pools, say::say};

/// What says whose the directory is, and who holds it.
const LAST: [&str; 2] = ["instance", "lock"];

/// Takes the Orlop of `dir` down and removes the directory. Only a directory of Orlop's; only after a yes.
pub(crate) fn run(dir: &Path, flags: &Reset, wrap: Wrap<'_>) -> Result<()> {
    machine::require_root("reset")?;
    if !home::is_ours(dir) {
        bail!(
            "{} is not a data directory of Orlop (no file `instance` in it); nothing was removed",
            dir.display()
        );
    }
    if !flags.yes && !confirmed(dir)? {
        bail!("nothing was removed");
    }
    down::run(dir, wrap)?;
    let home = home::Home::existing(dir)?;
    let host = Linux;
    let outside = pools::outside(&home)?;
    for place in [home.run_dir(), home.pools_file(), home.owner_file()] {
        remove(&host, &place)?;
    }
    match remove_data(&host, &home.dir)? {
        Rest::Nothing => say!("removed {}", home.dir.display()),
        Rest::Disk => say!("emptied {}, which stays: it is a disk of its own", home.dir.display()),
    }
    for pool in outside {
        say!(
            "left {}: a pool outside of the data directory is not removed; its volumes are still there",
            pool.display()
        );
    }
    Ok(())
}

/// What is left of a data directory.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    Nothing,
    /// The directory, empty: the root of a disk.
    Disk,
}

/// Removes a data directory in the order of the table; can be repeated after a crash at any point.
fn remove_data(host: &dyn Host, dir: &Path) -> Result<Rest> {
    let names = host.list_dir(dir)?;
    for name in names.iter().filter(|name| !LAST.contains(&name.as_str()) && *name != home::LOST_AND_FOUND) {
        remove(host, &dir.join(name))?;
    }
    for name in LAST {
        remove(host, &dir.join(name))?;
    }
    let mounted = host.mounts()?.iter().any(|mount| mount.target == dir);
    if mounted || host.file(&dir.join(home::LOST_AND_FOUND))?.is_some() {
        return Ok(Rest::Disk);
    }
    host.remove_dir(dir)?;
    Ok(Rest::Nothing)
}

/// Removes a file or a tree. The remover refuses to begin while anything is mounted in a tree, so a volume can never be
/// emptied by way of its mount.
fn remove(host: &dyn Host, path: &Path) -> Result<()> {
    let removed = match host.file(path)? {
        None => Ok(()),
        Some(file) if file.directory => host.remove_tree(path),
        Some(_) => host.remove_file(path),
    };
    removed.with_context(|| format!("remove {}", path.display()))
}

fn confirmed(dir: &Path) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    write!(out, "This removes all volumes, images and objects in {}. Type `yes` to go on: ", dir.display())?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use orlop_backends::host::{
        FsType, MountRequest,
        fake::Fake,
        faulty::{Faulty, Plan},
    };

    use super::*;

    fn filled(fake: &Fake, dir: &Path) {
        for part in ["agent", "zone/inner", home::LOST_AND_FOUND] {
            fake.create_dir(&dir.join(part)).unwrap();
        }
        for file in ["agent/journal", "zone/inner/file", "instance", "lock", "api.sock"] {
            fake.create_file(&dir.join(file), b"x").unwrap();
        }
    }

    /// The rows of the table, with a crash before and after every effect.
    #[test]
    fn an_interrupted_reset_can_be_repeated() {
        let dir = Path::new("/disk/data");
        let mut crashes = 0;
        for number in 1.. {
            let plans = ["before", "after"].map(|when| format!("crash {when} {number}"));
            let mut over = false;
            for plan in plans {
                let fake = Fake::new(1 << 30);
                filled(&fake, dir);
                fake.remove_dir(&dir.join(home::LOST_AND_FOUND)).unwrap();
                let faulty = Faulty::new(fake, plan.parse::<Plan>().unwrap());
                let first = remove_data(&faulty, dir);
                over = !faulty.crashed();
                if over {
                    assert_eq!(first.unwrap(), Rest::Nothing);
                    continue;
                }
                crashes += 1;
                let left = faulty.inner().list_dir(dir);
                let left = left.unwrap();
                let ours = left.iter().any(|name| name == "instance");
                let new = left.iter().all(|name| name == "lock");
                assert!(ours || new, "{plan}: neither Orlop's nor free: {left:?}");
                assert!(new || left.iter().any(|name| name == "lock"), "{plan}: not held: {left:?}");
                if ours {
                    assert_eq!(remove_data(faulty.inner(), dir).unwrap(), Rest::Nothing, "{plan}");
                }
            }
            if over {
                break;
            }
        }
        assert!(crashes > 10, "{crashes}");
    }

    #[test]
    fn a_disk_of_its_own_stays_with_what_is_the_disks() {
        let fake = Fake::new(1 << 30);
        let dir = Path::new("/disk/data");
        filled(&fake, dir);
        assert_eq!(remove_data(&fake, dir).unwrap(), Rest::Disk);
        assert_eq!(fake.list_dir(dir).unwrap(), [home::LOST_AND_FOUND]);
    }

    #[test]
    fn nothing_is_emptied_by_way_of_a_mount() {
        let fake = Fake::new(1 << 30);
        let dir = Path::new("/disk/data");
        filled(&fake, dir);
        fake.create_sparse(Path::new("/image"), 1 << 24).unwrap();
        fake.make_filesystem(Path::new("/image"), FsType::Ext4, "u").unwrap();
        let device = fake.attach_loop(Path::new("/image"), false).unwrap().device;
        let target = dir.join("zone/inner");
        fake.mount(&MountRequest::Device {
            source: device,
            target: target.clone(),
            fs_type: FsType::Ext4,
            read_only: false,
            options: Vec::new(),
        })
        .unwrap();
        let error = remove_data(&fake, dir).unwrap_err();
        assert!(format!("{error:#}").contains("is mounted in it"), "{error:#}");
        assert!(
            fake.file(&dir.join("instance")).unwrap().is_some(),
            "it is Orlop's as long as anything is left"
        );
    }
}
