//! Which fields an object has, and which a write changed, as the schema table takes objects apart.

use std::collections::HashMap;

use orlop_objects::{
    Kind,
    schema::table::{self, Field, Shape},
};
use serde_json::{Map, Value, json};

use super::set::Set;
use crate::json;

/// Fields of the metadata that nobody owns beside the server's own: they say which object it is, and which version.
const OWNERLESS: [&str; 4] = ["name", "namespace", "resourceVersion", "generateName"];

/// A part of an object, with what the table says of it (`None`: nothing, so it is one whole).
struct Part<'v> {
    name: String,
    value: &'v Value,
    shape: Option<&'static Shape>,
    field: Option<&'static Field>,
    /// Whether it stands for itself beside its own parts: list items do.
    is_item: bool,
}

/// Every field of `object`.
pub(super) fn all(kind: &'static Kind, object: &Value) -> Set {
    roots(kind, object).into_iter().map(|part| (part.name.clone(), everything(&part))).collect()
}

/// The fields of `new` that `old` lacks or has with another value.
pub(super) fn changed(kind: &'static Kind, old: &Value, new: &Value) -> Set {
    compare(&roots(kind, old), &roots(kind, new))
}

/// The top-level parts that somebody can own; of the metadata without what nobody does.
fn roots<'v>(kind: &'static Kind, object: &'v Value) -> Vec<Part<'v>> {
    let ty = table::root(kind);
    let fields = object.as_object().into_iter().flatten();
    let owned = fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"));
    let parts = owned.map(|(name, value)| part_of(format!("f:{name}"), value, ty.field(name)));
    parts.filter(|part| part.name != "f:metadata" || parts_of(part).is_some_and(|p| !p.is_empty())).collect()
}

fn part_of<'v>(name: String, value: &'v Value, field: Option<&'static Field>) -> Part<'v> {
    Part { name, value, shape: field.map(|f| &f.shape), field, is_item: false }
}

/// What a part is made of; `None` where it is one whole.
fn parts_of<'v>(part: &Part<'v>) -> Option<Vec<Part<'v>>> {
    let said = |f: fn(&Field) -> &'static str| part.field.map_or("", f);
    match (part.shape?, part.value) {
        (Shape::Object(ty), Value::Object(fields)) if !ty.get().atomic && said(|f| f.map) != "atomic" => {
            let is_meta = part.name == "f:metadata";
            let ownerless = |name: &str| OWNERLESS.contains(&name) || json::SERVERS_OWN.contains(&name);
            let fields = fields.iter().filter(|(name, _)| !is_meta || !ownerless(name));
            Some(fields.map(|(name, v)| part_of(format!("f:{name}"), v, ty.get().field(name))).collect())
        }
        (Shape::Map(item), Value::Object(entries)) if said(|f| f.map) != "atomic" => {
            let entry = |(name, value): (&String, &'v Value)| Part {
                shape: Some(&**item),
                ..part_of(format!("f:{name}"), value, None)
            };
            Some(entries.iter().map(entry).collect())
        }
        (Shape::List(item), Value::Array(items)) => match said(|f| f.list) {
            "map" => Some(items.iter().map(|v| keyed(item, said(|f| f.keys), v)).collect()),
            "set" => Some(items.iter().map(|v| part_of(format!("v:{v}"), v, None)).collect()),
            _ => None,
        },
        _ => None,
    }
}

/// A list item under the values of its keys.
fn keyed<'v>(item: &'static Shape, keys: &str, value: &'v Value) -> Part<'v> {
    let keys: Map<String, Value> =
        keys.split(',').filter_map(|key| Some((key.to_owned(), value.get(key)?.clone()))).collect();
    Part { shape: Some(item), is_item: true, ..part_of(format!("k:{}", Value::from(keys)), value, None) }
}

/// Whether it is a map or list, which exist beside their entries, or a list item; a struct is its fields.
fn has_self(part: &Part<'_>) -> bool {
    part.is_item || !matches!(part.shape, Some(Shape::Object(_)))
}

fn everything(part: &Part<'_>) -> Value {
    let Some(parts) = parts_of(part).filter(|parts| !parts.is_empty()) else { return json!({}) };
    let mut set: Set = parts.iter().map(|p| (p.name.clone(), everything(p))).collect();
    if has_self(part) {
        set.insert(".".to_owned(), json!({}));
    }
    set.into()
}

fn compare(old: &[Part<'_>], new: &[Part<'_>]) -> Set {
    let mut set = Map::new();
    // Lists may have a hundred thousand items; of those that are there twice the first one counts.
    let before: HashMap<&str, &Part<'_>> = old.iter().rev().map(|part| (part.name.as_str(), part)).collect();
    for part in new {
        let before = before.get(part.name.as_str()).copied();
        let changed = match before {
            Some(before) if before.value == part.value => continue,
            Some(before) => match (parts_of(before), parts_of(part)) {
                (Some(old), Some(new)) => compare(&old, &new).into(),
                _ => everything(part),
            },
            None => everything(part),
        };
        // A part that only lost something has no field of its own to show.
        let only_lost = before.is_some() && changed == json!({}) && parts_of(part).is_some();
        if !only_lost {
            set.insert(part.name.clone(), changed);
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    /// Where each is looked for among all the others, this takes minutes.
    #[test]
    fn long_lists_are_compared_in_time() {
        let with = |from: u32| {
            let finalizers: Vec<String> = (from..from + 60_000).map(|n| format!("example.com/{n}")).collect();
            json!({"metadata": {"finalizers": finalizers}})
        };
        let changed = changed(&kind::POD, &with(0), &with(1));
        let added = json!({"f:metadata": {"f:finalizers": {"v:\"example.com/60000\"": {}}}});
        assert_eq!(Value::from(changed), added);
    }
}
