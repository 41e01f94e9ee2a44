//! What is: looks at the kernel, the runtime and our own directories, joined with the journal.
//!
//! Everything found is recognised by its path or id; nothing is remembered from earlier looks. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use orlop_backends::{
    driver::Served,
    host::{ContainerStatus, Process},
};

use crate::{
    error::Error,
    ids::{ContainerId, VolumeId},
    journal::Subject,
    machine::Machine,
    network::names,
    paths::{Place, handle_hash},
    plan,
};

/// The mounts of ours, by what they are for.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Vec<Place>);

impl Mounts {
    /// Whether the volume is mounted at its staging place.
    pub(crate) fn is_staged(&self, id: &VolumeId) -> bool {
        let hash = handle_hash(&id.handle);
        self.0.contains(&Place::Staged { driver: id.driver.clone(), hash })
    }

    /// Number of pods that a PersistentVolume is published to.
    pub(crate) fn published(&self, volume: &str) -> usize {
        self.0.iter().filter(|p| matches!(p, Place::Published { volume: name, .. } if name == volume)).count()
    }

    /// Another pod than this one that a PersistentVolume is published to.
    pub(crate) fn published_elsewhere(&self, pod: &str, volume: &str) -> Option<&str> {
        self.0.iter().find_map(|place| match place {
            Place::Published { pod: other, volume: name } if name == volume && other != pod => {
                Some(other.as_str())
            }
            _ => None,
        })
    }

    /// Whether a PersistentVolume is published to a pod.
    pub(crate) fn is_published(&self, pod: &str, volume: &str) -> bool {
        self.0.contains(&Place::Published { pod: pod.to_owned(), volume: volume.to_owned() })
    }

    /// Whether memory is mounted for a pod's volume.
    pub(crate) fn has_memory(&self, pod: &str, volume: &str) -> bool {
        self.0.contains(&Place::Memory { pod: pod.to_owned(), volume: volume.to_owned() })
    }

    /// Whether a path of the machine is shown to a pod as this volume.
    pub(crate) fn has_host_path(&self, pod: &str, volume: &str) -> bool {
        self.0.contains(&Place::HostPath { pod: pod.to_owned(), volume: volume.to_owned() })
    }

    /// Whether a container's root file system is mounted.
    pub(crate) fn has_rootfs(&self, id: &ContainerId) -> bool {
        self.0.contains(&Place::Rootfs(id.clone()))
    }

    /// Kinds of the pod's namespaces that are pinned.
    pub(crate) fn pinned(&self, pod: &str) -> BTreeSet<String> {
        let kind = |place: &Place| match place {
            Place::Namespace { pod: uid, kind } if uid == pod => Some(kind.clone()),
            _ => None,
        };
        self.0.iter().filter_map(kind).collect()
    }
}

/// All that a pod's plan is made from, and its running processes.
#[derive(Debug, Default)]
pub(crate) struct PodLook {
    pub(crate) seen: plan::pod::Seen,
    pub(crate) processes: BTreeMap<ContainerId, Process>,
    pub(crate) mounts: Mounts,
}

impl Machine {
    /// Looks at the mount table.
    pub(crate) fn mounts(&self) -> Result<Mounts, Error> {
        let entries = self.host.mounts()?;
        Ok(Mounts(entries.iter().filter_map(|m| self.layout.place(&m.target)).collect()))
    }

    /// Looks at one volume; `name` is its PersistentVolume, `device` what attaching answered in this life, `served` what
    /// its driver says of serving it.
    pub(crate) fn look_at_volume(
        &self,
        id: &VolumeId,
        name: &str,
        device: Option<&Option<std::path::PathBuf>>,
        served: Served,
    ) -> Result<plan::volume::Seen, Error> {
        let mounts = self.mounts()?;
        let attached = match device {
            None => false,
            Some(None) => true,
            Some(Some(path)) if path.starts_with("/dev") && is_loop(path) => {
                self.host.loops()?.iter().any(|l| l.device == *path)
            }
            Some(Some(_)) => true,
        };
        Ok(plan::volume::Seen {
            attached,
            staged: mounts.is_staged(id),
            published: mounts.published(name),
            touched: self.journal.find(&Subject::Volume(id.clone())).is_some(),
            making: self.journal.find(&Subject::Making(id.clone())).is_some(),
            served,
        })
    }

