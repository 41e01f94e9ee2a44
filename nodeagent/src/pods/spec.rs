//! A container of a pod in the terms of a bundle. Pure: what is not honoured yet and restricts is refused by name.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;

use super::env::{Place, expand, variables};
use crate::{
    error::Error,
    ids::ContainerId,
    images::Image,
    oci::{self, ContainerSpec, Mount, Propagation, Resources, Seccomp, Security, UserRequest},
    paths::Layout,
    quantity,
    world::{PodFacts, Resolved, Source},
};

/// Linux's limit for a host name that is one label.
const HOSTNAME: usize = 63;

/// Everything around a container that its bundle depends on.
pub(crate) struct Setting<'a> {
    pub(crate) pod: &'a PodFacts,
    pub(crate) id: &'a ContainerId,
    pub(crate) image: &'a Image,
    pub(crate) volumes: &'a [Resolved],
    pub(crate) layout: &'a Layout,
    pub(crate) instance: &'a str,
    pub(crate) place: Place<'a>,
    /// `/etc/hosts` and its like.
    pub(crate) etc: Vec<Mount>,
}

/// A container's spec by name, init containers too.
pub(crate) fn container<'a>(pod: &'a PodFacts, name: &str) -> Option<&'a core::Container> {
    let spec = pod.spec()?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name)
}

