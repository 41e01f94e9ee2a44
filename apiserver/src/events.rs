//! `events.k8s.io/v1`: the stored core/v1 Events under their other names.

use orlop_objects::{Kind, time};
use serde_json::{Map, Value};

/// The kind as `events.k8s.io` shows it.
pub(crate) static SHOWN: Kind = Kind {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    plural: "events",
    singular: "event",
    short: &["ev"],
    namespaced: true,
    categories: &[],
    subresources: &[],
    schema: "io.k8s.api.events.v1.Event",
};

/// Fields that differ in name only: core/v1, events.k8s.io/v1.
const NAMES: [(&str, &str); 8] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("apiVersion", "apiVersion"),
];

/// A stored Event as `events.k8s.io/v1`. That form requires `eventTime`, which core/v1 may leave out: clients with strict
/// models fail without it.
pub(crate) fn to_shown(event: Value) -> Value {
    let mut shown = renamed(event, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(core, _)| *core == name).map(|(_, shown)| *shown)
    });
    let first = shown["deprecatedFirstTimestamp"].as_str().and_then(time::parse);
    if let (None, Some(first)) = (shown["eventTime"].as_str(), first) {
        shown["eventTime"] = time::micros(first).into();
    }
    shown
}

/// An `events.k8s.io/v1` Event as it is stored.
pub(crate) fn from_shown(event: Value) -> Value {
    renamed(event, "v1", |name| NAMES.iter().find(|(_, shown)| *shown == name).map(|(core, _)| *core))
}

fn renamed(event: Value, api_version: &str, other: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(fields) = event else {
        return event;
    };
    let mut out: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (other(&name).map_or(name, str::to_owned), value)).collect();
    out.insert("apiVersion".to_owned(), api_version.into());
    out.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_that_the_other_form_requires_is_the_first_one() {
        let old = json!({"metadata": {}, "firstTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(to_shown(old)["eventTime"], "2026-01-01T00:00:00.000000Z");
        let new = json!({"metadata": {}, "eventTime": "2026-01-01T00:00:01.500000Z"});
        assert_eq!(to_shown(new)["eventTime"], "2026-01-01T00:00:01.500000Z");
    }

    #[test]
    fn there_and_back() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "message": "m", "count": 2,
            "involvedObject": {"kind": "Pod", "name": "p"}, "reason": "R", "type": "Normal",
            "source": {"component": "x"}, "firstTimestamp": "a", "lastTimestamp": "b", "reportingComponent": "c"});
        let shown = to_shown(core.clone());
        assert_eq!(shown["apiVersion"], "events.k8s.io/v1");
        assert_eq!(
            (&shown["note"], &shown["regarding"]["name"], &shown["deprecatedCount"]),
            (&json!("m"), &json!("p"), &json!(2))
        );
        assert!(shown.get("message").is_none() && shown.get("involvedObject").is_none());
        assert_eq!(from_shown(shown), core);
    }
}
