//! Which file holds the log that a reader asks for.
//!
//! | the machine's latest attempt | the status's latest attempt | the log of |
//! |---|---|---|
//! | A | none, or B | the later one: the machine knows of an attempt before the status does |
//! | none | B | B: the machine has forgotten it (a reboot), its log is there |
//! | none | none | none: it waits to start |
//! | cannot be looked at, again and again | any | none, and said so: B may be one that has ended long ago |
//!
//! Of the machine, the attempts of this container alone are looked at: what of others is damaged is no reason to show no log.

use std::{path::PathBuf, thread, time::Duration};

use orlop_backends::host::{self, Container};

use super::options::Options;
use crate::{
    core::Core,
    ids::{ContainerId, is_safe},
    pods::states::{reported, status_of},
    world::PodFacts,
};

/// Why there is no log: a status code and a sentence for the reader.
pub(super) type Refusal = (u16, String);

/// How often the machine is looked at before a reader is told that it cannot be, and the pause between two looks.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

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
    let attempt = if options.previous {
        previous(&facts, container)?
    } else {
        latest(&facts, container, |of| core.machine.runtime.containers_of(of))?
    };
    let id = ContainerId::new(&facts.uid, container, attempt);
    let path = core.machine.layout.log(namespace, pod, &id);
    match path.try_exists() {
        Ok(true) => Ok(Found { id, path }),
        Ok(false) => Err((404, format!("the log of container {container} in pod {pod} is gone"))),
        Err(error) => Err((500, format!("look for the log of container {container} in pod {pod}: {error}"))),
    }
}

fn previous(pod: &PodFacts, container: &str) -> Result<u32, Refusal> {
    let last = status_of(&pod.pod, container).and_then(|s| s.last_state.as_ref()?.terminated.as_ref());
    let id =
        last.and_then(|t| t.container_id.as_deref()?.strip_prefix("runc://")?.parse::<ContainerId>().ok());
    id.map(|id| id.attempt).ok_or_else(|| {
        let pod = &pod.key.name;
        (400, format!("previous terminated container \"{container}\" in pod \"{pod}\" not found"))
    })
}

/// The table; `look` answers the containers of the machine whose ids begin so.
fn latest(
    pod: &PodFacts,
    container: &str,
    mut look: impl FnMut(&str) -> host::Result<Vec<Container>>,
) -> Result<u32, Refusal> {
    let told = status_of(&pod.pod, container).map(reported).unwrap_or_default();
    let attempts = ContainerId::beginning(&pod.uid, container);
    let here = look_again(|| look(&attempts)).map_err(|error| {
        let (pod, why) = (&pod.key.name, crate::error::chain(&error));
        let text = format!(
            "the container on this node cannot be looked at ({why}), so nobody knows which log of container \
             \"{container}\" in pod \"{pod}\" is its latest; ask again, and see what the node's agent says of it"
        );
        (500, text)
    })?;
    let here = here.iter().filter_map(|c| c.id.parse::<ContainerId>().ok()).map(|id| id.attempt).max();
    here.max(told.first().map(|r| r.attempt)).ok_or_else(|| {
        let waiting = status_of(&pod.pod, container).and_then(|s| s.state.as_ref()?.waiting.as_ref());
        let reason = waiting.and_then(|w| w.reason.clone()).unwrap_or_else(|| "ContainerCreating".to_owned());
        (400, format!("container \"{container}\" in pod \"{}\" is waiting to start: {reason}", pod.key.name))
    })
}

/// Looks, and again after a moment where that fails. Blocks.
fn look_again(mut look: impl FnMut() -> host::Result<Vec<Container>>) -> host::Result<Vec<Container>> {
    for _ in 1..LOOKS {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) => tracing::debug!(error = crate::error::chain(&error), "look for a log's container"),
        }
        thread::sleep(PAUSE);
    }
    look()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orlop_backends::host::{Cause, ContainerStatus, Runtime, fake::Fake};
    use orlop_objects::{Key, Object, kind};
    use serde_json::{Value, json};

    use super::*;

    /// The pod `p`, whose status says this of its container `c`.
    fn pod(status: &Value) -> PodFacts {
        let value = json!({"metadata": {"name": "p", "namespace": "default", "uid": "u"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": status});
        let object = Object::from_value(&kind::POD, &value).unwrap();
        PodFacts {
            key: Key::new(&kind::POD, "default", "p"),
            uid: "u".into(),
            pod: Arc::new(serde_json::from_value(value).unwrap()),
            object: Arc::new(object),
            deleted_at: None,
            grace: 0,
            finished: false,
        }
    }

    fn running(attempt: u32) -> Value {
        json!({"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": true,
            "restartCount": attempt, "containerID": format!("runc://u_c_{attempt}"), "state": {"running": {}}}]})
    }

    fn here(attempts: &[u32]) -> host::Result<Vec<Container>> {
        let container = |attempt: &u32| Container {
            id: ContainerId::new("u", "c", *attempt).to_string(),
            process: None,
            status: ContainerStatus::Running,
        };
        Ok(attempts.iter().map(container).collect())
    }

    fn unseen() -> host::Result<Vec<Container>> {
        let source = Cause::Os(std::io::ErrorKind::ResourceBusy.into());
        Err(host::Error { operation: "list containers", object: "*".into(), source })
    }

    /// The rows of the table.
    #[test]
    fn of_machine_and_status_the_later_attempt_is_read() {
        for (machine, status, wanted) in [
            (&[1, 2][..], Value::Null, Some(2)),
            (&[2], running(1), Some(2)),
            (&[1], running(2), Some(2)),
            (&[], running(2), Some(2)),
            (&[], Value::Null, None),
        ] {
            let found = latest(&pod(&status), "c", |_| here(machine));
            let what = format!("{machine:?} {status}: {found:?}");
            match wanted {
                Some(attempt) => assert_eq!(found, Ok(attempt), "{what}"),
                None => {
                    assert!(found.is_err_and(|(code, why)| code == 400 && why.contains("waiting")), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_is_looked_at_again_and_then_said() {
        for status in [Value::Null, running(1)] {
            let (code, why) = latest(&pod(&status), "c", |_| unseen()).unwrap_err();
            assert_eq!(code, 500, "{why}");
            assert!(why.contains("list containers") && why.contains("pod \"p\""), "{why}");
            let mut looks = 0;
            let found = latest(&pod(&status), "c", |_| {
                looks += 1;
                if looks < LOOKS { unseen() } else { here(&[2]) }
            });
            assert_eq!(found, Ok(2));
        }
    }

    /// Later attempts of the pod's other container, of another pod's of the same name, and of those whose uid or name only
    /// begins like this one's. One of them is damaged.
    #[test]
    fn other_containers_are_not_looked_at() {
        let fake = Fake::default();
        for (uid, name, attempt) in
            [("u", "c", 1), ("u", "d", 7), ("v", "c", 8), ("u", "cc", 9), ("uu", "c", 9)]
        {
            fake.leave_half_made(&ContainerId::new(uid, name, attempt).to_string());
        }
        let found = latest(&pod(&Value::Null), "c", |of| {
            assert!(
                !ContainerId::new("v", "c", 8).to_string().starts_with(of),
                "the damaged one is asked for"
            );
            fake.containers_of(of)
        });
        assert_eq!(found, Ok(1));
    }
}
