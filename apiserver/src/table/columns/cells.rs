//! The cells that many kinds share: names, ages, lists, and the words for what is absent.

use jiff::Timestamp;
use serde_json::Value;

pub(super) const NONE: &str = "<none>";
pub(super) const UNSET: &str = "<unset>";
pub(super) const UNKNOWN: &str = "<unknown>";

/// The text at a JSON pointer; empty when it is absent or not text.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a JSON pointer, or `absent`.
pub(super) fn text_or<'a>(object: &'a Value, pointer: &str, absent: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => absent,
        found => found,
    }
}

pub(super) fn integer(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(super) fn boolean(object: &Value, pointer: &str, absent: bool) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(absent)
}

/// The list at a JSON pointer; empty when there is none.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many entries the map or list at a pointer has.
pub(super) fn count(object: &Value, pointer: &str) -> usize {
    match object.pointer(pointer) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// Text of each entry's `field`, joined by commas.
pub(super) fn joined(object: &Value, pointer: &str, field: &str) -> String {
    let values: Vec<&str> = list(object, pointer).iter().map(|entry| text(entry, field)).collect();
    values.join(",")
}

/// `a=1,b=2`, or `<none>`.
pub(super) fn labels(object: &Value, pointer: &str) -> String {
    let Some(map) = object.pointer(pointer).and_then(Value::as_object).filter(|m| !m.is_empty()) else {
        return NONE.to_owned();
    };
    let pairs: Vec<String> =
        map.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    pairs.join(",")
}

/// A label selector in its string form, or `<none>`.
pub(super) fn selector(object: &Value, pointer: &str) -> String {
    let exact = labels(object, &format!("{pointer}/matchLabels"));
    let mut parts: Vec<String> = if exact == NONE { Vec::new() } else { vec![exact] };
    for rule in list(object, &format!("{pointer}/matchExpressions")) {
        let values: Vec<&str> = list(rule, "/values").iter().filter_map(Value::as_str).collect();
        let (key, values) = (text(rule, "/key"), values.join(","));
        parts.push(match text(rule, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    if parts.is_empty() { NONE.to_owned() } else { parts.join(",") }
}

/// `RWO,ROX,RWX,RWOP`, in that order whatever the object's.
pub(super) fn access_modes(object: &Value, pointer: &str) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let modes = list(object, pointer);
    let has = |mode: &str| modes.iter().any(|m| m == mode);
    SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// Age since the object's creation.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(text(object, "/metadata/creationTimestamp"), now).into()
}

/// Time since a moment in RFC 3339, as kubectl prints it.
pub(super) fn since(moment: &str, now: Timestamp) -> String {
    moment
        .parse::<Timestamp>()
        .map_or_else(|_| UNKNOWN.to_owned(), |then| human(now.as_second() - then.as_second()))
}

/// Seconds as kubectl prints a duration: the two largest units while both still matter.
pub(super) fn human(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let pair = |big: i64, unit: &str, small: i64, rest: &str| match (seconds % big) / small {
        0 => format!("{}{unit}", seconds / big),
        more => format!("{}{unit}{more}{rest}", seconds / big),
    };
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => pair(MINUTE, "m", 1, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => pair(HOUR, "h", MINUTE, "m"),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => pair(DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => pair(YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}
