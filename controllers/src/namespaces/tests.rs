//! The table of terminating namespaces, row for row.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use orlop_objects::{Key, kind};

use super::decide::{AT_ONCE, NamespaceFacts, Verdict, View, decide};

fn pods(count: usize) -> Vec<Key> {
    (0..count).map(|n| Key::new(&kind::POD, "team", format!("p{n}"))).collect()
}

fn verdict(wanted: usize, left: usize, held: bool, waited: u64) -> Option<Verdict> {
    let now = Instant::now() + Duration::from_secs(60);
    let left: BTreeMap<String, usize> = (left > 0).then(|| ("pods".to_owned(), left)).into_iter().collect();
    let facts = NamespaceFacts {
        key: Key::cluster(&kind::NAMESPACE, "team"),
        revision: 7,
        held,
        waiting_since: Some(now - Duration::from_secs(waited)),
        wanted: pods(wanted),
        left,
        finalizers: BTreeSet::from(["example.com/hold".to_owned()]),
    };
    decide(&View { now, namespaces: vec![facts] }).pop().map(|(_, verdict)| verdict)
}

#[test]
fn every_row_of_the_table() {
    assert_eq!(verdict(2, 3, true, 0), Some(Verdict::Empty { keys: pods(2) }));
    assert_eq!(verdict(100, 100, true, 0), Some(Verdict::Empty { keys: pods(AT_ONCE) }));
    assert!(matches!(verdict(0, 3, true, 1), Some(Verdict::Wait { .. })));
    let Some(Verdict::Tell { revision: 7, message }) = verdict(0, 3, true, 4) else {
        panic!("tells after a while")
    };
    assert!(message.starts_with("Some resources are remaining: pods has 3 resource instances."), "{message}");
    assert!(message.contains("example.com/hold"), "{message}");
    assert_eq!(verdict(0, 0, true, 0), Some(Verdict::Finalize { revision: 7 }));
    assert_eq!(verdict(0, 0, false, 0), None);
}
