//! What one Orlop has left on the machine: with no pod and no volume in its API, there must be nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::machine;

/// A container's first process, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i64,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

/// Everything that an Orlop with no pods and no volumes must not have. Without a running Orlop or with one.
pub fn of(data: &Path) -> Vec<String> {
    let mut left = at_work(data);
    let places = [
        "pool",
        "nfs/volumes",
        "containers",
        "kubelet/pods",
        "kubelet/plugins/kubernetes.io/csi",
        "logs/pods",
    ];
    places.iter().for_each(|place| files(&data.join(place), &mut left));
    files(&run_dir(data).join("exits"), &mut left);
    left
}

/// What pods and volumes at work have on the machine, and must not have when they are taken down.
pub fn at_work(data: &Path) -> Vec<String> {
    let run = run_dir(data);
    let mut left = machine::left_below(data);
    left.extend(machine::left_below(&run));
    ["runc", "monitors", "ns"].iter().for_each(|place| files(&run.join(place), &mut left));
    left.extend(cgroups(&run).iter().map(|dir| format!("cgroup {}", dir.display())));
    left.extend(workers(&[&run, &data.join("nfs/ganesha.conf")]));
    left.extend(
        interfaces(data)
            .into_iter()
            .filter(|name| !name.starts_with("orlop-"))
            .map(|name| format!("interface {name}")),
    );
    left
}

/// The network interfaces of this instance: the bridge, as long as its agent has not been taken down, and pods' cables.
pub fn interfaces(data: &Path) -> Vec<String> {
    let instance = fs::read_to_string(data.join("instance")).unwrap_or_default();
    let instance = instance.trim();
    let ours = |name: &String| {
        !instance.is_empty()
            && (*name == format!("orlop-{instance}") || name.starts_with(&format!("o{instance}")))
    };
    let all = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(ours).collect()
}

/// `/run/orlop/<instance>`.
pub fn run_dir(data: &Path) -> PathBuf {
    let instance = fs::read_to_string(data.join("instance")).unwrap_or_default();
    Path::new("/run/orlop").join(instance.trim())
}

/// All that lies below `dir`, but for the directories of drivers, which stay.
fn files(dir: &Path, left: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let stays = entry.file_name() == "loop.orlop.dev" || entry.file_name() == "nfs.orlop.dev";
        if !stays {
            left.push(path.display().to_string());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&path, left);
        }
    }
}

/// The cgroups of the instance with this run directory, one for each hierarchy.
pub(crate) fn cgroups(run: &Path) -> Vec<PathBuf> {
    let name = format!("orlop-{}", run.file_name().unwrap_or_default().to_string_lossy());
    let root = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = hierarchies.chain([root]).map(|hierarchy| hierarchy.join(&name));
    all.filter(|dir| dir.exists()).collect()
}

/// Processes that were started with one of these paths: conmon, runc, the NFS server.
fn workers(paths: &[&Path]) -> Vec<String> {
    let line = |pid: &str| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).replace('\0', " "))
    };
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.filter_map(|pid| Some((line(&pid)?, pid)))
        .filter(|(line, _)| paths.iter().any(|path| line.contains(path)))
        .map(|(line, pid)| format!("process {pid}: {line}"))
        .collect()
}

/// The processes of containers that were started and live, by container id.
pub fn running(data: &Path) -> BTreeMap<String, Process> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(run_dir(data).join("runc")).into_iter().flatten().flatten() {
        let state = fs::read(entry.path().join("state.json")).ok();
        let state: Option<serde_json::Value> = state.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let created_only = entry.path().join("exec.fifo").exists();
        let Some(pid) = state.and_then(|s| s["init_process_pid"].as_i64()).filter(|_| !created_only) else {
            continue;
        };
        if let Some(started) = machine::start_time(pid) {
            all.insert(entry.file_name().to_string_lossy().into_owned(), Process { pid, started });
        }
    }
    all
}

/// What tells one formatting of an ext4 image from another, by file: its UUID and the seed that mkfs rolls for its
/// directory hashes (ext4 disk layout: superblock at 1024, `s_uuid` at 0x68, `s_hash_seed` at 0xEC).
pub fn formats(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let images = fs::read_dir(data.join("pool")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all = BTreeMap::new();
    for path in images.filter(|path| path.extension().is_some_and(|e| e == "img")) {
        let mut parts = vec![0; 32];
        let Ok(file) = fs::File::open(&path) else { continue };
        let read = file.read_exact_at(&mut parts[..16], 1024 + 0x68);
        if read.and_then(|()| file.read_exact_at(&mut parts[16..], 1024 + 0xEC)).is_ok() {
            all.insert(path, parts);
        }
    }
    all
}
