//! Compares two versions of an object by the table's rules about change.

use serde_json::{Map, Value};

use super::{Immutable, Rule};
use crate::{Cause, FieldError};

/// Every field that changed although it may not.
pub(super) fn changes(rules: &[Immutable], old: &Value, new: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    compare(rules, old, new, &Place::default(), &mut out);
    out
}

/// Where the comparison stands: as rules name it (`a[].b`) and as people read it (`a[0].b`).
#[derive(Clone, Default)]
struct Place {
    rule: String,
    shown: String,
}

impl Place {
    fn key(&self, name: &str) -> Self {
        let join = |path: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
        };
        Self { rule: join(&self.rule), shown: join(&self.shown) }
    }

    fn item(&self, n: usize) -> Self {
        Self { rule: format!("{}[]", self.rule), shown: format!("{}[{n}]", self.shown) }
    }
}

fn compare(rules: &[Immutable], old: &Value, new: &Value, place: &Place, out: &mut Vec<FieldError>) {
    if old == new {
        return;
    }
    let rule = rule_at(rules, &place.rule);
    if rule == Rule::SetOnce && empty(old) {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if has_below(rules, &place.rule) || rule == Rule::Fixed => {
            objects(rules, old, new, place, out);
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() && has_below(rules, &place.rule) => {
            for (n, (old, new)) in old.iter().zip(new).enumerate() {
                compare(rules, old, new, &place.item(n), out);
            }
        }
        _ if rule == Rule::Free => {}
        _ => out.push(refusal(rule, place, new)),
    }
}

fn objects(
    rules: &[Immutable],
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    at: &Place,
    out: &mut Vec<FieldError>,
) {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let [old, new] = [old, new].map(|m| m.get(name).unwrap_or(&Value::Null));
        compare(rules, old, new, &at.key(name), out);
    }
}

/// The rule with the longest path that covers `path`; what no rule covers is free.
fn rule_at(rules: &[Immutable], path: &str) -> Rule {
    let covering = rules.iter().filter(|r| covers(r.path, path));
    covering.max_by_key(|r| r.path.len()).map_or(Rule::Free, |r| r.rule)
}

fn has_below(rules: &[Immutable], path: &str) -> bool {
    rules.iter().any(|r| path.is_empty() || (r.path != path && covers(path, r.path)))
}

fn covers(upper: &str, lower: &str) -> bool {
    lower.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn refusal(rule: Rule, place: &Place, new: &Value) -> FieldError {
    let detail = match rule {
        Rule::SetOnce => {
            "field is immutable once it is set; delete the object and create it anew to change it"
        }
        Rule::Fixed | Rule::Free => "field is immutable; delete the object and create it anew to change it",
    };
    match new {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            FieldError::invalid(&place.shown, new, detail)
        }
        _ => FieldError::new(&place.shown, Cause::Invalid, detail),
    }
}
