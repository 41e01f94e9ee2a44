//! Events: about which object, under which name, how repeats count up, when they expire. Pure.
//!
//! | stored Event of this name | verdict |
//! |---|---|
//! | none | create, count 1 |
//! | last seen less than 10 s ago | leave it: an Event is not worth a write per repeat |
//! | older | count + 1, last seen now, the newest words |
//!
//! The name is made of the object's uid, the reason and the message's gist, so that a repeat finds its Event without a
//! search, also when a number in it has changed.

use jiff::{SignedDuration, Timestamp};
use orlop_objects::{Key, Object, gist, kind, time};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Note, json};

/// Repeats within this time are not written.
const QUIET: SignedDuration = SignedDuration::from_secs(10);
/// How long an Event is kept after it was last seen.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// `message` may have this many bytes (core/v1 validation).
const LONGEST_MESSAGE: usize = 1024;
/// An object's name may have 253 characters, 17 of which the suffix takes.
const LONGEST_ABOUT: usize = 253 - 17;

/// Where the Event about `about` lives. Events about cluster-scoped objects live in `default`, as in Kubernetes.
pub(crate) fn key(about: &Object, note: &Note<'_>) -> Key {
    let namespace = if about.key.namespace.is_empty() { "default" } else { &about.key.namespace };
    let said = format!("{}\0{}\0{}", about.meta.uid, note.reason, gist(note.message));
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, said.as_bytes()).simple().to_string();
    let about = about.key.name.get(..LONGEST_ABOUT).unwrap_or(&about.key.name).trim_end_matches(['.', '-']);
    Key::new(&kind::EVENT, namespace, format!("{about}.{}", &hash[..16]))
}

/// The Event said for the first time.
pub(crate) fn first(key: &Key, about: &Object, note: &Note<'_>, now: Timestamp) -> Value {
    let kind = about.key.kind;
    let mut involved = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "name": about.key.name,
        "uid": about.meta.uid, "resourceVersion": about.revision.to_string()});
    if kind.namespaced {
        involved["namespace"] = about.key.namespace.clone().into();
    }
    let now = time::seconds(now);
    json!({"metadata": {"name": key.name, "namespace": key.namespace}, "involvedObject": involved,
        "reason": note.reason, "message": shortened(note.message),
        "type": if note.warning { "Warning" } else { "Normal" }, "source": {"component": note.source},
        "reportingComponent": note.source, "reportingInstance": "", "count": 1,
        "firstTimestamp": now, "lastTimestamp": now})
}

/// The Event said once more; `None` when that is too soon to be written.
pub(crate) fn again(mut event: Value, note: &Note<'_>, now: Timestamp) -> Option<Value> {
    if now.duration_since(last_seen(&event)?) < QUIET {
        return None;
    }
    let count = event.get("count").and_then(Value::as_i64).unwrap_or(1);
    event["count"] = count.saturating_add(1).into();
    event["lastTimestamp"] = time::seconds(now).into();
    event["message"] = shortened(note.message).into();
    Some(event)
}

/// Whether nobody has said it for an hour.
pub(crate) fn is_expired(event: &Object, now: Timestamp) -> bool {
    let old = |time: Timestamp| now.duration_since(time) > KEPT;
    // An Event is not older than its creation: the young ones need no parsing.
    if event.meta.creation_timestamp.parse().is_ok_and(|created| !old(created)) {
        return false;
    }
    last_seen(&event.value()).is_none_or(old)
}

/// The newest of the times that the two Event APIs keep.
fn last_seen(event: &Value) -> Option<Timestamp> {
    ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"]
        .into_iter()
        .filter_map(|path| json::text(event, path).parse().ok())
        .max()
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let end = (0..=LONGEST_MESSAGE - 3).rev().find(|n| message.is_char_boundary(*n)).unwrap_or(0);
    format!("{}...", &message[..end])
}