    /// Looks at one pod; `logs` is where its logs are, where that is known.
    pub(crate) fn look_at_pod(&self, uid: &str, logs: Option<&std::path::Path>) -> Result<PodLook, Error> {
        let mounts = self.mounts()?;
        let mut look = PodLook::default();
        self.look_for_containers(uid, &mounts, &mut look)?;
        let own = |dir: &str| self.host.list_dir(&self.layout.pod(uid).join("volumes").join(dir));
        let volumes: BTreeSet<String> = own("kubernetes.io~csi")?.into_iter().collect();
        look.seen.published = volumes.into_iter().filter(|v| mounts.is_published(uid, v)).collect();
        look.seen.empty = own("kubernetes.io~empty-dir")?.into_iter().collect();
        look.seen.memory = look.seen.empty.iter().filter(|v| mounts.has_memory(uid, v)).cloned().collect();
        look.seen.host_places = own("kubernetes.io~host-path")?.into_iter().collect();
        look.seen.host =
            look.seen.host_places.iter().filter(|v| mounts.has_host_path(uid, v)).cloned().collect();
        look.seen.pins = mounts.pinned(uid);
        let cable = self.network.link(&names::cable(&self.instance, uid))?;
        let address = self.journal.pod(uid).and_then(|intent| intent.address);
        look.seen.cable = cable.is_some();
        look.seen.connected = cable.is_some_and(|link| {
            address.is_some_and(|a| link.up && link.alias == names::description(&self.instance, uid, a))
        });
        look.seen.pin_dir = self.host.file(&self.layout.namespaces(uid))?.is_some();
        look.seen.place = self.host.file(&self.layout.pod(uid))?.is_some();
        look.seen.logs = match logs {
            Some(dir) => self.host.file(dir)?.is_some(),
            None => false,
        };
        look.mounts = mounts;
        Ok(look)
    }

    fn look_for_containers(&self, uid: &str, mounts: &Mounts, look: &mut PodLook) -> Result<(), Error> {
        let attempts = &mut look.seen.attempts;
        for container in self.runtime.containers()? {
            let Ok(id) = container.id.parse::<ContainerId>() else { continue };
            if id.pod == uid {
                if let Some(process) =
                    container.process.filter(|_| container.status == ContainerStatus::Running)
                {
                    look.processes.insert(id.clone(), process);
                }
                attempts.entry(id).or_default().status = Some(container.status);
            }
        }
        for name in self.host.list_dir(&self.layout.bundles())? {
            let Ok(id) = name.parse::<ContainerId>() else { continue };
            if id.pod == uid {
                let bundle = self.layout.bundle(&id);
                let complete = crate::oci::is_complete(&bundle)
                    .map_err(|error| Error::Refused(crate::error::chain(&error)))?;
                let attempt = attempts.entry(id.clone()).or_default();
                (attempt.dir, attempt.bundle, attempt.mounted) = (true, complete, mounts.has_rootfs(&id));
                attempt.oom = self.host.file(&bundle.join("oom"))?.is_some();
            }
        }
        Ok(())
    }

    /// Uids of all pods that anything here belongs to.
    pub(crate) fn pods_here(&self) -> Result<BTreeSet<String>, Error> {
        let containers = self.runtime.containers()?.into_iter().map(|c| c.id);
        let named = containers.chain(self.host.list_dir(&self.layout.bundles())?);
        let mut pods: BTreeSet<String> =
            named.filter_map(|id| id.parse::<ContainerId>().ok()).map(|id| id.pod).collect();
        for place in [self.layout.pods(), self.layout.all_namespaces()] {
            let directories = self.host.list_dir(&place)?;
            pods.extend(directories.into_iter().filter(|uid| crate::ids::is_safe(uid)));
        }
        for place in self.mounts()?.0 {
            if let Place::Namespace { pod, .. } | Place::Published { pod, .. } | Place::HostPath { pod, .. } =
                place
            {
                pods.insert(pod);
            }
        }
        pods.extend(self.cables()?.into_iter().map(|(pod, _)| pod).filter(|uid| crate::ids::is_safe(uid)));
        pods.extend(self.journal.subjects().into_iter().filter_map(|subject| match subject {
            Subject::Pod(uid) => Some(uid),
            _ => None,
        }));
        Ok(pods)
    }

    /// Ids of containers whose end is on record.
    pub(crate) fn ended(&self) -> Result<BTreeSet<String>, Error> {
        let ended = |c: &orlop_backends::host::Container| matches!(c.status, ContainerStatus::Exited { .. });
        Ok(self.runtime.containers()?.into_iter().filter(ended).map(|c| c.id).collect())
    }
}

fn is_loop(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"loop"))
}
