//! What a new object gets and may not bring: type, address, uid, times, first status.

use jiff::Timestamp;
use orlop_objects::{Kind, kind, quantity, quote, schema, time};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Error, json};

/// Characters of generated names: no vowels, so that they spell nothing; no 0, 1, 3, which look like letters.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How much of `generateName` is kept, so that five more characters fit a label (63).
const LONGEST_PREFIX: usize = 58;

/// Gives `body` the address, identity and first status of a new object.
pub(crate) fn prepare(
    kind: &'static Kind,
    namespace: &str,
    mut body: Value,
    now: Timestamp,
) -> Result<Value, Error> {
    strip_nulls(kind, &mut body);
    set_type(kind, &mut body)?;
    set_address(kind, namespace, &mut body)?;
    let meta = json::meta(&mut body);
    for field in json::SERVERS_OWN {
        meta.remove(field);
    }
    meta.insert("uid".to_owned(), Uuid::new_v4().to_string().into());
    meta.insert("creationTimestamp".to_owned(), time::seconds(now).into());
    if counts_generation(kind) {
        meta.insert("generation".to_owned(), 1.into());
    }
    set_first_state(kind, &mut body);
    Ok(body)
}

/// Defaults, and one form for every quantity and time.
pub(crate) fn complete(kind: &'static Kind, object: &mut Value) {
    schema::apply_defaults(kind, object);
    quantity::canonicalize(kind, object);
}

/// Nulls are nothing, but in data of any form.
pub(crate) fn strip_nulls(kind: &Kind, object: &mut Value) {
    let fields = object.as_object_mut().into_iter().flatten();
    for (name, value) in fields {
        if *kind != kind::CONTROLLER_REVISION || name != "data" {
            json::strip_nulls(value);
        }
    }
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

/// Kinds whose `metadata.generation` Kubernetes counts.
pub(crate) fn counts_generation(kind: &Kind) -> bool {
    [&kind::POD, &kind::DEPLOYMENT, &kind::REPLICA_SET, &kind::STATEFUL_SET, &kind::DAEMON_SET]
        .contains(&kind)
}

/// `apiVersion` and `kind`: filled where absent, refused where different.
pub(crate) fn set_type(kind: &Kind, body: &mut Value) -> Result<(), Error> {
    if !body.is_object() {
        return Err(Error::BadRequest(format!("a {} must be a JSON object", kind.kind)));
    }
    for (field, wanted) in [("apiVersion", kind.api_version()), ("kind", kind.kind.to_owned())] {
        let found = body.get(field).and_then(Value::as_str).unwrap_or_default();
        if !found.is_empty() && found != wanted {
            let found = quote::text(found);
            return Err(Error::BadRequest(format!(
                "the {field} of the object ({found}) does not match what the path asks for ({wanted})"
            )));
        }
        body[field] = wanted.into();
    }
    Ok(())
}

fn set_address(kind: &Kind, namespace: &str, body: &mut Value) -> Result<(), Error> {
    let meta = json::meta(body);
    let own = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, prefix, sent, version) =
        (own("name"), own("generateName"), own("namespace"), own("resourceVersion"));
    if !version.is_empty() {
        return Err(Error::BadRequest(
            "resourceVersion should not be set on objects to be created".to_owned(),
        ));
    }
    if kind.namespaced && !sent.is_empty() && sent != namespace {
        return Err(Error::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
        ));
    }
    meta.remove("resourceVersion");
    if kind.namespaced {
        meta.insert("namespace".to_owned(), namespace.into());
    } else {
        meta.remove("namespace");
    }
    if name.is_empty() && !prefix.is_empty() {
        meta.insert("name".to_owned(), generate(&prefix).into());
    }
    Ok(())
}

/// `prefix` and five random characters.
fn generate(prefix: &str) -> String {
    let end = (0..=LONGEST_PREFIX.min(prefix.len())).rev().find(|n| prefix.is_char_boundary(*n)).unwrap_or(0);
    let random = Uuid::new_v4().into_bytes();
    // The last bytes of a v4 uuid are all random (version and variant sit in bytes 6 and 8).
    let tail = random[11..].iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()]));
    prefix[..end].chars().chain(tail).collect()
}

/// A client's status is dropped and the kind's first one set. Nodes are the exception: their agent creates them whole.
fn set_first_state(kind: &Kind, body: &mut Value) {
    if *kind == kind::NAMESPACE {
        json::section(body, "spec").insert("finalizers".to_owned(), json!(["kubernetes"]));
    }
    if !kind.has("status") || *kind == kind::NODE {
        return;
    }
    body["status"] = first_status(kind, body);
}

fn first_status(kind: &Kind, body: &Value) -> Value {
    match kind.kind {
        "Namespace" => json!({"phase": "Active"}),
        "Pod" => json!({"phase": "Pending", "qosClass": qos_class(body)}),
        "PersistentVolume" | "PersistentVolumeClaim" => json!({"phase": "Pending"}),
        "VolumeAttachment" => json!({"attached": false}),
        "Service" => json!({"loadBalancer": {}}),
        "ReplicaSet" | "StatefulSet" => json!({"replicas": 0}),
        "DaemonSet" => json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0,
            "numberMisscheduled": 0, "numberReady": 0}),
        _ => json!({}),
    }
}

/// Guaranteed: every container has equal requests and limits of cpu and memory; BestEffort: none has any.
fn qos_class(pod: &Value) -> &'static str {
    let containers =
        || ["/spec/containers", "/spec/initContainers"].into_iter().flat_map(|path| json::list(pod, path));
    let amount =
        |c: &Value, what: &str, of: &str| c.pointer(&format!("/resources/{what}/{of}")).map(Value::to_string);
    let resources = ["cpu", "memory"];
    let none = |c: &Value| {
        resources.iter().all(|r| amount(c, "limits", r).is_none() && amount(c, "requests", r).is_none())
    };
    let full = |c: &Value| {
        resources.iter().all(|r| {
            let limit = amount(c, "limits", r);
            limit.is_some() && amount(c, "requests", r).is_none_or(|request| Some(request) == limit)
        })
    };
    if containers().all(none) {
        "BestEffort"
    } else if containers().all(full) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}
