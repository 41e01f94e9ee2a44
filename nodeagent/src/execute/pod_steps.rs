//! Steps on a pod as a whole: namespaces, volumes, directories. Container steps are in `container`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use orlop_backends::{
    driver::Publish,
    host::{self, Cause, MountEntry, MountRequest, Namespace, PathBind, PathKind},
};

use super::{
    container::{ensure_no_file, etc_dir, own_dir},
    own_places,
};
use crate::{
    core::Core,
    error::Error,
    journal::VolumeIntent,
    machine::{Machine, volume_ref},
    pods::spec,
    world::{PodFacts, Resolved, Source},
};

/// What a pod's containers share, and the names that they are pinned by; with the host's network the first alone.
const SHARED: [Namespace; 3] = [Namespace::Ipc, Namespace::Net, Namespace::Uts];
const NAMES: [&str; 3] = ["ipc", "net", "uts"];

/// Whether all of a pod's namespaces are among the pinned ones.
pub(super) fn is_pinned(pod: &PodFacts, pins: &BTreeSet<String>) -> bool {
    let names = if spec::host_network(pod) { &NAMES[..1] } else { &NAMES };
    names.iter().all(|name| pins.contains(*name))
}

impl Core {
    /// Ensures that a staged volume is shown to the pod.
    pub(super) async fn publish(&self, pod: &PodFacts, source: &Source) -> Result<(), Error> {
        let Source::Volume { id, volume, read_only, one_pod } = source else { return Ok(()) };
        let machine = &self.machine;
        let driver = machine.driver(&id.driver)?;
        let _apart = machine.lock(id).await;
        let target = machine.layout.published(&pod.uid, &volume.name);
        let (dir, of) = (target.clone(), id.clone());
        let (uid, name) = (pod.uid.clone(), volume.name.clone());
        // Under the volume's lock: no other pod can get it between this look and the mount.
        let (staged, elsewhere) = machine
            .blocking(move |m| {
                m.host.create_dir(&dir)?;
                let mounts = m.mounts()?;
                Ok((mounts.is_staged(&of), mounts.published_elsewhere(&uid, &name).is_some()))
            })
            .await?;
        if *one_pod && elsewhere {
            return Err(Error::Refused(super::pod::in_use(&volume.name)));
        }
        if !staged {
            return Err(Error::Refused(format!("volume {} is no longer staged", volume.name)));
        }
        // Its attachment may have gone since the pod was looked at.
        if !self.is_given(id, &volume.name) {
            return Err(Error::Refused(format!("volume {} is no longer attached to this node", volume.name)));
        }
        let request = Publish {
            volume: volume_ref(id, &volume.attributes),
            staged: machine.layout.staged(id),
            target,
            read_only: *read_only,
        };
        Ok(driver.publish(request).await?)
    }
}

impl Machine {
    /// Ensures that the pod's namespaces are pinned.
    pub(super) fn pin(&self, pod: &PodFacts) -> Result<(), Error> {
        // A death in the middle of pinning leaves some: they are made anew together.
        if !self.mounts()?.pinned(&pod.uid).is_empty() {
            self.unpin(&pod.uid)?;
        }
        let shared = if spec::host_network(pod) { &SHARED[..1] } else { &SHARED };
        let dir = self.layout.namespaces(&pod.uid);
        Ok(self.runtime.pin_namespaces(&dir, shared, &spec::hostname(pod))?)
    }

    /// Ensures that no namespaces of the pod are pinned, and that it has no cable.
    pub(crate) fn unpin(&self, pod: &str) -> Result<(), Error> {
        self.disconnect(pod)?;
        Ok(self.runtime.unpin_namespaces(&self.layout.namespaces(pod))?)
    }

    /// Asks the servers of a pod's volumes whether they are there: a container would hang in its first look at them, and
    /// what starts it with it. A path of the machine may lie on a server that somebody mounted by hand.
    pub(super) async fn ask_servers(&self, pod: &str, volumes: &[Resolved]) -> Result<(), Error> {
        for resolved in volumes {
            match &resolved.source {
                Source::Volume { id, volume, .. } => {
                    let target = self.layout.published(pod, &volume.name);
                    self.driver(&id.driver)?.ready(volume_ref(id, &volume.attributes), target).await?;
                }
                Source::HostPath { .. } => {
                    let place = self.layout.host_path(pod, &resolved.name);
                    self.blocking(move |m| m.host.ask(&place).map_err(|error| m.unanswered(error, &place)))
                        .await?;
                }
                Source::Empty { .. } | Source::Waiting(_) => {}
            }
        }
        Ok(())
    }

    /// Why the server of a volume does not answer; `None` where it does, or there is none.
    pub(super) async fn silent_server(&self, intent: &VolumeIntent) -> Option<String> {
        let driver = self.driver(&intent.id.driver).ok()?;
        let staged = self.layout.staged(&intent.id);
        driver
            .ready(volume_ref(&intent.id, &intent.attributes), staged)
            .await
            .err()
            .map(|error| error.message)
    }

    /// Ensures that a volume is not shown to the pod. What the journal has forgotten is unmounted all the same.
    pub(crate) async fn unpublish(
        &self,
        pod: &str,
        name: &str,
        known: Option<&VolumeIntent>,
    ) -> Result<(), Error> {
        let target = self.layout.published(pod, name);
        match known {
            Some(intent) => {
                let driver = self.driver(&intent.id.driver)?;
                let _apart = self.lock(&intent.id).await;
                driver.unpublish(volume_ref(&intent.id, &intent.attributes), target).await?;
            }
            None => self.blocking(move |m| Ok(m.host.unmount(&target)?)).await?,
        }
        Ok(())
    }