/// The pod's host name.
pub(crate) fn hostname(pod: &PodFacts) -> String {
    let given = pod.spec().and_then(|s| s.hostname.clone()).filter(|h| !h.is_empty());
    let mut name = given.unwrap_or_else(|| pod.key.name.clone());
    name.truncate(HOSTNAME);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Whether the pod shares the host's network.
pub(crate) fn host_network(pod: &PodFacts) -> bool {
    pod.spec().and_then(|s| s.host_network).unwrap_or_default()
}

/// The bundle's content.
pub(crate) fn bundle(setting: &Setting<'_>) -> Result<ContainerSpec, Error> {
    let pod = setting.pod;
    let container = container(pod, &setting.id.container)
        .ok_or_else(|| Error::Refused(format!("the pod has no container {}", setting.id.container)))?;
    let variables = variables(pod, container, setting.place)?;
    let hostname = hostname(pod);
    let image = &setting.image.config;
    let expanded = |list: &Option<Vec<String>>| -> Option<Vec<String>> {
        list.as_ref().map(|list| list.iter().map(|word| expand(word, &variables)).collect())
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    let own_dir = container.working_dir.clone().filter(|d| !d.is_empty());
    Ok(ContainerSpec {
        id: setting.id.to_string(),
        image: setting.image.reference.clone(),
        rootfs: setting.layout.bundle(setting.id).join("rootfs"),
        args: oci::command(image, command.as_deref(), args.as_deref()),
        env: oci::environment(image, &hostname, &variables),
        cwd: own_dir.unwrap_or_else(|| image.working_dir.clone()),
        user: user(pod, container, &image.user)?,
        mounts: mounts(setting, container)?,
        namespaces: setting.layout.namespaces(&pod.uid),
        host_network: host_network(pod),
        hostname,
        cgroup: format!("/orlop-{}/pod-{}/{}", setting.instance, pod.uid, setting.id),
        resources: resources(container),
        security: security(pod, container)?,
        oom_score_adj: is_best_effort(pod).then_some(1000),
    })
}

fn refused(container: &core::Container, what: &str) -> Error {
    Error::Container {
        reason: "CreateContainerConfigError",
        message: format!("container {}: {what}", container.name),
    }
}

fn mounts(setting: &Setting<'_>, container: &core::Container) -> Result<Vec<Mount>, Error> {
    if container.volume_devices.as_ref().is_some_and(|d| !d.is_empty()) {
        return Err(refused(container, "volumeDevices are not built yet; use volumeMounts"));
    }
    let own: Vec<Mount> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| volume_mount(setting, container, mount))
        .collect::<Result<_, _>>()?;
    let taken = |etc: &Mount| own.iter().any(|m| Path::new(&m.target) == Path::new(&etc.target));
    let etc: Vec<Mount> = setting.etc.iter().filter(|etc| !taken(etc)).cloned().collect();
    Ok([etc, own].concat())
}

fn volume_mount(
    setting: &Setting<'_>,
    container: &core::Container,
    mount: &core::VolumeMount,
) -> Result<Mount, Error> {
    if mount.sub_path.as_ref().or(mount.sub_path_expr.as_ref()).is_some_and(|p| !p.is_empty()) {
        return Err(refused(container, "volumeMounts.subPath is not built yet; mount the whole volume"));
    }
    let propagation = match mount.mount_propagation.as_deref() {
        None | Some("None") => Propagation::Private,
        Some("HostToContainer") => Propagation::Slave,
        Some(other) => {
            return Err(refused(
                container,
                &format!("volumeMounts.mountPropagation {other} is not offered; use HostToContainer"),
            ));
        }
    };
    let volume = setting.volumes.iter().find(|v| v.name == mount.name).ok_or_else(|| {
        refused(
            container,
            &format!("volumeMounts names volume {}, which spec.volumes does not have", mount.name),
        )
    })?;
    let (source, read_only) = source_of(setting, volume)?;
    Ok(Mount {
        source,
        target: mount.mount_path.clone(),
        read_only: read_only || mount.read_only.unwrap_or_default(),
        propagation,
    })
}

fn source_of(setting: &Setting<'_>, volume: &Resolved) -> Result<(PathBuf, bool), Error> {
    let uid = &setting.pod.uid;
    match &volume.source {
        Source::Volume { volume: pv, read_only, .. } => {
            Ok((setting.layout.published(uid, &pv.name), *read_only))
        }
        Source::Empty { .. } => Ok((setting.layout.empty_dir(uid, &volume.name), false)),
        Source::HostPath { read_only, .. } => Ok((setting.layout.host_path(uid, &volume.name), *read_only)),
        // Known by name but not to be had yet: where it will be does not depend on that.
        Source::Waiting(why) => Err(Error::Refused(why.clone())),
    }
}

fn id_of(value: Option<i64>, container: &core::Container, field: &str) -> Result<Option<u32>, Error> {
    value
        .map(|v| {
            u32::try_from(v)
                .map_err(|_| refused(container, &format!("{field} {v} is no id; use 0 to 4294967295")))
        })
        .transpose()
}

fn user(pod: &PodFacts, container: &core::Container, image: &str) -> Result<UserRequest, Error> {
    let of_pod = pod.spec().and_then(|s| s.security_context.clone()).unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let extra = of_pod.supplemental_groups.clone().unwrap_or_default().into_iter().chain(of_pod.fs_group);
    let groups =
        extra.map(|g| id_of(Some(g), container, "supplementalGroups")).collect::<Result<Vec<_>, _>>()?;
    Ok(UserRequest {
        image: image.to_owned(),
        uid: id_of(own.run_as_user.or(of_pod.run_as_user), container, "runAsUser")?,
        gid: id_of(own.run_as_group.or(of_pod.run_as_group), container, "runAsGroup")?,
        groups: groups.into_iter().flatten().collect(),
        non_root: own.run_as_non_root.or(of_pod.run_as_non_root).unwrap_or_default(),
    })
}

fn security(pod: &PodFacts, container: &core::Container) -> Result<Security, Error> {
    let of_pod = pod.spec().and_then(|s| s.security_context.clone()).unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let capabilities = own.capabilities.unwrap_or_default();
    let profile = own.seccomp_profile.or(of_pod.seccomp_profile).map(|p| p.type_);
    let seccomp = match profile.as_deref() {
        None | Some("RuntimeDefault") => Seccomp::Default,
        Some("Unconfined") => Seccomp::Unconfined,
        Some(other) => {
            return Err(refused(
                container,
                &format!("seccompProfile.type {other} is not offered; use RuntimeDefault"),
            ));
        }
    };
    if own.proc_mount.as_deref().is_some_and(|p| p != "Default") {
        return Err(refused(container, "securityContext.procMount is offered as Default only"));
    }
    Ok(Security {
        add: capabilities.add.unwrap_or_default(),
        drop: capabilities.drop.unwrap_or_default(),
        read_only_root: own.read_only_root_filesystem.unwrap_or_default(),
        allow_privilege_escalation: own.allow_privilege_escalation.unwrap_or(true),
        privileged: own.privileged.unwrap_or_default(),
        seccomp,
    })
}

fn resources(container: &core::Container) -> Resources {
    let all = container.resources.clone().unwrap_or_default();
    let (limits, requests) = (all.limits.unwrap_or_default(), all.requests.unwrap_or_default());
    let millis = |of: &std::collections::BTreeMap<
        _,
        k8s_openapi::apimachinery::pkg::api::resource::Quantity,
    >| { of.get("cpu").and_then(|q| quantity::millis(&q.0)) };
    let limit = millis(&limits);
    Resources {
        memory: limits.get("memory").and_then(|q| quantity::whole(&q.0)),
        cpu_shares: millis(&requests).or(limit).map(|m| (m.saturating_mul(1024) / 1000).max(2)),
        cpu_millis: limit,
        pids: None,
    }
}

/// Whether no container asks for or is limited in memory and CPU: the first to go when memory runs out.
fn is_best_effort(pod: &PodFacts) -> bool {
    let Some(spec) = pod.spec() else { return false };
    let free = |c: &core::Container| {
        c.resources.as_ref().is_none_or(|r| {
            r.limits.as_ref().is_none_or(|l| l.is_empty()) && r.requests.as_ref().is_none_or(|r| r.is_empty())
        })
    };
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).all(free)
}
