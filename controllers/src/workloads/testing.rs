//! Workloads for tables: pods and revisions in a few words, and a time that stands still.

use std::{sync::Arc, time::Instant};

use jiff::{SignedDuration, Timestamp};
use orlop_objects::{Key, Kind, kind};
use serde_json::{Value, json};

use super::{
    pass::View,
    pods::Pod,
    revisions::{self, History, Revision},
};
use crate::testing::{object, with};

/// The time that it is in tables.
pub(crate) fn clock() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

/// So many seconds earlier.
pub(crate) fn ago(seconds: i64) -> String {
    (clock() - SignedDuration::from_secs(seconds)).to_string()
}

/// Whether `word` is among `words`.
pub(crate) fn says(words: &str, word: &str) -> bool {
    words.split(' ').any(|w| w == word)
}

/// A pod that has run and been ready for 90 seconds, but for what the words say: `pending`, `failed`, `ended`, `unready`,
/// `going`. The rest, its name at least, is in `more`.
pub(crate) fn pod(words: &str, more: &Value) -> Arc<Pod> {
    let phases = [("pending", "Pending"), ("failed", "Failed"), ("ended", "Succeeded")];
    let phase = phases.iter().find(|(word, _)| says(words, word)).map_or("Running", |(_, phase)| phase);
    let ready = if phase == "Running" && !says(words, "unready") { "True" } else { "False" };
    let mut base = json!({
        "metadata": {"namespace": "default", "uid": more["metadata"]["name"], "creationTimestamp": ago(100)},
        "spec": {},
        "status": {"phase": phase,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": ago(90)}]},
    });
    if says(words, "going") {
        base["metadata"]["deletionTimestamp"] = ago(90).into();
    }
    Arc::new(Pod::of(object(&kind::POD, &with(base, more))))
}

/// What a set has had: for each image a revision that is named after it, numbered from one on. The next is `NAME-h`.
pub(crate) fn history(kind: &'static Kind, set: &Value, images: &[&str]) -> History {
    let owner = object(kind, set);
    let name = |suffix: &str| format!("{}-{suffix}", owner.meta.name);
    let revision = |(n, image): (usize, &&str)| {
        let mut template = set["spec"]["template"].clone();
        template["spec"]["containers"][0]["image"] = (*image).into();
        let number = 1 + i64::try_from(n).expect("few");
        let form = revisions::form(&owner, &template, &name(image), number);
        let form = with(form, &json!({"metadata": {"namespace": "default"}}));
        Revision::of(object(&kind::CONTROLLER_REVISION, &form), kind)
    };
    let revisions = images.iter().enumerate().map(revision).collect();
    History { revisions, name: name("h"), taken: false }
}

/// A pass that sees one workload of a kind.
pub(crate) fn view_of<F>(kind: &'static Kind, name: &str, facts: F) -> View<F> {
    let key = Key::new(kind, "default", name);
    View { now: Instant::now(), clock: clock(), workloads: vec![(key, facts)] }
}
