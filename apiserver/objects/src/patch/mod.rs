//! Strategic merge patch: a merge patch that knows from the schema table which lists are keyed.
//!
//! | in the patch                        | effect                                                               |
//! |-------------------------------------|----------------------------------------------------------------------|
//! | a value                             | replaces; an object merges                                           |
//! | null                                | takes the field away                                                 |
//! | a list with a merge strategy        | its items merge by their key, plain values are added once            |
//! | another list                        | replaces                                                             |
//! | `$patch: replace`                   | the object, or the list that holds the item, is what the patch says  |
//! | `$patch: delete`                    | the object becomes empty; the list item of this key goes             |
//! | `$patch: merge`                     | what would happen anyway                                             |
//! | `$retainKeys: [a, b]`               | the object loses all fields but these                                |
//! | `$deleteFromPrimitiveList/x: [a]`   | the list x loses these values                                        |
//! | `$setElementOrder/x: […]`           | the list x has its items in this order, others keep their place      |
//!
//! Source: Kubernetes' `strategicpatch` package and its API conventions; see also [`list`] for keys of several members.
//!
//! Everything here takes time in proportion to what it is given, or little more: whoever may patch anything may send lists of
//! a million items, and none of them is compared with all the others.
//!
//! Must not know: requests, stored objects.

mod list;
mod order;
mod places;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::{
    FieldError, Kind,
    schema::table::{self, Field, Shape, Type},
};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// `original` with `patch` applied; errors name the path in the patch.
pub fn strategic(kind: &'static Kind, original: Value, patch: &Value) -> Result<Value, FieldError> {
    match (original, patch) {
        (Value::Object(original), Value::Object(patch)) => {
            let root = Where { ty: Some(table::root(kind)), above: None, step: Step::Field("") };
            merge_object(original, patch, &root).map(Value::Object)
        }
        (_, patch) => Err(FieldError::invalid("", patch, "a strategic merge patch must be an object")),
    }
}

/// An object in the patch: its type, when the table has it, and its place. The path to it is only written where something is
/// wrong there: names may be as long as a body, and each of them stands above a hundred thousand others.
struct Where<'a> {
    ty: Option<&'static Type>,
    above: Option<&'a Where<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

impl Where<'_> {
    fn path(&self) -> String {
        let above = self.above.map(Where::path).unwrap_or_default();
        match self.step {
            Step::Item(n) => format!("{above}[{n}]"),
            Step::Field(name) if above.is_empty() => name.to_owned(),
            Step::Field(name) => format!("{above}.{name}"),
        }
    }

    fn path_of(&self, name: &str) -> String {
        Where { ty: None, above: Some(self), step: Step::Field(name) }.path()
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.ty.and_then(|ty| ty.field(name))
    }
}

/// What an object says about itself by `$patch`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>, at: &Where<'_>) -> Result<Directive, FieldError> {
    match patch.get(PATCH).map(|v| (v, v.as_str())) {
        None | Some((_, Some("merge"))) => Ok(Directive::Merge),
        Some((_, Some("replace"))) => Ok(Directive::Replace),
        Some((_, Some("delete"))) => Ok(Directive::Delete),
        Some((value, _)) => {
            Err(FieldError::invalid(at.path_of(PATCH), value, "must be merge, replace or delete"))
        }
    }
}

