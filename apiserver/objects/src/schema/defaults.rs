//! What an absent field means, written into the object.
//!
//! Most defaults stand in the schema table and are filled in wherever the object that would hold the field is there.
//! Those that depend on other fields are here, each type's in one function:
//!
//! | type                    | absent                  | becomes                                               |
//! |-------------------------|-------------------------|-------------------------------------------------------|
//! | Container               | `imagePullPolicy`       | Always for the tag latest or none, else IfNotPresent  |
//! | Volume                  | every source            | an `emptyDir`                                         |
//! | HostPathVolumeSource    | `type`                  | the empty text: nothing is checked                    |
//! | Pod                     | a request with a limit  | the limit                                             |
//! | Pod                     | `enableServiceLinks`    | true                                                  |
//! | Pod in the host network | `hostPort`              | the container's port                                  |
//! | ServicePort             | `targetPort`            | the port                                              |
//! | ServiceSpec             | traffic policies        | Cluster, for the types that have them                 |
//! | Namespace               | its name label          | the name                                              |
//! | NodeStatus              | `allocatable`           | the capacity                                          |
//! | strategies              | `rollingUpdate`         | its defaults, when the type is RollingUpdate          |
//! | Secret                  | –                       | `stringData` goes into `data`                         |

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::table::{Shape, Type};

/// Fills in the object of type `ty` and all below it.
pub(super) fn fill(ty: &Type, value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for field in &ty.fields {
        // The empty text is how the schema says that absence has a meaning; it is not written.
        if field.default != "\"\""
            && !field.default.is_empty()
            && !fields.contains_key(field.name)
            && let Some(default) = field.default_value()
        {
            fields.insert(field.name.to_owned(), default);
        }
    }
    special(ty.name, fields);
    for (name, value) in fields.iter_mut() {
        if let Some(field) = ty.field(name) {
            below(&field.shape, value);
        }
    }
}

fn below(shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Object(ty), value) => fill(ty.get(), value),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|v| below(item, v)),
        (Shape::Map(item), Value::Object(entries)) => entries.values_mut().for_each(|v| below(item, v)),
        _ => {}
    }
}

fn special(name: &str, fields: &mut Map<String, Value>) {
    match name.rsplit('.').next().unwrap_or(name) {
        "Container" | "EphemeralContainer" => pull_policy(fields, "image", "imagePullPolicy"),
        "ImageVolumeSource" => pull_policy(fields, "reference", "pullPolicy"),
        "Volume" if fields.len() == 1 => absent(fields, "emptyDir", json!({})),
        "HostPathVolumeSource" => absent(fields, "type", json!("")),
        "Pod" => pod(fields),
        "ServicePort" => service_port(fields),
        "ServiceSpec" => service(fields),
        "Namespace" => namespace(fields),
        "NodeStatus" => node_status(fields),
        "DeploymentStrategy" | "DaemonSetUpdateStrategy" | "StatefulSetUpdateStrategy"
            if text(fields, "type") == "RollingUpdate" =>
        {
            absent(fields, "rollingUpdate", json!({}));
        }
        "Secret" => secret(fields),
        _ => {}
    }
}

fn absent(fields: &mut Map<String, Value>, name: &str, value: Value) {
    fields.entry(name).or_insert(value);
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn pull_policy(fields: &mut Map<String, Value>, image: &str, policy: &str) {
    let image = text(fields, image);
    // A colon before the last slash belongs to a registry's port; a digest pins more than any tag.
    let (_, last) = image.rsplit_once('/').unwrap_or(("", image));
    let floats = !last.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    if !image.is_empty() {
        absent(fields, policy, json!(if floats { "Always" } else { "IfNotPresent" }));
    }
}

fn pod(fields: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = fields.get_mut("spec") else {
        return;
    };
    absent(spec, "enableServiceLinks", json!(true));
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(resources)) = container.get_mut("resources") else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let Value::Object(requests) = resources.entry("requests").or_insert_with(|| json!({})) else {
        return;
    };
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn host_ports(container: &mut Value) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let (Some(number), Value::Object(port)) = (port.get("containerPort").cloned(), port) {
            absent(port, "hostPort", number);
        }
    }
}

fn service_port(fields: &mut Map<String, Value>) {
    let empty = |v: &Value| v == &json!(0) || v == &json!("");
    if fields.get("targetPort").is_none_or(empty)
        && let Some(port) = fields.get("port").cloned()
    {
        fields.insert("targetPort".to_owned(), port);
    }
}

fn service(fields: &mut Map<String, Value>) {
    let kind = text(fields, "type").to_owned();
    if text(fields, "sessionAffinity") == "ClientIP" {
        absent(fields, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        absent(fields, "internalTrafficPolicy", json!("Cluster"));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        absent(fields, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        absent(fields, "allocateLoadBalancerNodePorts", json!(true));
    }
}

fn namespace(fields: &mut Map<String, Value>) {
    let Some(Value::Object(meta)) = fields.get_mut("metadata") else {
        return;
    };
    let name = text(meta, "name").to_owned();
    if !name.is_empty()
        && let Value::Object(labels) = meta.entry("labels").or_insert_with(|| json!({}))
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

fn node_status(fields: &mut Map<String, Value>) {
    if let Some(capacity) = fields.get("capacity").cloned() {
        absent(fields, "allocatable", capacity);
    }
}

fn secret(fields: &mut Map<String, Value>) {
    let Some(Value::Object(plain)) = fields.remove("stringData") else {
        return;
    };
    let Value::Object(data) = fields.entry("data").or_insert_with(|| json!({})) else {
        return;
    };
    for (name, value) in plain {
        data.insert(name, STANDARD.encode(value.as_str().unwrap_or_default()).into());
    }
}
