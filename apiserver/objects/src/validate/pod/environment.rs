//! A container's environment: names, and values that come from elsewhere.

use crate::{
    Cause, names,
    validate::at::{At, Errors},
};

/// Fields of a pod that may become the value of a variable.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn check(container: &At<'_>, errors: &mut Errors) {
    for variable in container.get("env").items() {
        let (name, value, from) = (variable.get("name"), variable.get("value"), variable.get("valueFrom"));
        name.check(variable_name, errors);
        if from.value.is_null() {
            continue;
        }
        if !value.is_empty() {
            errors.push(from.fault(Cause::Invalid, "may not be specified when `value` is not empty"));
        }
        match from.value.as_object().map_or(0, serde_json::Map::len) {
            0 => errors.push(from.fault(
                Cause::Invalid,
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            )),
            1 => field_reference(&from.at(&["fieldRef", "fieldPath"]), errors),
            _ => errors
                .push(from.fault(Cause::Invalid, "may not have more than one field specified at a time")),
        }
    }
}

/// Everything printable in ASCII but `=`, as Kubernetes allows since 1.32.
fn variable_name(name: &str) -> names::Problem {
    let good = name.chars().all(|c| (' '..='~').contains(&c) && c != '=');
    (!good).then(|| {
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned()
    })
}

fn field_reference(path: &At<'_>, errors: &mut Errors) {
    let text = path.text();
    if path.is_empty() || FIELDS.contains(&text) {
        return;
    }
    let subscript = ["metadata.labels", "metadata.annotations"]
        .into_iter()
        .find_map(|map| text.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']"));
    match subscript {
        Some(key) => {
            errors.extend(names::label_key(&key.to_lowercase()).map(|problem| path.invalid(problem)));
        }
        None => {
            let fields = FIELDS.map(|f| format!("{f:?}")).join(", ");
            let detail = format!(
                "supported values: {fields}, \"metadata.labels['<KEY>']\", \"metadata.annotations['<KEY>']\""
            );
            errors.push(path.quoted(Cause::NotSupported, detail));
        }
    }
}
