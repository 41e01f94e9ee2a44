//! What the schema table alone can say: required fields, allowed values, quantities, list items that must differ.

use std::collections::BTreeSet;

use super::at::{At, Errors, supported};
use crate::{
    Cause, Kind, Quantity,
    schema::table::{self, Field, Leaf, Shape, Type},
};

/// Lists of kind map whose items Kubernetes lets repeat all the same.
const MAY_REPEAT: [&str; 6] =
    ["env", "ports", "topologySpreadConstraints", "hostAliases", "imagePullSecrets", "secrets"];
/// Top-level fields that have rules of their own, or are the writer's own business.
const NOT_HERE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// Checks everything of an object but metadata and status.
pub(super) fn check(kind: &'static Kind, object: &At<'_>, errors: &mut Errors) {
    for field in table::root(kind).fields.iter().filter(|f| !NOT_HERE.contains(&f.name)) {
        check_field(field, &object.get(field.name), errors);
    }
}

fn check_type(ty: &Type, at: &At<'_>, errors: &mut Errors) {
    // A template's metadata is checked with the names.
    if ty.name.ends_with(".ObjectMeta") {
        return;
    }
    for field in &ty.fields {
        check_field(field, &at.get(field.name), errors);
    }
}

fn check_field(field: &Field, at: &At<'_>, errors: &mut Errors) {
    if at.value.is_null() {
        if field.required {
            errors.push(at.fault(Cause::Required, ""));
        }
        return;
    }
    // Empty text is absence, but for values that may be empty (of a header, of a sysctl).
    if field.required && at.value == "" && field.name != "value" {
        errors.push(at.fault(Cause::Required, ""));
        return;
    }
    check_shape(field, &field.shape, at, errors);
    if field.list == "map" && !MAY_REPEAT.contains(&field.name) && !field.keys.contains(',') {
        check_unique(field.keys, at, errors);
    }
}

fn check_shape(field: &Field, shape: &Shape, at: &At<'_>, errors: &mut Errors) {
    match shape {
        Shape::Leaf(Leaf::Quantity) => {
            if let Err(error) = Quantity::from_value(at.value) {
                errors.push(at.invalid(format!("no quantity: {}", error.problem())));
            }
        }
        Shape::Leaf(Leaf::String) if !field.values.is_empty() => {
            if !at.is_empty() && !errors.is_full() && !field.allowed().any(|v| v == at.text()) {
                errors.push(at.quoted(Cause::NotSupported, supported(field.allowed())));
            }
        }
        Shape::Leaf(_) => {}
        Shape::Object(ty) => check_type(ty.get(), at, errors),
        Shape::List(item) => at.items().for_each(|at| check_shape(field, item, &at, errors)),
        Shape::Map(item) => at.entries().for_each(|(_, at)| check_shape(field, item, &at, errors)),
    }
}

fn check_unique(key: &str, at: &At<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for item in at.items() {
        let name = item.get(key);
        if !name.is_empty() && !seen.insert(name.value.to_string()) {
            errors.push(name.quoted(Cause::Duplicate, ""));
        }
    }
}
