//! Sets of fields: nested maps, in which an empty map is a field itself.

use serde_json::{Map, Value};

pub(super) type Set = Map<String, Value>;

fn is_leaf(set: &Value) -> bool {
    set.as_object().is_none_or(Map::is_empty)
}

/// What is in either.
pub(super) fn union(mut a: Set, b: &Set) -> Set {
    for (key, theirs) in b {
        let merged = match (a.remove(key), theirs.as_object()) {
            (Some(Value::Object(mine)), Some(theirs)) => union(mine, theirs).into(),
            _ => theirs.clone(),
        };
        a.insert(key.clone(), merged);
    }
    a
}

/// What of `set` is still there.
pub(super) fn intersect(set: Set, present: &Set) -> Set {
    let mut out = Map::new();
    for (key, value) in set {
        match (present.get(&key), value) {
            (None, _) => {}
            (Some(Value::Object(there)), Value::Object(inner)) if !inner.is_empty() => {
                let left = intersect(inner, there);
                if !left.is_empty() {
                    out.insert(key, left.into());
                }
            }
            (Some(_), value) => {
                out.insert(key, value);
            }
        }
    }
    out
}

/// `set` without what was taken over.
pub(super) fn subtract(set: Set, taken: &Set) -> Set {
    let mut out = Map::new();
    for (key, value) in set {
        match (value, taken.get(&key)) {
            (value, None) => {
                out.insert(key, value);
            }
            (value, Some(gone)) if is_leaf(gone) || is_leaf(&value) => {}
            (Value::Object(inner), Some(Value::Object(gone))) => {
                let left = subtract(inner, gone);
                if !left.is_empty() {
                    out.insert(key, left.into());
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Set, intersect, subtract, union};

    fn set(value: impl Into<Value>) -> Set {
        value.into().as_object().cloned().expect("a map")
    }

    #[test]
    fn sets_join_and_part() {
        let a = || set(json!({"f:a": {}, "f:b": {"f:x": {}, "f:y": {}}}));
        let b = set(json!({"f:b": {"f:y": {}, "f:z": {}}, "f:c": {}}));
        assert_eq!(
            union(a(), &b),
            set(json!({"f:a": {}, "f:b": {"f:x": {}, "f:y": {}, "f:z": {}}, "f:c": {}}))
        );
        assert_eq!(intersect(a(), &b), set(json!({"f:b": {"f:y": {}}})));
        assert_eq!(subtract(a(), &b), set(json!({"f:a": {}, "f:b": {"f:x": {}}})));
        assert_eq!(subtract(a(), &set(json!({"f:b": {}}))), set(json!({"f:a": {}})));
        assert_eq!(subtract(a(), &a()), Set::new());
    }
}
