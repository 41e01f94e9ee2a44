//! Whether a container is being made, also by what an earlier life of Orlop started and did not live to hear of.
//!
//! conmon goes on by itself when Orlop dies, wherever it has got to: forked and not conmon yet, not in its cgroup yet, in the
//! middle of `runc create`. What tells is a lock on the file for what conmon has to say, `monitors/<id>.log`. It is taken
//! before the fork and goes with the open file to the child, to conmon, to the conmon that is left, to `runc create`; the
//! kernel takes it back when the last of them has ended. The file is removed by a creator that heard how it went.
//!
//! | file | locked | process or exit on record | |
//! |---|---|---|---|
//! | no | | any | its creator knew how it went, or there was none |
//! | yes | yes | no | being made |
//! | yes | yes | yes | made; the lock is its monitor's now |
//! | yes | no | any | nobody makes it any more: what is there of it is all that comes |

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{RuntimeConfig, exits, names, process, state};
use crate::host::{Process, Result, linux::failed};

const SUFFIX: &str = ".log";
const PAUSE: Duration = Duration::from_millis(5);

/// The file for what conmon has to say about a container.
pub(super) fn words(config: &RuntimeConfig, id: &str) -> PathBuf {
    config.run_dir.join("monitors").join(format!("{id}{SUFFIX}"))
}

/// Makes the file anew, locked for whoever gets it handed on.
pub(super) fn begin(config: &RuntimeConfig, id: &str) -> io::Result<File> {
    let path = words(config, id);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = File::create_new(path)?;
    // Only somebody who looks whether it is locked can have been faster, and has it no longer than for the look.
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Ids of containers whose creator did not hear how it went.
pub(super) fn unheard(config: &RuntimeConfig) -> Result<Vec<String>> {
    let files = names(&config.run_dir.join("monitors"))?;
    Ok(files.iter().filter_map(|name| Some(name.strip_suffix(SUFFIX)?.to_owned())).collect())
}

/// Whether anybody has the lock.
pub(super) fn is_locked(config: &RuntimeConfig, id: &str) -> Result<bool> {
    let path = words(config, id);
    let look = || match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        // Shared, so that two who look do not take each other for a maker.
        file => match flock(&file?, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(e.into()),
        },
    };
    look().map_err(failed("look for a lock on", &path))
}

/// Whether a container is being made.
pub(super) fn is_under_way(config: &RuntimeConfig, id: &str) -> Result<bool> {
    // The lock first: what its last holder recorded is there when it is gone.
    Ok(is_locked(config, id)? && !is_on_record(config, id)?)
}

fn is_on_record(config: &RuntimeConfig, id: &str) -> Result<bool> {
    let has_process = state::read(&config.run_dir.join("runc"), id)?.is_some_and(|s| s.process.is_some());
    Ok(has_process || exits::read(&config.run_dir.join("exits"), id)?.is_some())
}

/// Whether any container is being made.
pub(super) fn is_any_under_way(config: &RuntimeConfig) -> Result<bool> {
    for id in unheard(config)? {
        if is_under_way(config, &id)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits as long as `holds` is true of a container; false when it still is after `timeout`.
pub(super) fn wait(
    config: &RuntimeConfig,
    id: &str,
    timeout: Duration,
    holds: impl Fn(&RuntimeConfig, &str) -> Result<bool>,
) -> Result<bool> {
    let until = Instant::now() + timeout;
    while holds(config, id)? {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

/// Everybody but this process who has the file open: the child that is to become conmon, conmon, `runc create`.
pub(super) fn holders(config: &RuntimeConfig, id: &str) -> Result<Vec<(Process, process::Handle)>> {
    let path = words(config, id);
    let Ok(path) = fs::canonicalize(&path) else { return Ok(Vec::new()) };
    let own = i32::try_from(std::process::id()).ok();
    let pids = names(Path::new("/proc"))?.into_iter().filter_map(|name| name.parse().ok());
    let mut all = Vec::new();
    for found in pids.filter(|pid| Some(*pid) != own).filter_map(process::now) {
        let handle = process::Handle::open(found).map_err(failed("open a maker of", Path::new(id)))?;
        all.extend(handle.filter(|_| has_open(found.pid, &path)).map(|handle| (found, handle)));
    }
    Ok(all)
}

/// By the links alone: a look at what they lead to may wait for a server.
fn has_open(pid: i32, path: &Path) -> bool {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    links.filter_map(|link| fs::read_link(link.path()).ok()).any(|target| target == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table. What is handed on is stood in for by an open file of our own.
    #[test]
    fn the_table() {
        let dir = tempfile::tempdir().unwrap();
        let config = RuntimeConfig { run_dir: dir.path().to_owned(), instance: "unused".into() };
        for part in ["runc/c", "exits", "monitors"] {
            fs::create_dir_all(dir.path().join(part)).unwrap();
        }
        let looks = || (is_locked(&config, "c").unwrap(), is_under_way(&config, "c").unwrap());
        assert_eq!((looks(), unheard(&config).unwrap()), ((false, false), vec![]));

        let file = begin(&config, "c").unwrap();
        assert_eq!((looks(), unheard(&config).unwrap()), ((true, true), vec!["c".to_owned()]));
        assert!(is_any_under_way(&config).unwrap());
        assert!(!wait(&config, "c", Duration::ZERO, is_under_way).unwrap());

        let state = dir.path().join("runc/c/state.json");
        fs::write(&state, r#"{"init_process_pid":7,"init_process_start":99}"#).unwrap();
        assert_eq!(looks(), (true, false), "its process is on record");
        fs::remove_file(state).unwrap();
        fs::write(dir.path().join("exits/c"), "1").unwrap();
        assert_eq!(looks(), (true, false), "its exit is on record");
        fs::remove_file(dir.path().join("exits/c")).unwrap();

        let handed_on = file.try_clone().unwrap();
        drop(file);
        assert_eq!(looks(), (true, true), "handed on");
        drop(handed_on);
        assert_eq!((looks(), unheard(&config).unwrap()), ((false, false), vec!["c".to_owned()]));
        assert!(wait(&config, "c", Duration::ZERO, is_under_way).unwrap());
        drop(begin(&config, "c").unwrap());
    }
}