fn merge_object(
    mut original: Map<String, Value>,
    patch: &Map<String, Value>,
    at: &Where<'_>,
) -> Result<Map<String, Value>, FieldError> {
    match directive(patch, at)? {
        Directive::Delete => return Ok(Map::new()),
        Directive::Replace => return Ok(without_directives(patch)),
        Directive::Merge => {}
    }
    retain(&mut original, patch, at)?;
    for (name, values) in patch.iter().filter_map(|(k, v)| k.strip_prefix(DELETE).map(|n| (n, v))) {
        let mut absent = Value::Null;
        list::delete_values(original.get_mut(name).unwrap_or(&mut absent), values, at, name)?;
    }
    for (name, value) in patch.iter().filter(|(name, _)| !is_directive(name)) {
        let merged =
            merge_field(original.remove(name), value, patch.get(&format!("{ORDER}{name}")), name, at)?;
        original.extend(merged.map(|v| (name.clone(), v)));
    }
    // An order without items to merge still orders what is there.
    for (name, order) in patch.iter().filter_map(|(k, v)| k.strip_prefix(ORDER).map(|n| (n, v))) {
        if !patch.contains_key(name)
            && let Some(there) = original.remove(name)
        {
            let none = Value::Array(Vec::new());
            let ordered = merge_field(Some(there), &none, Some(order), name, at)?;
            original.extend(ordered.map(|v| (name.to_owned(), v)));
        }
    }
    Ok(original)
}

/// What becomes of one field; `None` when it goes.
fn merge_field(
    original: Option<Value>,
    patch: &Value,
    order: Option<&Value>,
    name: &str,
    at: &Where<'_>,
) -> Result<Option<Value>, FieldError> {
    let field = at.field(name);
    let below =
        Where { ty: field.and_then(|f| object_type(&f.shape)), above: Some(at), step: Step::Field(name) };
    Ok(match patch {
        Value::Null => None,
        // What others put there is theirs: a remembered template holds directives of its own.
        opaque if field.is_some_and(|f| matches!(f.shape, Shape::Leaf(_))) => Some(opaque.clone()),
        Value::Object(patch) => {
            let original = if let Some(Value::Object(fields)) = original { fields } else { Map::new() };
            Some(Value::Object(merge_object(original, patch, &below)?))
        }
        Value::Array(items) if field.is_some_and(Field::merges) => {
            let original = if let Some(Value::Array(items)) = original { items } else { Vec::new() };
            let keyed = list::Keyed::of(field, &below);
            Some(Value::Array(keyed.merge(original, items, order)?))
        }
        Value::Array(_) if order.is_some() && field.is_none_or(|f| !f.merges()) => {
            let detail = "this list is replaced as a whole; it takes no $setElementOrder";
            return Err(FieldError::new(below.path(), crate::Cause::Invalid, detail));
        }
        value => Some(clean(value)),
    })
}

/// The type of the object, list item or map value that a field holds.
fn object_type(shape: &Shape) -> Option<&'static Type> {
    match shape {
        Shape::Object(ty) => Some(ty.get()),
        Shape::List(item) => object_type(item),
        Shape::Map(_) | Shape::Leaf(_) => None,
    }
}

fn retain(
    original: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    at: &Where<'_>,
) -> Result<(), FieldError> {
    let Some(keys) = patch.get(RETAIN) else { return Ok(()) };
    let wrong = |detail| Err(FieldError::invalid(at.path_of(RETAIN), keys, detail));
    let Some(kept) = strings(keys) else { return wrong("must be a list of field names") };
    let stray = |k: &&String| !is_directive(k) && !patch[*k].is_null() && !kept.contains(k.as_str());
    if patch.keys().any(|k| stray(&k)) {
        return wrong("must name every field that the patch sets beside it");
    }
    original.retain(|name, _| kept.contains(name.as_str()));
    Ok(())
}

fn strings(value: &Value) -> Option<HashSet<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn is_directive(name: &str) -> bool {
    name == PATCH || name == RETAIN || name.starts_with(ORDER) || name.starts_with(DELETE)
}

/// The patch as an object: directives and nulls gone, at every depth.
fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    let kept = patch.iter().filter(|(k, v)| !is_directive(k) && !v.is_null());
    kept.map(|(k, v)| (k.clone(), clean(v))).collect()
}

fn clean(value: &Value) -> Value {
    let marks = |item: &Value| matches!(item.get(PATCH).and_then(Value::as_str), Some("replace" | "delete"));
    match value {
        Value::Object(fields) => Value::Object(without_directives(fields)),
        Value::Array(items) => Value::Array(items.iter().filter(|i| !marks(i)).map(clean).collect()),
        other => other.clone(),
    }
}
