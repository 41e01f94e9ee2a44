//! Which file holds the log that a reader asks for.

use std::path::PathBuf;

use super::options::Options;
use crate::{
    core::Core,
    ids::{ContainerId, is_safe},
    pods::states::{reported, status_of},
    world::PodFacts,
};

/// Why there is no log: a status code and a sentence for the reader.
pub(super) type Refusal = (u16, String);

/// A log file and the attempt that writes it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: ContainerId,
    pub(super) path: PathBuf,
}

/// Finds the log of a container of a pod. Blocks.
pub(super) fn find(
    core: &Core,
    namespace: &str,
    pod: &str,
    container: &str,
    options: &Options,
) -> Result<Found, Refusal> {
    let facts = core.world().pod_named(namespace, pod);
    let facts = facts.ok_or_else(|| (404, format!("pod {namespace}/{pod} is not on this node")))?;
    if !is_safe(container) || crate::pods::spec::container(&facts, container).is_none() {
        return Err((400, format!("container {container} is not valid for pod {pod}")));
    }
    let attempt = attempt(core, &facts, container, options.previous)?;
    let id = ContainerId::new(&facts.uid, container, attempt);
    let path = core.machine.layout.log(namespace, pod, &id);
    if !path.exists() {
        return Err((404, format!("the log of container {container} in pod {pod} is gone")));
    }
    Ok(Found { id, path })
}

fn attempt(core: &Core, pod: &PodFacts, container: &str, previous: bool) -> Result<u32, Refusal> {
    let told = status_of(&pod.pod, container).map(reported).unwrap_or_default();
    if previous {
        let last = status_of(&pod.pod, container).and_then(|s| s.last_state.as_ref()?.terminated.as_ref());
        let id = last
            .and_then(|t| t.container_id.as_deref()?.strip_prefix("runc://")?.parse::<ContainerId>().ok());
        return id.map(|id| id.attempt).ok_or_else(|| {
            (
                400,
                format!(
                    "previous terminated container \"{container}\" in pod \"{}\" not found",
                    pod.key.name
                ),
            )
        });
    }
    // The machine knows of an attempt before the status does.
    let here = core.machine.runtime.containers().unwrap_or_default();
    let here = here.iter().filter_map(|c| c.id.parse::<ContainerId>().ok());
    let here = here.filter(|id| id.pod == pod.uid && id.container == container).map(|id| id.attempt).max();
    here.max(told.first().map(|r| r.attempt)).ok_or_else(|| {
        let waiting = status_of(&pod.pod, container).and_then(|s| s.state.as_ref()?.waiting.as_ref());
        let reason = waiting.and_then(|w| w.reason.clone()).unwrap_or_else(|| "ContainerCreating".to_owned());
        (400, format!("container \"{container}\" in pod \"{}\" is waiting to start: {reason}", pod.key.name))
    })
}
