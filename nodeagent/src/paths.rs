//! Where everything lies: the layout of the data directory and of what dies with a boot.
//!
//! Paths are built from uids, handles and validated names only. `kubelet/` has kubelet's own layout, since CSI drivers
//! hard-wire it. Must not know: what is there (`observe` looks), what should be.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::ids::{ContainerId, VolumeId};

/// The two roots, and every path below them.
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
    run: PathBuf,
}

/// What a mount target below our roots is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A volume's staging place; the directory's name is the hash of its handle.
    Staged {
        /// The driver.
        driver: String,
        /// Hash of the handle.
        hash: String,
    },
    /// A volume as one pod sees it.
    Published {
        /// The pod's uid.
        pod: String,
        /// The PersistentVolume's name.
        volume: String,
    },
    /// Memory of a pod (`emptyDir` with `medium: Memory`).
    Memory {
        /// The pod's uid.
        pod: String,
        /// The volume's name in the pod.
        volume: String,
    },
    /// A volume that is exported to other nodes.
    Served {
        /// Its handle.
        volume: String,
    },
    /// A path of the machine as one pod sees it.
    HostPath {
        /// The pod's uid.
        pod: String,
        /// The volume's name in the pod.
        volume: String,
    },
    /// The root file system of a container.
    Rootfs(ContainerId),
    /// A pinned namespace of a pod.
    Namespace {
        /// The pod's uid.
        pod: String,
        /// `net`, `ipc` or `uts`.
        kind: String,
    },
}

/// Hash of a handle, as kubelet names the staging directory of a CSI volume.
pub fn handle_hash(handle: &str) -> String {
    hex(&Sha256::digest(handle.as_bytes()))
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

impl Layout {
    /// The layout below the data directory and the instance's directory in `/run`.
    pub fn new(data: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), run: run.into() }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What dies with a boot.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.data.join("agent/journal")
    }

    /// Where the server asks for logs.
    pub fn socket(&self) -> PathBuf {
        self.data.join("agent.sock")
    }

    /// The place of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.data.join("kubelet/pods").join(uid)
    }

    /// Where pods have their places.
    pub fn pods(&self) -> PathBuf {
        self.data.join("kubelet/pods")
    }

    /// A PersistentVolume as one pod sees it.
    pub fn published(&self, pod: &str, volume: &str) -> PathBuf {
        self.pod(pod).join("volumes/kubernetes.io~csi").join(volume).join("mount")
    }

    /// An `emptyDir` of a pod.
    pub fn empty_dir(&self, pod: &str, volume: &str) -> PathBuf {
        self.pod(pod).join("volumes/kubernetes.io~empty-dir").join(volume)
    }

    /// A path of the machine as one pod sees it.
    pub fn host_path(&self, pod: &str, volume: &str) -> PathBuf {
        self.pod(pod).join("volumes/kubernetes.io~host-path").join(volume)
    }

    /// A volume's staging place.
    pub fn staged(&self, id: &VolumeId) -> PathBuf {
        self.data
            .join("kubelet/plugins/kubernetes.io/csi")
            .join(&id.driver)
            .join(handle_hash(&id.handle))
            .join("globalmount")
    }

    /// Where volumes that are exported to other nodes are mounted, each at its handle.
    pub fn exports(&self) -> PathBuf {
        self.data.join("nfs/volumes")
    }

    /// A container's bundle: `config.json`, `rootfs`, `upper`, `work`.
    pub fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.data.join("containers").join(id.to_string())
    }

    /// Where bundles are.
    pub fn bundles(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// Where a pod's namespaces are pinned.
    pub fn namespaces(&self, pod: &str) -> PathBuf {
        self.all_namespaces().join(pod)
    }

    /// Where all pods' namespaces are pinned.
    pub fn all_namespaces(&self) -> PathBuf {
        self.run.join("ns")
    }

    /// The logs of a pod.
    pub fn pod_logs(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.data.join("logs/pods").join(format!("{namespace}_{name}_{uid}"))
    }

    /// The log of one attempt.
    pub fn log(&self, namespace: &str, name: &str, id: &ContainerId) -> PathBuf {
        self.pod_logs(namespace, name, &id.pod).join(&id.container).join(format!("{}.log", id.attempt))
    }

    /// What a mount at `target` is for; `None` for what is not ours.
    pub fn place(&self, target: &Path) -> Option<Place> {
        if let Ok(rest) = target.strip_prefix(&self.run) {
            return match parts(rest)?.as_slice() {
                ["ns", pod, kind] => {
                    Some(Place::Namespace { pod: (*pod).to_owned(), kind: (*kind).to_owned() })
                }
                _ => None,
            };
        }
        match parts(target.strip_prefix(&self.data).ok()?)?.as_slice() {
            ["kubelet", "plugins", "kubernetes.io", "csi", driver, hash, "globalmount"] => {
                Some(Place::Staged { driver: (*driver).to_owned(), hash: (*hash).to_owned() })
            }
            ["kubelet", "pods", pod, "volumes", "kubernetes.io~csi", volume, "mount"] => {
                Some(Place::Published { pod: (*pod).to_owned(), volume: (*volume).to_owned() })
            }
            ["kubelet", "pods", pod, "volumes", "kubernetes.io~empty-dir", volume] => {
                Some(Place::Memory { pod: (*pod).to_owned(), volume: (*volume).to_owned() })
            }
            ["kubelet", "pods", pod, "volumes", "kubernetes.io~host-path", volume] => {
                Some(Place::HostPath { pod: (*pod).to_owned(), volume: (*volume).to_owned() })
            }
            ["nfs", "volumes", volume] => Some(Place::Served { volume: (*volume).to_owned() }),
            ["containers", id, "rootfs"] => id.parse().ok().map(Place::Rootfs),
            _ => None,
        }
    }
}

fn parts(path: &Path) -> Option<Vec<&str>> {
    path.components().map(|c| c.as_os_str().to_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mount_of_ours_is_recognised_by_its_path() {
        let layout = Layout::new("/d", "/run/orlop/1");
        let volume = VolumeId::new("loop.orlop.dev", "pvc-1");
        let id = ContainerId::new("u", "main", 2);
        let rows = [
            (
                layout.staged(&volume),
                Place::Staged { driver: "loop.orlop.dev".into(), hash: handle_hash("pvc-1") },
            ),
            (layout.published("u", "pvc-1"), Place::Published { pod: "u".into(), volume: "pvc-1".into() }),
            (layout.empty_dir("u", "tmp"), Place::Memory { pod: "u".into(), volume: "tmp".into() }),
            (layout.bundle(&id).join("rootfs"), Place::Rootfs(id)),
            (layout.namespaces("u").join("net"), Place::Namespace { pod: "u".into(), kind: "net".into() }),
        ];
        for (path, place) in rows {
            assert_eq!(layout.place(&path), Some(place), "{}", path.display());
        }
        let served = Place::Served { volume: "pvc-1".into() };
        assert_eq!(layout.place(&layout.exports().join("pvc-1")), Some(served));
        assert_eq!(layout.place(Path::new("/d/pool/x")), None);
        assert_eq!(layout.place(Path::new("/elsewhere")), None);
    }
}
