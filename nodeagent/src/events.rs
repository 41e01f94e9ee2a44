//! Events: what happened on this node, for people to read. Posting one never holds up the work it is about.
//!
//! A note's name is derived from its object, reason and the message's gist, so that a repeat counts up instead of filling a list; a repeat
//! is written at most every ten seconds. Notes that find the queue full are dropped: they repeat.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use orlop_client::Client;
use orlop_objects::{Key, Object, gist, kind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::paths::hex;

const QUEUE: usize = 1000;
const REMEMBERED: usize = 4096;
const QUIET: Duration = Duration::from_secs(10);
const COMPONENT: &str = "orlop-nodeagent";

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// What it is about.
    pub(crate) about: Value,
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// How an Event names its object.
pub(crate) fn about(object: &Object) -> Value {
    json!({
        "apiVersion": object.key.kind.api_version(), "kind": object.key.kind.kind,
        "namespace": object.key.namespace, "name": object.key.name,
        "uid": object.meta.uid, "resourceVersion": object.revision.to_string(),
    })
}

/// How an Event names a container of a pod.
pub(crate) fn about_container(pod: &Object, container: &str) -> Value {
    let mut about = about(pod);
    about["fieldPath"] = format!("spec.containers{{{container}}}").into();
    about
}

/// How an Event names a node: as kubelet's do, its name stands for its UID.
pub(crate) fn about_node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "namespace": "", "name": name, "uid": name})
}

/// Where notes are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Events(mpsc::Sender<Note>);

impl Events {
    /// Starts the task that posts; it ends with the last handle.
    pub(crate) fn start(client: Client, node: String) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let poster = Poster { client, node, known: HashMap::new() };
        (Self(sender), tokio::spawn(poster.run(queue)))
    }

    pub(crate) fn normal(&self, about: Value, reason: &'static str, message: impl Into<String>) {
        self.send(Note { about, warning: false, reason, message: message.into() });
    }

    pub(crate) fn warning(&self, about: Value, reason: &'static str, message: impl Into<String>) {
        self.send(Note { about, warning: true, reason, message: message.into() });
    }

    fn send(&self, note: Note) {
        if self.0.try_send(note).is_err() {
            tracing::warn!("dropped an event: too many wait to be posted");
        }
    }
}

struct Sent {
    key: Key,
    count: i64,
    written: Instant,
}

struct Poster {
    client: Client,
    node: String,
    known: HashMap<String, Sent>,
}

impl Poster {
    async fn run(mut self, mut queue: mpsc::Receiver<Note>) {
        while let Some(note) = queue.recv().await {
            self.post(&note).await;
        }
    }

    async fn post(&mut self, note: &Note) {
        let name = name_of(note);
        let namespace = note.about["namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or("default");
        if let Some(sent) = self.known.get_mut(&name) {
            sent.count += 1;
            if sent.written.elapsed() < QUIET {
                return;
            }
            sent.written = Instant::now();
            let patch = json!({"count": sent.count, "lastTimestamp": now(), "message": note.message});
            if self.client.patch(&sent.key, None, &patch).await.is_ok() {
                return;
            }
        }
        let body = body(note, &name, namespace, &self.node);
        let outcome = self.client.create(&kind::EVENT, namespace, &body).await;
        match outcome {
            Ok(_) => {}
            // An earlier life of this agent posted it: go on counting there.
            Err(error) if error.code() == Some(409) => {}
            // Its namespace is going or gone, and the Event with it.
            Err(error) if matches!(error.code(), Some(403 | 404)) => {
                tracing::debug!(reason = note.reason, error = crate::error::chain(&error), "post an event");
                return;
            }
            Err(error) => {
                tracing::warn!(reason = note.reason, error = crate::error::chain(&error), "post an event");
                return;
            }
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let key = Key::new(&kind::EVENT, namespace, &name);
        self.known.insert(name, Sent { key, count: 1, written: Instant::now() });
    }
}

fn now() -> String {
    crate::clock::text(crate::clock::now())
}

fn name_of(note: &Note) -> String {
    let text = |field: &str| note.about[field].as_str().unwrap_or_default().to_owned();
    let mut hash = Sha256::new();
    for part in [&text("uid"), &text("fieldPath"), note.reason, &gist(&note.message)] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digits = hex(&hash.finalize());
    format!("{}.{}", text("name"), &digits[..16])
}

fn body(note: &Note, name: &str, namespace: &str, node: &str) -> Value {
    let now = now();
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": note.about,
        "type": if note.warning { "Warning" } else { "Normal" },
        "reason": note.reason, "message": note.message,
        "count": 1, "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": COMPONENT, "host": node},
        "reportingComponent": COMPONENT, "reportingInstance": node,
    })
}
