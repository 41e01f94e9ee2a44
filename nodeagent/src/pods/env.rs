//! A container's environment: values, references to the pod's own fields, and `$(NAME)` in values, command and args.
//!
//! `$(NAME)` stands for a variable defined before it; an unknown one stays as it is; `$$(NAME)` is the text `$(NAME)`
//! (Kubernetes API reference, Container.command and EnvVar.value). Pure.

use k8s_openapi::api::core::v1 as core;

use crate::{error::Error, world::PodFacts};

/// What fields of a pod are known only to its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) node: &'a str,
    /// The node's address.
    pub(crate) address: &'a str,
    /// The pod's own, where it has one.
    pub(crate) own: Option<&'a str>,
}

/// The variables that the container's spec defines, in order.
pub(crate) fn variables(
    pod: &PodFacts,
    container: &core::Container,
    place: Place<'_>,
) -> Result<Vec<(String, String)>, Error> {
    if let Some(from) = container.env_from.as_ref().and_then(|all| all.first()) {
        let kind = if from.secret_ref.is_some() { "secretRef" } else { "configMapRef" };
        return Err(refused(
            container,
            &format!("envFrom: {kind} is not built yet; write the variables in env"),
        ));
    }
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => expand(value, &known),
            (None, None) => String::new(),
            (None, Some(from)) => referenced(pod, container, from, place)?,
        };
        known.push((variable.name.clone(), value));
    }
    Ok(known)
}

fn referenced(
    pod: &PodFacts,
    container: &core::Container,
    from: &core::EnvVarSource,
    place: Place<'_>,
) -> Result<String, Error> {
    if let Some(field) = &from.field_ref {
        let path = &field.field_path;
        return field_value(pod, path, place).ok_or_else(|| {
            refused(container, &format!("env: fieldRef {path} is not a field that is offered"))
        });
    }
    if from.config_map_key_ref.as_ref().and_then(|r| r.optional) == Some(true)
        || from.secret_key_ref.as_ref().and_then(|r| r.optional) == Some(true)
    {
        return Ok(String::new());
    }
    Err(refused(container, "env: of valueFrom only fieldRef is built yet; write the value itself"))
}

fn refused(container: &core::Container, what: &str) -> Error {
    Error::Container {
        reason: "CreateContainerConfigError",
        message: format!("container {}: {what}", container.name),
    }
}

/// The value of a field that `fieldRef` may name; `None` for others.
fn field_value(pod: &PodFacts, path: &str, place: Place<'_>) -> Option<String> {
    let spec = pod.spec();
    let meta = &pod.pod.metadata;
    let entry = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default()
    };
    if let Some(key) = subscript(path, "metadata.labels") {
        return Some(entry(&meta.labels, key));
    }
    if let Some(key) = subscript(path, "metadata.annotations") {
        return Some(entry(&meta.annotations, key));
    }
    let host_network = spec.and_then(|s| s.host_network).unwrap_or_default();
    Some(match path {
        "metadata.name" => pod.key.name.clone(),
        "metadata.namespace" => pod.key.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "spec.nodeName" => place.node.to_owned(),
        "spec.serviceAccountName" => {
            spec.and_then(|s| s.service_account_name.clone()).unwrap_or_else(|| "default".to_owned())
        }
        "status.hostIP" | "status.hostIPs" => place.address.to_owned(),
        "status.podIP" | "status.podIPs" if host_network => place.address.to_owned(),
        // Where the node has no network for pods, they have their loopback.
        "status.podIP" | "status.podIPs" => place.own.unwrap_or("127.0.0.1").to_owned(),
        _ => return None,
    })
}

fn subscript<'a>(path: &'a str, map: &str) -> Option<&'a str> {
    path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']")
}

/// Puts variables in.
pub(crate) fn expand(text: &str, known: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match known.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orlop_objects::{Object, kind};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn variables_are_put_in_and_doubled_dollars_are_text() {
        let known = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())];
        let rows = [
            ("x$(A)y", "x1y"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ];
        for (text, expected) in rows {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    fn resolve(env: &Value) -> Result<Vec<(String, String)>, Error> {
        let value = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app.io/x": "web"}},
            "spec": {"containers": [{"name": "c", "env": env}]}});
        let object = Arc::new(Object::from_value(&kind::POD, &value).unwrap());
        let pod = PodFacts::of(&object).unwrap();
        let container = pod.spec().unwrap().containers[0].clone();
        variables(&pod, &container, Place { node: "n1", address: "10.0.0.1", own: Some("10.1.2.3") })
    }

    #[test]
    fn fields_of_the_pod_can_be_referred_to() {
        let field = |path: &str| json!([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]);
        let rows = [
            ("metadata.name", "p"),
            ("metadata.namespace", "ns"),
            ("metadata.uid", "u"),
            ("metadata.labels['app.io/x']", "web"),
            ("metadata.annotations['none']", ""),
            ("spec.nodeName", "n1"),
            ("spec.serviceAccountName", "default"),
            ("status.hostIP", "10.0.0.1"),
            ("status.podIP", "10.1.2.3"),
        ];
        for (path, value) in rows {
            assert_eq!(resolve(&field(path)).unwrap(), [("X".to_owned(), value.to_owned())], "{path}");
        }
        assert!(resolve(&field("spec.containers")).is_err());
    }

    #[test]
    fn a_later_variable_sees_the_earlier_ones() {
        let env = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": ""}]);
        assert_eq!(resolve(&env).unwrap()[1].1, "1$(C)");
    }
}
