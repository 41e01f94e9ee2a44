//! Steps on one container: prepare, launch, signal, clean, forget.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use orlop_backends::host::{ContainerRequest, ContainerStatus, MountRequest};

use crate::{
    error::Error,
    ids::ContainerId,
    images::Image,
    machine::Machine,
    oci::{self, EtcFiles, EtcNetwork},
    pods::{
        env::Place,
        spec::{self, Setting},
    },
    world::{PodFacts, Resolved},
};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// The image of a container.
pub(super) fn find_image(machine: &Machine, pod: &PodFacts, id: &ContainerId) -> Result<Image, Error> {
    let container = spec::container(pod, &id.container);
    let wanted = container.and_then(|c| c.image.clone()).unwrap_or_default();
    let refused = |reason, message| Error::Container { reason, message };
    match machine.images.find(&wanted) {
        Ok(Some(image)) => Ok(image),
        Ok(None) if container.and_then(|c| c.image_pull_policy.as_deref()) == Some("Never") => Err(refused(
            "ErrImageNeverPull",
            format!(
                "Container image \"{wanted}\" is not present with pull policy of Never; load it with `orlop image load FILE`"
            ),
        )),
        Ok(None) => Err(refused(
            "ErrImagePull",
            format!(
                "image \"{wanted}\" is not on this node, and Orlop does not pull yet; load it with `orlop image load FILE`"
            ),
        )),
        Err(error) => Err(refused("InvalidImageName", crate::error::chain(&error))),
    }
}

/// Ensures that an attempt's root file system is mounted and its bundle complete.
pub(super) fn prepare(
    machine: &Machine,
    pod: &PodFacts,
    volumes: &[Resolved],
    id: &ContainerId,
    place: Place<'_>,
) -> Result<Image, Error> {
    let image = ensure_root(machine, pod, id)?;
    let bundle = machine.layout.bundle(id);
    let etc = etc_files(machine, pod, place.own)?;
    let setting = Setting {
        pod,
        id,
        image: &image,
        volumes,
        layout: &machine.layout,
        instance: &machine.instance,
        place,
        etc,
    };
    let spec = spec::bundle(&setting)?;
    oci::write_bundle(&bundle, &spec).map_err(|error| config_error(&error))?;
    Ok(image)
}

/// Ensures that an attempt's root is mounted on the layers of its image, which is not removed meanwhile.
fn ensure_root(machine: &Machine, pod: &PodFacts, id: &ContainerId) -> Result<Image, Error> {
    let _held = machine.images.hold().map_err(|error| Error::Container {
        reason: "CreateContainerError",
        message: crate::error::chain(&error),
    })?;
    let image = find_image(machine, pod, id)?;
    let bundle = machine.layout.bundle(id);
    for part in ["rootfs", "upper", "work"] {
        machine.host.create_dir(&bundle.join(part))?;
    }
    // The root directory of the mount has the upper layer's mode: everybody may pass.
    own_dir(&bundle.join("upper"), 0o755)?;
    if !machine.mounts()?.has_rootfs(id) {
        machine.host.mount(&MountRequest::Overlay {
            lower: image.layers.clone(),
            upper: bundle.join("upper"),
            work: bundle.join("work"),
            target: bundle.join("rootfs"),
        })?;
    }
    Ok(image)
}

fn config_error(error: &oci::Error) -> Error {
    Error::Container { reason: "CreateContainerConfigError", message: crate::error::chain(error) }
}

/// The directory of a pod's `/etc/hosts` and its like.
pub(super) fn etc_dir(machine: &Machine, pod: &str) -> std::path::PathBuf {
    machine.layout.pod(pod).join("etc")
}

fn etc_files(machine: &Machine, pod: &PodFacts, address: Option<&str>) -> Result<Vec<oci::Mount>, Error> {
    let dir = etc_dir(machine, &pod.uid);
    machine.host.create_dir(&dir)?;
    own_dir(&dir, 0o755)?;
    let aliases = pod.spec().and_then(|s| s.host_aliases.clone()).unwrap_or_default();
    let files = EtcFiles {
        hostname: spec::hostname(pod),
        network: match address {
            _ if spec::host_network(pod) => EtcNetwork::Node,
            Some(address) => EtcNetwork::Own(address.to_owned()),
            None => EtcNetwork::Loopback,
        },
        aliases: aliases.into_iter().map(|a| (a.ip, a.hostnames.unwrap_or_default())).collect(),
    };
    oci::write_etc_files(&dir, &files).map_err(|error| config_error(&error))
}

