//! The order of a merged list: items that the order names stand as it says, the others keep their place among them as well
//! as both orders allow.
//!
//! Kubernetes' rule: what the order does not name is put in before the first named item that stood behind it.

use serde_json::Value;

/// `merged` in the order of `wanted`, the rest as in `original`. Items are known by `key`; plain values by themselves.
pub(super) fn arrange(merged: Vec<Value>, wanted: &[Value], original: &[Value], key: &str) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|i| same(i, item, key));
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(wanted, item).is_some());
    named.sort_by_key(|item| place(wanted, item));
    rest.sort_by_key(|item| place(original, item).unwrap_or(usize::MAX));

    let mut out = Vec::with_capacity(named.len() + rest.len());
    let mut rest = rest.into_iter().peekable();
    for item in named {
        let here = place(original, &item);
        while let Some(other) = rest.next_if(|other| {
            here.is_some() && place(original, other) < here && place(original, other).is_some()
        }) {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(rest);
    out
}

fn same(a: &Value, b: &Value, key: &str) -> bool {
    if key.is_empty() { a == b } else { a.get(key).is_some() && a.get(key) == b.get(key) }
}
