//! What the namespaces controller knows about terminating namespaces: one snapshot.

use std::collections::{BTreeMap, BTreeSet};

use orlop_objects::{Object, kind};

use super::decide::{NamespaceFacts, View};
use crate::worker::{Due, Reader};

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &Reader) -> View {
    let facts = |due: &Due| {
        let namespace = reader.snapshot.get(&due.key)?;
        namespace.meta.is_terminating().then(|| content(due, &namespace, reader))
    };
    View { now: reader.now, namespaces: keys.iter().filter_map(facts).collect() }
}

fn content(due: &Due, namespace: &Object, reader: &Reader) -> NamespaceFacts {
    let value = namespace.value();
    let finalizers = value.pointer("/spec/finalizers").and_then(|list| list.as_array());
    let mut facts = NamespaceFacts {
        key: due.key.clone(),
        revision: namespace.revision,
        held: finalizers.is_some_and(|list| !list.is_empty()),
        waiting_since: due.waiting_since,
        wanted: Vec::new(),
        left: BTreeMap::new(),
        finalizers: BTreeSet::new(),
    };
    for kind in kind::ALL.iter().filter(|kind| kind.namespaced) {
        for object in reader.snapshot.list(kind, Some(&due.key.name), None) {
            *facts.left.entry(kind.qualified()).or_default() += 1;
            facts.finalizers.extend(object.meta.finalizers.iter().cloned());
            if !object.meta.is_terminating() {
                facts.wanted.push(object.key.clone());
            }
        }
    }
    facts
}
