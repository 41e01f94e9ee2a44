//! The order of a merged list: items that the order names stand as it says, the others keep their place among them as well
//! as both orders allow.
//!
//! Kubernetes' rule: what the order does not name is put in before the first named item that stood behind it.

use std::collections::HashMap;

use serde_json::Value;

/// Where each item of a list stands first. Items are known by `key`; plain values by themselves.
pub(super) struct Ranks<'k> {
    places: HashMap<Value, usize>,
    key: &'k str,
}

impl<'k> Ranks<'k> {
    pub(super) fn of(list: &[Value], key: &'k str) -> Self {
        let mut places = HashMap::with_capacity(list.len());
        for (place, known) in list.iter().enumerate().filter_map(|(n, item)| Some((n, known(item, key)?))) {
            places.entry(known.clone()).or_insert(place);
        }
        Self { places, key }
    }

    fn rank(&self, item: &Value) -> Option<usize> {
        known(item, self.key).and_then(|known| self.places.get(known)).copied()
    }
}

fn known<'v>(item: &'v Value, key: &str) -> Option<&'v Value> {
    if key.is_empty() { Some(item) } else { item.get(key) }
}

/// `merged` in the order of `wanted`, the rest as in `original`.
pub(super) fn arrange(merged: Vec<Value>, wanted: &Ranks<'_>, original: &Ranks<'_>) -> Vec<Value> {
    let ranked = merged.into_iter().map(|item| (wanted.rank(&item), original.rank(&item), item));
    let (mut named, mut rest): (Vec<_>, Vec<_>) = ranked.partition(|(wanted, _, _)| wanted.is_some());
    named.sort_by_key(|(wanted, _, _)| *wanted);
    rest.sort_by_key(|(_, before, _)| before.unwrap_or(usize::MAX));

    let mut out = Vec::with_capacity(named.len() + rest.len());
    let mut rest = rest.into_iter().peekable();
    for (_, here, item) in named {
        let stood_before = |other: Option<usize>| other.zip(here).is_some_and(|(other, here)| other < here);
        while let Some((_, _, other)) = rest.next_if(|(_, before, _)| stood_before(*before)) {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(rest.map(|(_, _, item)| item));
    out
}