/// A directory of ours with this mode.
pub(super) fn own_dir(path: &Path, mode: u32) -> Result<(), Error> {
    let failed = |source| Error::File { operation: "make the directory", path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

/// What launching had to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Launched {
    pub(super) created: bool,
    pub(super) started: bool,
}

/// Ensures that a prepared container was created and started.
pub(super) fn launch(machine: &Machine, pod: &PodFacts, id: &ContainerId) -> Result<Launched, Error> {
    let failed = |reason| {
        move |error: orlop_backends::host::Error| Error::Container {
            reason,
            message: crate::error::chain(&Error::from(error)),
        }
    };
    let name = id.to_string();
    let here = machine.runtime.containers()?.into_iter().find(|c| c.id == name).map(|c| c.status);
    let mut launched = Launched::default();
    if matches!(here, None | Some(ContainerStatus::Creating)) {
        let log = machine.layout.log(&pod.key.namespace, &pod.key.name, id);
        if let Some(dir) = log.parent() {
            machine.host.create_dir(dir)?;
            own_dir(dir, 0o700)?;
        }
        let request = ContainerRequest { id: name.clone(), bundle: machine.layout.bundle(id), log };
        machine.runtime.create(&request).map_err(failed("CreateContainerError"))?;
        launched.created = true;
    }
    if matches!(here, None | Some(ContainerStatus::Creating | ContainerStatus::Created)) {
        machine.runtime.start(&name).map_err(failed("RunContainerError"))?;
        launched.started = true;
    }
    Ok(launched)
}

/// Asks a container's process to end, in the way its image prefers, or kills it.
pub(crate) fn signal(
    machine: &Machine,
    pod: Option<&PodFacts>,
    id: &ContainerId,
    kill: bool,
) -> Result<(), Error> {
    let wish = || {
        let image = find_image(machine, pod?, id).ok()?;
        number_of(&image.config.stop_signal)
    };
    let signal = if kill { SIGKILL } else { wish().unwrap_or(SIGTERM) };
    Ok(machine.runtime.signal(&id.to_string(), signal)?)
}

/// `SIGQUIT`, `QUIT` or `3` as a number.
fn number_of(text: &str) -> Option<i32> {
    let name = text.trim().to_ascii_uppercase();
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse::<nix::sys::signal::Signal>().ok().map(|s| s as i32)
}

/// Ensures that nothing is left of an attempt but its exit record and its log.
pub(crate) fn clean(machine: &Machine, id: &ContainerId) -> Result<(), Error> {
    let name = id.to_string();
    if machine.runtime.containers()?.iter().any(|c| c.id == name) {
        machine.runtime.delete(&name)?;
    }
    let bundle = machine.layout.bundle(id);
    if machine.mounts()?.has_rootfs(id) {
        machine.host.unmount(&bundle.join("rootfs"))?;
    }
    ensure_no_file(&bundle.join("config.json"))?;
    if machine.host.file(&bundle)?.is_some() {
        machine.host.remove_tree(&bundle)?;
    }
    Ok(())
}

/// Ensures that an attempt's exit record, and with `log` its log, are gone.
pub(crate) fn forget(machine: &Machine, log: Option<&Path>, id: &ContainerId) -> Result<(), Error> {
    machine.runtime.forget_exit(&id.to_string())?;
    log.map_or(Ok(()), ensure_no_file)
}

/// Ensures that a file of the agent's own is gone.
pub(crate) fn ensure_no_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => Ok(()),
        Err(source) => Err(Error::File { operation: "remove", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_are_names_or_numbers() {
        let rows = [
            ("SIGQUIT", Some(3)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("", None),
            ("99", None),
            ("SIGX", None),
        ];
        for (text, number) in rows {
            assert_eq!(number_of(text), number, "{text}");
        }
    }
}
