//! Node selectors: terms of which one must hold, as in a volume's `nodeAffinity.required`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Requirement;
use crate::{FieldError, names};

/// Whether a `v1.NodeSelector` selects the node of this name with these labels. Its terms are alternatives; within one,
/// all of `matchExpressions` (labels) and `matchFields` (`metadata.name`) must hold; an empty or unreadable term
/// selects nothing.
pub fn matches_node_selector(selector: &Value, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let terms = selector.get("nodeSelectorTerms").and_then(Value::as_array);
    terms.into_iter().flatten().any(|term| matches_term(term, name, labels))
}

fn matches_term(term: &Value, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let part = |field: &str| term.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (expressions, fields) = (part("matchExpressions"), part("matchFields"));
    let read = |expression: &Value| Requirement::from_object("", expression, true);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|e| read(e).is_ok_and(|r| r.matches(labels)))
        && fields.iter().all(|e| read(e).is_ok_and(|r| r.holds((r.key == "metadata.name").then_some(name))))
}

/// What is wrong with one requirement of a node selector; `path` is where it stands.
pub fn check_node_requirement(path: &str, expression: &Value) -> Option<FieldError> {
    let requirement = match Requirement::from_object(path, expression, true) {
        Ok(requirement) => requirement,
        Err(error) => return Some(error),
    };
    let key = expression.get("key").cloned().unwrap_or_default();
    names::label_key(&requirement.key)
        .map(|problem| FieldError::invalid(format!("{path}.key"), &key, problem))
}
