//! Events, in either of their two groups.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Column, Printer,
    cells::{integer, name, since, text},
};

pub(super) static PRINTERS: &[Printer] = &[
    Printer { kind: ("events", ""), columns: COLUMNS, row: event },
    Printer { kind: ("events", "events.k8s.io"), columns: COLUMNS, row: event },
];

const COLUMNS: &[Column] = &[
    Column::new("Last Seen", "How long ago it last happened"),
    Column::new("Type", "Normal or Warning"),
    Column::new("Reason", "Why, in one word"),
    Column::new("Object", "What it is about"),
    Column::new("Message", "What happened and what to do"),
    Column::wide("Subobject", "Which part of the object"),
    Column::wide("Source", "Who says it"),
    Column::wide("First Seen", "How long ago it first happened"),
    Column::wide("Count", "How often it happened"),
    Column { format: "name", ..Column::wide("Name", "Name of the event") },
];

/// The first of several fields that is set: the two groups name the same things differently.
fn first<'a>(object: &'a Value, pointers: &[&str]) -> &'a str {
    pointers.iter().map(|p| text(object, p)).find(|t| !t.is_empty()).unwrap_or_default()
}

fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let begun = first(object, &["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last = first(
        object,
        &["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime"],
    );
    let kind = first(object, &["/involvedObject/kind", "/regarding/kind"]).to_lowercase();
    let about = first(object, &["/involvedObject/name", "/regarding/name"]);
    let component = first(object, &["/source/component", "/reportingComponent", "/reportingController"]);
    let host = first(object, &["/source/host", "/deprecatedSource/host"]);
    let source = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    let count = ["/series/count", "/count", "/deprecatedCount"]
        .map(|p| integer(object, p))
        .into_iter()
        .find(|n| *n > 0);
    vec![
        since(last, now).into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        if kind.is_empty() { about.into() } else { format!("{kind}/{about}").into() },
        first(object, &["/message", "/note"]).trim().into(),
        first(object, &["/involvedObject/fieldPath", "/regarding/fieldPath"]).into(),
        source.into(),
        since(begun, now).into(),
        count.unwrap_or(1).to_string().into(),
        name(object),
    ]
}
