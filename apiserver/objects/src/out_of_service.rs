//! The word of a person that a node is off: the taint, and when it is believed. One rule for all who act on it.
//!
//! | taint | Ready | heard since | believed |
//! |---|---|---|---|
//! | none, or of another effect than NoExecute | any | any | no |
//! | there | True | any | no: who says that it is Ready is not off |
//! | there | anything else | yes | no: it was on after it had been called off |
//! | there | anything else | no | yes |

use k8s_openapi::api::core::v1::{Node, Taint};

/// The key of the taint.
pub const TAINT: &str = "node.kubernetes.io/out-of-service";
/// An annotation: the node was heard after it had been called out of service, so the taint is not believed until it is
/// taken off and put on again. Kept on the Node, so that it outlives the server.
pub const HEARD_SINCE: &str = "node.orlop.dev/heard-since-out-of-service";
/// The effect of the taint: another one is not meant as this word.
const EFFECT: &str = "NoExecute";

/// The taint, where it is believed. Then, and only then, what the node holds is taken from it.
pub fn believed(node: &Node) -> Option<&Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let taint = taints.iter().find(|taint| taint.key == TAINT && taint.effect == EFFECT)?;
    (!is_ready(node) && !is_heard_since(node)).then_some(taint)
}

/// Whether the node says that it takes pods.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether the node was heard after somebody had called it out of service.
pub fn is_heard_since(node: &Node) -> bool {
    node.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(HEARD_SINCE))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The rows of the table.
    #[test]
    fn who_is_believed_to_be_out_of_service() {
        let node = |taints: &Value, ready: &str, annotations: &Value| -> Node {
            let node = json!({"metadata": {"annotations": annotations}, "spec": {"taints": taints},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            serde_json::from_value(node).expect("a test writes what the type reads")
        };
        let hard = json!([{"key": TAINT, "value": "nodeshutdown", "effect": "NoExecute"}]);
        let softer = json!([{"key": TAINT, "effect": "NoSchedule"}]);
        let other = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]);
        let (not, since) = (json!({}), json!({HEARD_SINCE: "2026-01-01T00:00:00Z"}));
        for (row, taints, ready, annotations, wanted) in [
            ("no taint", &Value::Null, "Unknown", &not, false),
            ("another taint", &other, "Unknown", &not, false),
            ("another effect", &softer, "Unknown", &not, false),
            ("Ready", &hard, "True", &not, false),
            ("heard since", &hard, "Unknown", &since, false),
            ("silent", &hard, "Unknown", &not, true),
            ("says that it is not ready", &hard, "False", &not, true),
        ] {
            assert_eq!(believed(&node(taints, ready, annotations)).is_some(), wanted, "{row}");
        }
    }
}
