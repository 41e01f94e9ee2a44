//! Selectors: which volumes a claim's selector takes, which nodes a volume or a pod can be on. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, Pod},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use crate::facts::labels;

type Labels = BTreeMap<String, String>;

/// Whether `found` satisfies every part of `selector`; an empty selector takes everything.
pub(crate) fn selects(selector: &LabelSelector, found: &Labels) -> bool {
    let equal = labels(selector.match_labels.as_ref());
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    equal.iter().all(|(key, value)| found.get(key) == Some(value))
        && expressions.iter().all(|e| {
            holds(&e.operator, e.values.as_deref().unwrap_or_default(), found.get(&e.key).map(String::as_str))
        })
}

/// Whether a volume can be used on `node`; one without node affinity can be used anywhere.
pub(crate) fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    let required = || volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref();
    required().is_none_or(|selector| matches(selector, node))
}

/// Whether a pod's nodeSelector and required node affinity take `node`.
pub(crate) fn accepts(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let found = labels(node.metadata.labels.as_ref());
    let plain = labels(spec.node_selector.as_ref()).iter().all(|(key, value)| found.get(key) == Some(value));
    let required = || {
        let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
        affinity.required_during_scheduling_ignored_during_execution.as_ref()
    };
    plain && required().is_none_or(|selector| matches(selector, node))
}

/// Terms are alternatives; a selector without terms takes nothing.
pub(crate) fn matches(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, node))
}

/// The requirements of a term must all hold; a term without any takes nothing.
fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let found = labels(node.metadata.labels.as_ref());
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let by_label = |r: &NodeSelectorRequirement| requirement_holds(r, found.get(&r.key).map(String::as_str));
    // `metadata.name` is the only field that Kubernetes knows here.
    let by_field = |r: &NodeSelectorRequirement| {
        r.key == "metadata.name" && requirement_holds(r, node.metadata.name.as_deref())
    };
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(by_label)
        && fields.iter().all(by_field)
}

fn requirement_holds(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    holds(&requirement.operator, requirement.values.as_deref().unwrap_or_default(), found)
}

/// One requirement, with the operators of label selectors and those of node selectors.
fn holds(operator: &str, values: &[String], found: Option<&str>) -> bool {
    let listed = || found.is_some_and(|value| values.iter().any(|v| v == value));
    match operator {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared(found, values).is_some_and(|(own, limit)| own > limit),
        "Lt" => compared(found, values).is_some_and(|(own, limit)| own < limit),
        _ => false,
    }
}

fn compared(found: Option<&str>, values: &[String]) -> Option<(i64, i64)> {
    Some((found?.parse().ok()?, values.first()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::read;

    #[test]
    fn every_operator_is_known() {
        let node: Node = read(json!({"metadata": {"name": "n1", "labels": {"zone": "a", "disks": "4"}}}));
        let rows = [
            (json!({"key": "zone", "operator": "In", "values": ["a", "b"]}), true),
            (json!({"key": "zone", "operator": "In", "values": ["b"]}), false),
            (json!({"key": "zone", "operator": "NotIn", "values": ["b"]}), true),
            (json!({"key": "rack", "operator": "NotIn", "values": ["b"]}), true),
            (json!({"key": "zone", "operator": "Exists"}), true),
            (json!({"key": "rack", "operator": "Exists"}), false),
            (json!({"key": "rack", "operator": "DoesNotExist"}), true),
            (json!({"key": "disks", "operator": "Gt", "values": ["3"]}), true),
            (json!({"key": "disks", "operator": "Lt", "values": ["3"]}), false),
            (json!({"key": "zone", "operator": "Gt", "values": ["3"]}), false),
            (json!({"key": "zone", "operator": "Near", "values": ["a"]}), false),
        ];
        for (requirement, wanted) in rows {
            let selector: NodeSelector =
                read(json!({"nodeSelectorTerms": [{"matchExpressions": [requirement.clone()]}]}));
            assert_eq!(matches(&selector, &node), wanted, "{requirement}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_one_takes_nothing() {
        let node: Node = read(json!({"metadata": {"name": "n1"}}));
        let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]});
        let rows = [(json!([]), false), (json!([{}]), false), (json!([{}, by_name]), true)];
        for (terms, wanted) in rows {
            let selector: NodeSelector = read(json!({"nodeSelectorTerms": terms}));
            assert_eq!(matches(&selector, &node), wanted, "{terms}");
        }
    }

    #[test]
    fn a_label_selector_needs_all_its_parts() {
        let found: Labels = read(json!({"tier": "fast", "rack": "1"}));
        let rows = [
            (json!({}), true),
            (json!({"matchLabels": {"tier": "fast"}}), true),
            (json!({"matchLabels": {"tier": "fast", "rack": "2"}}), false),
            (
                json!({"matchLabels": {"tier": "fast"},
                "matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}),
                false,
            ),
        ];
        for (selector, wanted) in rows {
            assert_eq!(selects(&read(selector.clone()), &found), wanted, "{selector}");
        }
    }
}
