//! What objects look like: the types of the table that a document's resources reach, and a list type for each.

use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;

use orlop_objects::schema::table::{self, Field, Shape, Type};
use serde_json::{Map, Value, json};

use super::{META, Resource, leaves, reference};

/// Bodies and answers that every document's operations name.
const COMMON: [&str; 2] = ["DeleteOptions", "Status"];

/// All component schemas of a document, by definition name.
pub(super) fn all(resources: &[Resource]) -> Value {
    let mut out = Map::new();
    for ty in reached(resources) {
        let roots = resources.iter().filter(|r| r.schema == ty.name);
        let gvks: Vec<Value> = roots.map(|r| r.gvk(r.kind)).chain(common_gvk(resources, ty)).collect();
        out.insert(ty.name.to_owned(), object(ty, &gvks));
    }
    out.extend(resources.iter().filter(|r| !r.review).map(|r| (format!("{}List", r.schema), list(r))));
    out.extend(leaves::named().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    Value::Object(out)
}

/// Types that only a subresource takes.
const POSTED: [(&str, &str); 2] =
    [("binding", "io.k8s.api.core.v1.Binding"), ("eviction", "io.k8s.api.policy.v1.Eviction")];

/// Every type that the resources need, directly or through others.
fn reached(resources: &[Resource]) -> impl Iterator<Item = &'static Type> {
    let common = COMMON.iter().filter_map(|name| table::named(&format!("{META}.{name}")));
    let lists = table::named(&format!("{META}.ListMeta"));
    let posted = POSTED.iter().filter(|(sub, _)| resources.iter().any(|r| r.subresources.contains(sub)));
    let posted = posted.filter_map(|(_, name)| table::named(name));
    let roots = resources.iter().filter_map(|r| table::named(r.schema));
    let mut todo: Vec<&'static Type> = roots.chain(common).chain(lists).chain(posted).collect();
    let mut seen = BTreeMap::new();
    while let Some(ty) = todo.pop() {
        if seen.insert(ty.name, ty).is_none() {
            todo.extend(ty.fields.iter().filter_map(|f| object_of(&f.shape)));
        }
    }
    seen.into_values()
}

fn object_of(shape: &Shape) -> Option<&'static Type> {
    match shape {
        Shape::Object(ty) => Some(ty.get()),
        Shape::List(item) | Shape::Map(item) => object_of(item),
        Shape::Leaf(_) => None,
    }
}

fn common_gvk(resources: &[Resource], ty: &Type) -> Vec<Value> {
    let name = COMMON.iter().find(|name| ty.name == format!("{META}.{name}"));
    name.zip(resources.first()).map(|(name, r)| r.gvk(name)).into_iter().collect()
}

fn object(ty: &Type, gvks: &[Value]) -> Value {
    let mut out = json!({"type": "object"});
    let mut set = |name: &str, value: Value| out[name] = value;
    if !ty.doc.is_empty() {
        set("description", ty.doc.into());
    }
    let properties: Map<String, Value> = ty.fields.iter().map(|f| (f.name.to_owned(), property(f))).collect();
    set("properties", properties.into());
    // What has a default need not be written.
    let required = ty.fields.iter().filter(|f| f.required && f.default.is_empty());
    let required: Vec<&str> = required.map(|f| f.name).collect();
    if !required.is_empty() {
        set("required", required.into());
    }
    if ty.atomic {
        set("x-kubernetes-map-type", "atomic".into());
    }
    if !gvks.is_empty() {
        set("x-kubernetes-group-version-kind", gvks.into());
    }
    out
}

fn property(field: &Field) -> Value {
    let mut out = shape(&field.shape);
    let mut extra = Map::new();
    let mut set = |name: &str, value: Value| extra.insert(name.to_owned(), value);
    // kubectl prints a field's words and then its type's; the same ones twice help nobody.
    let same = object_of(&field.shape).is_some_and(|ty| ty.doc == field.doc);
    if !field.doc.is_empty() && !same {
        set("description", field.doc.into());
    }
    if let Some(default) = field.default_value() {
        set("default", default);
    }
    let texts = [
        ("x-kubernetes-list-type", field.list),
        ("x-kubernetes-map-type", field.map),
        ("x-kubernetes-patch-strategy", field.patch),
        ("x-kubernetes-patch-merge-key", field.key),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            set(name, text.into());
        }
    }
    if !field.keys.is_empty() {
        set("x-kubernetes-list-map-keys", field.keys.split(',').collect());
    }
    enumerate(&mut out, field);
    attach(out, extra)
}

/// Allowed values belong to the text itself, or to the items of a list of texts.
fn enumerate(schema: &mut Value, field: &Field) {
    let values: Vec<&str> = field.allowed().collect();
    if values.is_empty() {
        return;
    }
    let holder = if schema.get("items").is_some() { &mut schema["items"] } else { schema };
    holder["enum"] = values.into();
}

/// Beside a `$ref` nothing else counts, so a reference with words of its own goes into an `allOf`.
fn attach(schema: Value, extra: Map<String, Value>) -> Value {
    let wrapped =
        if schema.get("$ref").is_some() && !extra.is_empty() { json!({"allOf": [schema]}) } else { schema };
    match wrapped {
        Value::Object(mut fields) => {
            fields.extend(extra);
            Value::Object(fields)
        }
        other => other,
    }
}

fn shape(shape_: &Shape) -> Value {
    match shape_ {
        Shape::Object(ty) => reference(ty.get().name),
        Shape::List(item) => json!({"type": "array", "items": shape(item)}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": shape(item)}),
        Shape::Leaf(leaf) => leaves::inline(*leaf),
    }
}

fn list(r: &Resource) -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "description": format!("Objects of kind {}, with the version at which they were read.", r.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": text("Group and version of the list's form."),
            "kind": text("The kind of the list."),
            "metadata": {"allOf": [reference(&format!("{META}.ListMeta"))], "default": {},
                "description": "The list's version, and the token for the rest of it."},
            "items": {"type": "array", "items": reference(r.schema), "description": "The objects."},
        },
        "x-kubernetes-group-version-kind": [r.gvk(&format!("{}List", r.kind))],
    })
}

/// Names that some schema refers to but none defines; a test wants none.
#[cfg(test)]
pub(super) fn dangling(document: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                out.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|v| walk(v, out));
            }
            Value::Array(items) => items.iter().for_each(|v| walk(v, out)),
            _ => {}
        }
    }
    let mut named = BTreeSet::new();
    walk(document, &mut named);
    let defined = |name: &String| document.pointer(name.trim_start_matches('#')).is_some();
    named.into_iter().filter(|name| !defined(name)).collect()
}
