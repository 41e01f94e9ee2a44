//! What runc and conmon left in files about a container. Reads; removes only what is left over.

use std::{fs, io, path::Path};

use serde::Deserialize;

use super::{super::failed, process};
use crate::host::{Process, Result};

/// A container that runc knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Its first process, alive or not; `None` when runc was stopped before it recorded one.
    pub(super) process: Option<Process>,
    /// Whether it was started.
    pub(super) started: bool,
}

/// The two members of runc's `state.json` that matter here.
#[derive(Deserialize)]
struct StateFile {
    init_process_pid: i32,
    init_process_start: u64,
}

/// What runc knows of a container; `None` when it has no state directory.
pub(super) fn read(root: &Path, id: &str) -> Result<Option<State>> {
    let dir = root.join(id);
    let path = dir.join("state.json");
    let file: Option<StateFile> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed("read", &path)(e)),
    };
    if file.is_none() && !dir.exists() {
        return Ok(None);
    }
    let process = file
        .filter(|file| file.init_process_pid > 0)
        .map(|file| Process { pid: file.init_process_pid, started: file.init_process_start });
    Ok(Some(State { process, started: !dir.join("exec.fifo").exists() }))
}

/// The monitor of a container, when it lives. The pid file alone proves nothing: the command line has to name the id.
pub(super) fn monitor(dir: &Path, id: &str) -> io::Result<Option<process::Handle>> {
    let Ok(text) = fs::read_to_string(dir.join(id)) else { return Ok(None) };
    let Some(found) = text.trim().parse().ok().and_then(process::now) else { return Ok(None) };
    let Some(handle) = process::Handle::open(found)? else { return Ok(None) };
    let line = fs::read(format!("/proc/{}/cmdline", found.pid)).unwrap_or_default();
    let mut words = line.split(|b| *b == 0).skip_while(|word| *word != b"--cid");
    // One that is about to be gone has no command line any more, and is in its cgroup until it is.
    Ok((line.is_empty() || words.nth(1) == Some(id.as_bytes())).then_some(handle))
}

/// Removes what is left of a container that has no process any more: a half-made state directory, the monitor's files.
pub(super) fn remove_rest(run_dir: &Path, id: &str) -> Result<()> {
    let state = run_dir.join("runc").join(id);
    let monitors = run_dir.join("monitors");
    // The names are runc's and conmon's own; none is a directory.
    let files = [
        state.join("exec.fifo"),
        state.join("state.json"),
        monitors.join(id),
        monitors.join(format!("{id}.log")),
    ];
    for file in files {
        gone(fs::remove_file(&file)).map_err(failed("remove", &file))?;
    }
    gone(fs::remove_dir(&state)).map_err(failed("remove", &state))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_read_as_far_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path(), "c").unwrap(), None);
        let dir = root.path().join("c");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("exec.fifo"), "").unwrap();
        assert_eq!(read(root.path(), "c").unwrap(), Some(State { process: None, started: false }));
        fs::write(dir.join("state.json"), r#"{"id":"c","init_process_pid":7,"init_process_start":99}"#)
            .unwrap();
        fs::remove_file(dir.join("exec.fifo")).unwrap();
        let process = Some(Process { pid: 7, started: 99 });
        assert_eq!(read(root.path(), "c").unwrap(), Some(State { process, started: true }));
        fs::create_dir(root.path().join("runc")).unwrap();
        fs::rename(&dir, root.path().join("runc/c")).unwrap();
        remove_rest(root.path(), "c").unwrap();
        assert!(!root.path().join("runc/c").exists());
    }
}
