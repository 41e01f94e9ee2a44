//! The table, row for row.

use std::sync::Arc;

use orlop_objects::{Key, Object, Revision, kind};
use serde_json::json;

use super::{Plan, Verdict};
use crate::{
    state::{Row, State},
    tx::Intent,
};

fn key(name: &str) -> Key {
    Key::new(&kind::CONFIG_MAP, "n", name)
}

fn row(name: &str, text: &str) -> Row {
    let value = json!({"metadata": {"name": name, "namespace": "n"}, "data": {"text": text}});
    Row::new(Arc::new(Object::from_value(&kind::CONFIG_MAP, &value).expect("has metadata")))
}

/// `a` at revision 1000, `b` at 1001.
fn published() -> State {
    let mut state = State::default();
    state.revision = 999;
    for name in ["a", "b"] {
        let mut plan = Plan::new(&state);
        plan.admit(Intent { reads: vec![], writes: vec![(key(name), Some(row(name, "0")))], lazy: false });
        state = plan.state;
    }
    state
}

fn intent(reads: &[(&str, Revision)], puts: &[&str], deletes: &[&str], lazy: bool) -> Intent {
    let puts = puts.iter().map(|name| (key(name), Some(row(name, "1"))));
    let deletes = deletes.iter().map(|name| (key(name), None));
    Intent {
        reads: reads.iter().map(|(name, revision)| (key(name), *revision)).collect(),
        writes: puts.chain(deletes).collect(),
        lazy,
    }
}

#[test]
fn one_transaction() {
    let table = [
        // reads, puts, deletes -> verdict
        (vec![("a", 1000)], vec!["a"], vec![], Verdict::Committed(1002)),
        (vec![("a", 999)], vec!["a"], vec![], Verdict::Conflict),
        (vec![("a", 0)], vec!["a"], vec![], Verdict::Conflict),
        (vec![("c", 0)], vec!["c"], vec![], Verdict::Committed(1002)),
        (vec![("c", 1000)], vec!["c"], vec![], Verdict::Conflict),
        (vec![("b", 1000)], vec!["a"], vec![], Verdict::Conflict),
        (vec![], vec!["a"], vec![], Verdict::Committed(1002)),
        (vec![], vec![], vec!["a"], Verdict::Committed(1002)),
        (vec![], vec![], vec!["c"], Verdict::Unchanged(1001)),
    ];
    for (reads, puts, deletes, expected) in table {
        let mut plan = Plan::new(&published());
        let verdict = plan.admit(intent(&reads, &puts, &deletes, false));
        assert_eq!(verdict, expected, "{reads:?} {puts:?} {deletes:?}");
        let written = matches!(expected, Verdict::Committed(_));
        assert_eq!(plan.state.revision, if written { 1002 } else { 1001 });
        assert_eq!((plan.ops.len(), plan.changes.len()), (usize::from(written), usize::from(written)));
        assert_eq!(plan.must_flush, written);
    }
}

#[test]
fn transactions_of_one_batch_see_each_other() {
    let mut plan = Plan::new(&published());
    let verdicts = [
        plan.admit(intent(&[("a", 1000)], &["a"], &[], false)),
        plan.admit(intent(&[("a", 1000)], &["a"], &[], false)),
        plan.admit(intent(&[("b", 1001)], &[], &["b"], false)),
        plan.admit(intent(&[("b", 1001)], &["c"], &[], false)),
        plan.admit(intent(&[("b", 0)], &["b"], &[], false)),
        plan.admit(intent(&[], &[], &["c"], false)),
    ];
    let expected = [
        Verdict::Committed(1002),
        Verdict::Conflict,
        Verdict::Committed(1003),
        Verdict::Conflict,
        Verdict::Committed(1004),
        Verdict::Unchanged(1004),
    ];
    assert_eq!(verdicts, expected);
    let told: Vec<_> =
        plan.changes.iter().map(|c| (c.revision, c.key.name.clone(), c.new.is_some())).collect();
    assert_eq!(told, [(1002, "a".into(), true), (1003, "b".into(), false), (1004, "b".into(), true)]);
    assert!(plan.changes.iter().all(|c| c.new.as_ref().is_none_or(|new| new.revision == c.revision)));
}

#[test]
fn only_lazy_ones_need_no_flush() {
    for (lazy, must_flush) in [(vec![true, true], false), (vec![true, false], true), (vec![false], true)] {
        let mut plan = Plan::new(&published());
        for (n, lazy) in lazy.iter().enumerate() {
            plan.admit(intent(&[], &[["x", "y"][n]], &[], *lazy));
        }
        assert_eq!(plan.must_flush, must_flush, "{lazy:?}");
    }
}
