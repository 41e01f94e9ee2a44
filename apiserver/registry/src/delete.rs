//! What a request to delete does: pure, object and options in, verdict out.
//!
//! | object | asked | verdict |
//! |---|---|---|
//! | any, other uid or version than the precondition | – | conflict |
//! | pod with a node, running | grace g > 0 (default: its own, else 30) | terminating at now + g |
//! | pod with a node | grace 0 | gone, unless finalizers hold it |
//! | pod without node, or finished | any grace | gone, unless finalizers hold it |
//! | terminating with grace left | shorter grace | terminating earlier |
//! | terminating with grace left | same, longer or no grace | unchanged |
//! | terminating, grace 0, finalizers left | any | unchanged |
//! | any other, no finalizers | any | gone |
//! | any other, finalizers | any | terminating now, grace 0 |
//! | namespace with spec.finalizers | any | terminating now, phase Terminating |
//! | namespace default, kube-system, kube-public | any | forbidden (by `admit`) |
//!
//! The rules are those of Kubernetes' generic registry (graceful deletion and finalizers).

use jiff::{SignedDuration, Timestamp};
use orlop_objects::{Kind, Object, kind, time};
use serde_json::{Value, json};

use crate::{DeleteOptions, Error, json};

/// Grace of a pod that names none.
const DEFAULT_GRACE: i64 = 30;

/// What is to be done with the object.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Take it out of the store.
    Remove,
    /// Write this version, which is terminating.
    Terminate(Value),
    /// It is on its way already.
    Unchanged,
}

/// The object must still be the one that the caller means.
pub(crate) fn check_preconditions(object: &Object, options: &DeleteOptions) -> Result<(), Error> {
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object.meta.uid) {
        return Err(Error::other_uid(&object.key, uid, &object.meta.uid));
    }
    if let Some(wanted) = options.revision.filter(|r| *r != object.revision) {
        let found = object.revision;
        let reason = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {found}"
        );
        return Err(Error::Conflict { key: object.key.clone(), reason });
    }
    Ok(())
}

/// Decides; `holds` are finalizers that the request itself adds (foreground, orphan).
pub(crate) fn decide(object: &Object, options: &DeleteOptions, holds: &[&str], now: Timestamp) -> Verdict {
    let mut value = object.value();
    let added = add_finalizers(&mut value, holds);
    let asked = grace(object.key.kind, &value, options);
    let verdict = match (&object.meta.deletion_timestamp, object.meta.deletion_grace_period_seconds) {
        (Some(at), Some(left)) if left > 0 => {
            // Only a grace that the caller names shortens one that runs; a finished pod needs none.
            let shorter = options.grace.map(|_| asked).or((asked == 0).then_some(0)).filter(|g| *g < left);
            match shorter {
                Some(0) if !is_held(&value) => Verdict::Remove,
                Some(grace) => Verdict::Terminate(terminating(value, start(at, left, now), grace)),
                None => Verdict::Unchanged,
            }
        }
        (Some(_), _) if is_held(&value) => Verdict::Unchanged,
        (Some(_), _) => Verdict::Remove,
        (None, _) if asked == 0 && !is_held(&value) => Verdict::Remove,
        (None, _) => Verdict::Terminate(terminating(value, now, asked)),
    };
    match verdict {
        Verdict::Unchanged if added => {
            let mut value = object.value();
            add_finalizers(&mut value, holds);
            Verdict::Terminate(value)
        }
        other => other,
    }
}

/// Whether a version that was just written has nothing left to wait for: terminating, no grace, no finalizers.
pub(crate) fn is_finished(value: &Value) -> bool {
    let grace = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    value.pointer("/metadata/deletionTimestamp").is_some() && grace == 0 && !is_held(value)
}

/// Finalizers in the metadata; for a namespace also those in its spec.
fn is_held(value: &Value) -> bool {
    let namespace = json::text(value, "/kind") == kind::NAMESPACE.kind;
    !json::list(value, "/metadata/finalizers").is_empty()
        || (namespace && !json::list(value, "/spec/finalizers").is_empty())
}

fn grace(kind: &Kind, value: &Value, options: &DeleteOptions) -> i64 {
    if *kind != kind::POD {
        return 0;
    }
    let finished = matches!(json::text(value, "/status/phase"), "Succeeded" | "Failed");
    if json::text(value, "/spec/nodeName").is_empty() || finished {
        return 0;
    }
    let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    // A negative grace means one second, as in Kubernetes.
    match options.grace.or(own).unwrap_or(DEFAULT_GRACE) {
        negative if negative < 0 => 1,
        grace => grace,
    }
}

/// When the running grace period began.
fn start(at: &str, grace: i64, now: Timestamp) -> Timestamp {
    at.parse::<Timestamp>()
        .ok()
        .and_then(|end| end.checked_sub(SignedDuration::from_secs(grace)).ok())
        .unwrap_or(now)
}

fn terminating(mut value: Value, from: Timestamp, grace: i64) -> Value {
    let at = from.checked_add(SignedDuration::from_secs(grace)).unwrap_or(from);
    if json::text(&value, "/kind") == kind::NAMESPACE.kind {
        json::section(&mut value, "status").insert("phase".to_owned(), json!("Terminating"));
    }
    let meta = json::meta(&mut value);
    // What is wanted has changed, for whoever compares it with `observedGeneration`; a shorter grace changes nothing more.
    if !meta.contains_key("deletionTimestamp")
        && let Some(generation) = meta.get("generation").and_then(Value::as_i64)
    {
        meta.insert("generation".to_owned(), (generation + 1).into());
    }
    meta.insert("deletionTimestamp".to_owned(), time::seconds(at).into());
    meta.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
    value
}

/// Adds finalizers that are not there; answers whether there were any to add.
fn add_finalizers(value: &mut Value, holds: &[&str]) -> bool {
    let held = json::list(value, "/metadata/finalizers").to_vec();
    let missing: Vec<Value> = holds.iter().map(|h| json!(h)).filter(|h| !held.contains(h)).collect();
    if missing.is_empty() {
        return false;
    }
    let all: Vec<Value> = held.into_iter().chain(missing).collect();
    json::meta(value).insert("finalizers".to_owned(), all.into());
    true
}