    /// Ensures that a directory of the pod's own is there, for everybody to write to.
    pub(super) fn make_empty(
        &self,
        pod: &str,
        name: &str,
        memory: bool,
        limit: Option<u64>,
    ) -> Result<(), Error> {
        let target = self.layout.empty_dir(pod, name);
        self.host.create_dir(&target)?;
        if memory && !self.mounts()?.has_memory(pod, name) {
            return Ok(self.host.mount(&MountRequest::Tmpfs { target, bytes: limit, mode: 0o1777 })?);
        }
        if memory { Ok(()) } else { own_dir(&target, 0o777) }
    }

    /// Ensures that a directory of the pod's own is gone, with what is in it.
    pub(crate) fn remove_empty(&self, pod: &str, name: &str) -> Result<(), Error> {
        let target = self.layout.empty_dir(pod, name);
        if self.mounts()?.has_memory(pod, name) {
            self.host.unmount(&target)?;
        }
        if self.host.file(&target)?.is_some() {
            self.host.remove_tree(&target)?;
        }
        Ok(())
    }

    /// Ensures that the pod's directory is gone: known files, then empty directories from the leaves up, nothing else.
    pub(crate) fn remove_place(&self, pod: &str) -> Result<(), Error> {
        for file in ["hosts", "hostname", "resolv.conf"] {
            let path = etc_dir(self, pod).join(file);
            ensure_no_file(&path)?;
            if self.host.file(&path)?.is_some() {
                self.host.remove_file(&path)?;
            }
        }
        let place = self.layout.pod(pod);
        for dir in self.own_directories(&place)? {
            self.ensure_no_dir(&dir)?;
        }
        Ok(())
    }

    /// The directories that the agent makes for a pod, leaves first.
    fn own_directories(&self, place: &Path) -> Result<Vec<PathBuf>, Error> {
        let volumes = place.join("volumes");
        let (csi, empty) = (volumes.join("kubernetes.io~csi"), volumes.join("kubernetes.io~empty-dir"));
        let host = volumes.join("kubernetes.io~host-path");
        let mut all = Vec::new();
        for name in self.host.list_dir(&csi)? {
            all.extend([csi.join(&name).join("mount"), csi.join(&name)]);
        }
        all.extend([csi, empty, host, volumes, place.join("etc"), place.to_owned()]);
        Ok(all)
    }

    /// Ensures that a pod's logs are gone.
    pub(crate) fn remove_logs(&self, dir: &Path) -> Result<(), Error> {
        if self.host.file(dir)?.is_some() {
            self.host.remove_tree(dir)?;
        }
        Ok(())
    }

    /// Ensures that a path of the machine is shown to the pod.
    pub(super) fn bind_host(
        &self,
        pod: &str,
        volume: &str,
        source: PathBuf,
        kind: &str,
    ) -> Result<(), Error> {
        let target = self.layout.host_path(pod, volume);
        let kind = PathKind::named(kind)
            .ok_or_else(|| Error::Refused(format!("hostPath.type {kind} is not known; leave it out")))?;
        let own = own_places::all(self.layout.data(), self.layout.run())?;
        let request = PathBind { source, kind, target, own };
        self.host.bind_path(&request).map_err(|error| self.unanswered(error, &request.source))
    }

    /// A failure at a path of the machine; when nobody answered there, with who should have, as far as its name tells.
    fn unanswered(&self, error: host::Error, path: &Path) -> Error {
        if !matches!(error.source, Cause::Timeout(_) | Cause::Hanging { .. }) {
            return error.into();
        }
        let mounts = self.host.mounts().unwrap_or_default();
        let said = Error::from(error).chain();
        Error::Refused(format!("{said}: {}", who_is_silent(&mounts, path)))
    }
}

/// Who does not answer at a path, and what to do.
fn who_is_silent(mounts: &[MountEntry], path: &Path) -> String {
    let holds = mounts.iter().filter(|mount| path.starts_with(&mount.target));
    let who = match holds.max_by_key(|mount| mount.target.components().count()) {
        Some(mount) if mount.target != Path::new("/") => {
            format!("{} ({}), which is mounted there,", mount.source, mount.fs_type)
        }
        _ => "what it leads to".to_owned(),
    };
    format!(
        "{who} does not answer on this node; bring back the file server or program that serves it, and the pod goes on by \
         itself; or let the pod use another path"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_told_by_the_mount_table() {
        let mount = |target: &str, fs_type: &str, source: &str| MountEntry {
            id: 1,
            parent: 0,
            number: (0, 1),
            root: "/".into(),
            target: target.into(),
            options: "rw".into(),
            fs_type: fs_type.into(),
            source: source.into(),
            super_options: "rw".into(),
        };
        let mounts = [mount("/", "ext4", "/dev/vda"), mount("/mnt", "nfs4", "nas:/media")];
        let words = who_is_silent(&mounts, Path::new("/mnt/films"));
        assert!(words.starts_with("nas:/media (nfs4), which is mounted there, does not answer"), "{words}");
        // A link may lead anywhere.
        let words = who_is_silent(&mounts, Path::new("/srv/link"));
        assert!(words.starts_with("what it leads to does not answer"), "{words}");
    }
}
