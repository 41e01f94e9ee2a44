//! What a workload needs to know of a pod. Each version of a pod is read once: a set of a thousand pods does not read a
//! thousand when one changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use orlop_objects::{Key, Object, time};
use serde_json::Value;

/// Pods with a lower number are deleted first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod's phase, in the order in which pods are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Its containers do not all run yet.
    Pending,
    /// Nobody knows.
    Unknown,
    /// They run.
    Running,
    /// They ended well.
    Succeeded,
    /// They ended, and not well.
    Failed,
}

/// One version of a pod, as far as workloads look at it.
#[derive(Debug)]
pub(crate) struct Pod {
    /// The object: key, uid, labels, owners, version.
    pub(crate) object: Arc<Object>,
    /// Its phase.
    pub(crate) phase: Phase,
    /// The node it is on.
    pub(crate) node: Option<String>,
    /// Since when it is ready; `None` while it is not.
    pub(crate) ready_since: Option<Timestamp>,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// How often its containers were restarted.
    pub(crate) restarts: i64,
    /// What its user says that its loss costs.
    pub(crate) deletion_cost: i64,
    /// Why it does not run, in the words of its own status.
    pub(crate) trouble: Option<String>,
}

/// Whether a pod has been ready long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// It has.
    Yes,
    /// It is ready, and will have been long enough in this time.
    In(Duration),
    /// It is not ready.
    No,
}

impl Pod {
    /// Reads a pod.
    pub(crate) fn of(object: Arc<Object>) -> Self {
        let value = object.value();
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let phase = match text("/status/phase") {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some("Unknown") => Phase::Unknown,
            _ => Phase::Pending,
        };
        let epoch = Timestamp::UNIX_EPOCH;
        let statuses = value.pointer("/status/containerStatuses").and_then(Value::as_array);
        let restarts = |status: &Value| status["restartCount"].as_i64().unwrap_or(0);
        let cost = value["metadata"]["annotations"][DELETION_COST].as_str();
        Self {
            phase,
            node: text("/spec/nodeName").map(str::to_owned),
            ready_since: ready_since(&value),
            created: time::parse(&object.meta.creation_timestamp).unwrap_or(epoch),
            restarts: statuses.into_iter().flatten().map(restarts).max().unwrap_or(0),
            deletion_cost: cost.and_then(|cost| cost.parse::<i32>().ok()).map_or(0, i64::from),
            trouble: trouble(&value),
            object,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.object.meta.name
    }

    /// Whether its deletion has been asked for.
    pub(crate) fn is_terminating(&self) -> bool {
        self.object.meta.is_terminating()
    }

    /// Whether it has ended for good.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether it counts as one of a workload's: neither ended nor on its way out.
    pub(crate) fn is_active(&self) -> bool {
        !self.is_finished() && !self.is_terminating()
    }

    /// Whether it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Whether it has been ready for `least` seconds at `now`.
    pub(crate) fn availability(&self, least: i32, now: Timestamp) -> Availability {
        let Some(since) = self.ready_since else { return Availability::No };
        let left = SignedDuration::from_secs(i64::from(least)) - now.duration_since(since);
        if least <= 0 || !left.is_positive() {
            return Availability::Yes;
        }
        Availability::In(left.try_into().unwrap_or_default())
    }
}

/// When what is ready but not long enough will be next; `None` when nothing is.
pub(crate) fn next_available<'a>(
    pods: impl IntoIterator<Item = &'a Arc<Pod>>,
    least: i32,
    (now, clock): (Instant, Timestamp),
) -> Option<Instant> {
    let left = pods.into_iter().filter_map(|pod| match pod.availability(least, clock) {
        Availability::In(left) => Some(left),
        Availability::Yes | Availability::No => None,
    });
    left.min().map(|left| now + left)
}

fn conditions(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn ready_since(pod: &Value) -> Option<Timestamp> {
    let ready = conditions(pod).find(|c| c["type"] == "Ready" && c["status"] == "True")?;
    let since = ready["lastTransitionTime"].as_str().and_then(time::parse);
    Some(since.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// What keeps it from running: no node for it, or what its first waiting container says.
fn trouble(pod: &Value) -> Option<String> {
    let unscheduled = conditions(pod).find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
    let waiting = || {
        let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array)?;
        let waits = |status: &Value| status.pointer("/state/waiting").cloned();
        let waiting = statuses.iter().filter(|status| status["ready"] != true).find_map(waits)?;
        let part = |field: &str| waiting[field].as_str().unwrap_or_default().to_owned();
        Some(format!("{}: {}", part("reason"), part("message")))
    };
    let said = unscheduled.and_then(|condition| condition["message"].as_str().map(str::to_owned));
    said.or_else(waiting).map(|text| text.trim_matches([':', ' ']).to_owned()).filter(|text| !text.is_empty())
}

/// The pods that were read, each in its last version.
#[derive(Default)]
pub(crate) struct Pods(Mutex<HashMap<Key, Arc<Pod>>>);

impl Pods {
    fn map(&self) -> MutexGuard<'_, HashMap<Key, Arc<Pod>>> {
        // A poisoned lock only means that a pass died while it remembered something: the map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod, read only when this version was not read before.
    pub(crate) fn read(&self, object: &Arc<Object>) -> Arc<Pod> {
        let mut map = self.map();
        if let Some(known) = map.get(&object.key).filter(|known| known.object.revision == object.revision) {
            return known.clone();
        }
        let pod = Arc::new(Pod::of(object.clone()));
        map.insert(object.key.clone(), pod.clone());
        pod
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.map().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Arc<Object> {
        Arc::new(Object::from_value(&kind::POD, value).expect("valid").at(7))
    }

    #[test]
    fn a_pod_is_read() {
        let pod = Pod::of(object(&json!({
            "metadata": {"name": "p", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {DELETION_COST: "-3"}},
            "spec": {"nodeName": "n1"},
            "status": {"phase": "Running", "containerStatuses": [{"restartCount": 2}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]},
        })));
        assert_eq!(
            (pod.phase, pod.node.as_deref(), pod.restarts, pod.deletion_cost),
            (Phase::Running, Some("n1"), 2, -3)
        );
        let at = |seconds: i64| pod.created + SignedDuration::from_secs(seconds);
        assert_eq!(pod.availability(5, at(12)), Availability::In(Duration::from_secs(3)));
        assert_eq!(pod.availability(5, at(15)), Availability::Yes);
        assert_eq!(pod.availability(0, at(0)), Availability::Yes);
        assert!(pod.is_active() && pod.trouble.is_none());
    }

    #[test]
    fn why_a_pod_does_not_run() {
        let of =
            |status: Value| Pod::of(object(&json!({"metadata": {"name": "p"}, "status": status}))).trouble;
        let scheduled =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}]});
        assert_eq!(of(scheduled).as_deref(), Some("no room"));
        let waiting = json!({"containerStatuses": [{"ready": false,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]});
        assert_eq!(of(waiting).as_deref(), Some("ErrImagePull: no such image"));
        let creating = json!({"containerStatuses": [{"ready": false, "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        assert_eq!(of(creating).as_deref(), Some("ContainerCreating"));
        assert_eq!(of(json!({"phase": "Running"})), None);
    }

    #[test]
    fn a_version_is_read_once() {
        let pods = Pods::default();
        let first = object(&json!({"metadata": {"name": "p"}}));
        let read = pods.read(&first);
        assert!(Arc::ptr_eq(&read, &pods.read(&first)));
        assert!(!Arc::ptr_eq(&read, &pods.read(&Arc::new(first.at(8)))));
        pods.forget(&first.key);
        assert!(pods.map().is_empty());
    }
}
