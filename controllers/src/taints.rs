//! Taints, what tolerates them, and what a node's Ready condition says. Pure.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
/// Put on by a person, who thereby says that the node is powered off; and what tells that it is not.
pub(crate) use orlop_objects::out_of_service::{
    HEARD_SINCE, TAINT as OUT_OF_SERVICE, believed as out_of_service, is_heard_since,
};

use crate::edit;

/// On a node whose agent says that it is not ready.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// On a node that nobody hears from.
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// On a node that `kubectl cordon` has closed to new pods.
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Keeps new pods away.
pub(crate) const NO_SCHEDULE: &str = "NoSchedule";
/// Keeps new pods away and sends away those that are there.
pub(crate) const NO_EXECUTE: &str = "NoExecute";
/// Keeps new pods away where they can be elsewhere.
pub(crate) const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";

/// How long a pod may stay in spite of a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// Not at all.
    Not,
    /// This long.
    For(Duration),
    /// Without end.
    Always,
}

/// The node's taints.
pub(crate) fn of_node(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// The node's taint of this key and effect.
pub(crate) fn find<'a>(node: &'a Node, key: &str, effect: &str) -> Option<&'a Taint> {
    of_node(node).iter().find(|taint| taint.key == key && taint.effect == effect)
}

/// The pod's tolerations.
fn tolerations(pod: &Pod) -> &[Toleration] {
    pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
}

/// Whether the pod may be put on a node with this taint.
pub(crate) fn is_tolerated(pod: &Pod, taint: &Taint) -> bool {
    tolerations(pod).iter().any(|toleration| tolerates(toleration, taint))
}

/// How long the pod stays in spite of the taint: of several tolerations the shortest counts, as in Kubernetes.
pub(crate) fn stay(pod: &Pod, taint: &Taint) -> Stay {
    let matching: Vec<&Toleration> = tolerations(pod).iter().filter(|t| tolerates(t, taint)).collect();
    let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min();
    match seconds {
        // A negative time means at once, as in Kubernetes.
        Some(seconds) => Stay::For(Duration::from_secs(u64::try_from(seconds).unwrap_or_default())),
        None if matching.is_empty() => Stay::Not,
        None => Stay::Always,
    }
}

/// When a pod that has had to do with the taint since `seen` must go; `None` for never.
pub(crate) fn deadline(pod: &Pod, taint: &Taint, seen: Instant) -> Option<Instant> {
    match stay(pod, taint) {
        Stay::Not => Some(seen),
        // A time beyond all clocks is no deadline.
        Stay::For(time) => seen.checked_add(time),
        Stay::Always => None,
    }
}

/// Whether a pod that has this toleration stands that taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let value = match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" => {
            toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        _ => false,
    };
    // An empty key tolerates all keys, but only with Exists.
    let key =
        if key.is_empty() { toleration.operator.as_deref() == Some("Exists") } else { key == taint.key };
    key && value && (effect.is_empty() || effect == taint.effect)
}

/// The node's Ready condition.
pub(crate) fn ready(node: &Node) -> Option<&NodeCondition> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

/// Since when the node's Ready condition is what it is, in words.
pub(crate) fn since(node: &Node) -> String {
    let at = ready(node).and_then(|condition| condition.last_transition_time.as_ref());
    at.map_or_else(|| "it joined".to_owned(), |time| edit::seconds(time.0))
}

/// The command by which a person calls a node out of service.
pub(crate) fn out_of_service_command(node: &str) -> String {
    format!("kubectl taint node {node} {OUT_OF_SERVICE}=nodeshutdown:{NO_EXECUTE}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::read;

    #[test]
    fn how_long_a_pod_stays() {
        let taint: Taint = read(json!({"key": "a", "value": "b", "effect": "NoExecute"}));
        let exists = |seconds: Value| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let rows = [
            (json!([]), Stay::Not),
            (json!([{"key": "a", "operator": "Exists"}]), Stay::Always),
            (json!([{"operator": "Exists"}]), Stay::Always),
            (json!([{"operator": "Equal"}]), Stay::Not),
            (json!([{"key": "a", "value": "b"}]), Stay::Always),
            (json!([{"key": "a", "value": "c"}]), Stay::Not),
            (json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]), Stay::Not),
            (json!([exists(json!(300))]), Stay::For(Duration::from_secs(300))),
            (
                json!([exists(json!(300)), exists(json!(5)), exists(Value::Null)]),
                Stay::For(Duration::from_secs(5)),
            ),
            (json!([exists(json!(0))]), Stay::For(Duration::ZERO)),
            (json!([exists(json!(-3))]), Stay::For(Duration::ZERO)),
        ];
        for (tolerations, wanted) in rows {
            let pod: Pod = read(json!({"spec": {"containers": [], "tolerations": tolerations}}));
            assert_eq!(stay(&pod, &taint), wanted, "{tolerations}");
            assert_eq!(is_tolerated(&pod, &taint), wanted != Stay::Not, "{tolerations}");
        }
    }

    #[test]
    fn a_time_beyond_all_clocks_is_no_deadline() {
        let taint: Taint = read(json!({"key": "a", "effect": "NoExecute"}));
        let pod: Pod = read(json!({"spec": {"containers": [], "tolerations": [
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": i64::MAX}]}}));
        assert_eq!(deadline(&pod, &taint, Instant::now()), None);
    }
}
