//! The store as its users see it, on the memory engine.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use orlop_objects::{Key, Kind, Object, kind};
use serde_json::json;

use crate::{Committed, Error, Store, Tx, UpdateError};

/// A ConfigMap in namespace `n` whose data is `text`.
fn map(name: &str, text: &str) -> Object {
    object(&kind::CONFIG_MAP, "n", name, text)
}

fn object(kind: &'static Kind, namespace: &str, name: &str, text: &str) -> Object {
    let value = json!({"metadata": {"name": name, "namespace": namespace}, "data": {"text": text}});
    Object::from_value(kind, &value).expect("has metadata")
}

fn key(name: &str) -> Key {
    Key::new(&kind::CONFIG_MAP, "n", name)
}

fn text(object: &Object) -> String {
    object.value()["data"]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

async fn update<T: Send>(store: &Store, f: impl Fn(&mut Tx<'_>) -> T + Send) -> Committed<T> {
    store
        .update(move |tx| Ok::<_, Infallible>(f(tx)))
        .await
        .expect("no conflict, no limit")
}

async fn put(store: &Store, name: &str, text: &str) -> u64 {
    update(store, |tx| tx.put(map(name, text))).await.revision
}

#[tokio::test]
async fn revisions_begin_at_1000_and_equal_bytes_write_nothing() {
    let store = Store::in_memory();
    assert_eq!(put(&store, "a", "1").await, 1000);
    assert_eq!(put(&store, "b", "1").await, 1001);
    let again = update(&store, |tx| tx.put(map("a", "1"))).await;
    assert_eq!((again.revision, again.changed), (1001, false));
    let gone = update(&store, |tx| tx.delete(&key("c"))).await;
    assert_eq!((gone.revision, gone.changed), (1001, false));
    let snapshot = store.snapshot();
    assert_eq!(snapshot.revision(), 1001);
    assert_eq!(snapshot.get(&key("a")).map(|o| o.revision), Some(1000));
}

#[tokio::test]
async fn a_transaction_reads_its_own_writes_and_the_snapshot_does_not() {
    let store = Store::in_memory();
    let seen = update(&store, |tx| {
        tx.put(map("a", "1"));
        (
            tx.get(&key("a")).is_some(),
            tx.snapshot().get(&key("a")).is_some(),
        )
    });
    assert_eq!(seen.await.value, (true, false));
    let deleted = update(&store, |tx| {
        tx.delete(&key("a"));
        tx.get(&key("a")).is_some()
    });
    assert!(!deleted.await.value);
    assert!(store.snapshot().get(&key("a")).is_none());
}

#[tokio::test]
async fn a_refused_transaction_writes_nothing() {
    let store = Store::in_memory();
    let refused = store.update(|tx| {
        tx.put(map("a", "1"));
        Err::<(), _>("no")
    });
    assert!(matches!(refused.await, Err(UpdateError::Refused("no"))));
    assert_eq!(store.snapshot().revision(), 999);
}

#[tokio::test]
async fn limits_are_refused_in_words() {
    let store = Store::in_memory();
    let huge = "x".repeat(1 << 20);
    let too_large = store
        .update(|tx| Ok::<_, Infallible>(tx.put(map("a", &huge))))
        .await;
    let two = store
        .update(|tx| {
            tx.put(map("a", "1"));
            tx.put(map("b", "1"));
            Ok::<_, Infallible>(())
        })
        .await;
    for (result, words) in [
        (too_large, "1048576 is the most"),
        (two, "configmaps n/a and configmaps n/b"),
    ] {
        match result {
            Err(UpdateError::Store(Error::Limits { reason })) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.snapshot().revision(), 999);
}

#[tokio::test]
async fn a_transaction_that_always_loses_ends_in_conflict() {
    let store = Store::in_memory();
    put(&store, "a", "0").await;
    let runs = AtomicUsize::new(0);
    let result = store.update(|tx| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        tx.get(&key("a"));
        // Somebody else gets in between the read and the commit, every time.
        let other = store.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .expect("a runtime");
                runtime.block_on(put(&other, "a", &format!("other {run}")));
            });
        });
        tx.put(map("a", "mine"));
        Ok::<_, Infallible>(())
    });
    assert!(matches!(result.await, Err(UpdateError::Store(Error::Conflict))));
    assert_eq!(runs.load(Ordering::Relaxed), 6, "one run and five reruns");
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_many_tasks_all_count() {
    let store = Store::in_memory();
    put(&store, "a", "0").await;
    let tasks = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < 25 {
                let result = store.update(|tx| {
                    let n: u64 = tx
                        .get(&key("a"))
                        .map_or(0, |o| text(&o).parse().expect("a number"));
                    tx.put(map("a", &(n + 1).to_string()));
                    Ok::<_, Infallible>(())
                });
                match result.await {
                    Ok(_) => done += 1,
                    Err(UpdateError::Store(Error::Conflict)) => {}
                    Err(e) => panic!("{e}"),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    let snapshot = store.snapshot();
    assert_eq!(snapshot.get(&key("a")).map(|o| text(&o)), Some("400".to_owned()));
    assert_eq!(snapshot.revision(), 1400);
}

#[tokio::test]
async fn lists_are_in_key_order_and_can_be_continued() {
    let store = Store::in_memory();
    for (namespace, name) in [("b", "x"), ("a", "y"), ("a-b", "x"), ("a", "x"), ("b", "a")] {
        update(&store, |tx| {
            tx.put(object(&kind::CONFIG_MAP, namespace, name, ""))
        })
        .await;
    }
    let snapshot = store.snapshot();
    let list = |namespace, after| -> Vec<String> {
        let found = snapshot.list(&kind::CONFIG_MAP, namespace, after);
        found
            .map(|o| format!("{}/{}", o.key.namespace, o.key.name))
            .collect()
    };
    assert_eq!(list(None, None), ["a/x", "a/y", "a-b/x", "b/a", "b/x"]);
    assert_eq!(list(None, Some(("a", "x"))), ["a/y", "a-b/x", "b/a", "b/x"]);
    assert_eq!(list(Some("a"), None), ["a/x", "a/y"]);
    assert_eq!(list(Some("b"), Some(("b", "a"))), ["b/x"]);
    assert_eq!(list(Some("b"), Some(("a", "x"))), ["b/a", "b/x"]);
    assert_eq!(list(Some("c"), None), [""; 0]);
    assert_eq!(snapshot.list(&kind::SECRET, None, None).count(), 0);
}

#[tokio::test]
async fn a_past_revision_is_kept_for_a_while() {
    let store = Store::in_memory();
    let first = put(&store, "a", "1").await;
    let named = store.snapshot();
    store.keep(&named);
    let second = put(&store, "a", "2").await;
    for n in 0..100 {
        put(&store, "a", &format!("more {n}")).await;
    }
    let text_at = |revision| {
        store
            .snapshot_at(revision)
            .map(|s| s.get(&key("a")).map(|o| text(&o)))
    };
    assert_eq!(
        text_at(first).expect("a continue token names it"),
        Some("1".to_owned())
    );
    assert!(matches!(text_at(second), Err(Error::Expired { asked: 1001, .. })));
    let newest = store.snapshot().revision();
    assert_eq!(
        text_at(newest - 63).expect("one of the last 64"),
        Some("more 36".to_owned())
    );
    assert!(matches!(text_at(newest + 1), Err(Error::Future { .. })));
}

#[tokio::test]
async fn changes_are_sets_of_keys() {
    let store = Store::in_memory();
    let mut maps = store.changes(&[&kind::CONFIG_MAP]);
    let mut secrets = store.changes(&[&kind::SECRET, &kind::LEASE]);
    for n in 0..10 {
        put(&store, "a", &n.to_string()).await;
    }
    put(&store, "b", "1").await;
    update(&store, |tx| tx.put(object(&kind::SECRET, "n", "s", ""))).await;
    assert_eq!(maps.next().await, [key("a"), key("b")]);
    assert_eq!(secrets.next().await, [Key::new(&kind::SECRET, "n", "s")]);
    update(&store, |tx| tx.delete(&key("a"))).await;
    assert_eq!(maps.next().await, [key("a")]);
}

#[tokio::test]
async fn a_watch_sees_every_change_and_bookmarks_move_with_other_kinds() {
    let store = Store::in_memory();
    let from = put(&store, "a", "1").await;
    let mut watch = store.watch(&kind::CONFIG_MAP, from).expect("the present");
    assert_eq!(watch.seen(), 1000);
    update(&store, |tx| tx.put(object(&kind::SECRET, "n", "s", ""))).await;
    assert_eq!(watch.seen(), 1001);
    put(&store, "a", "2").await;
    assert_eq!(watch.seen(), 1001);
    update(&store, |tx| tx.delete(&key("a"))).await;
    let change = watch.next().await.expect("open");
    assert_eq!(
        (
            change.revision,
            change.old.map(|o| text(&o)),
            change.new.map(|o| text(&o))
        ),
        (1002, Some("1".into()), Some("2".into()))
    );
    assert_eq!(watch.seen(), 1002);
    let change = watch.next().await.expect("open");
    assert_eq!(
        (change.revision, change.old.is_some(), change.new.is_some()),
        (1003, true, false)
    );
    assert_eq!(watch.seen(), 1003);
    assert!(matches!(
        store.watch(&kind::CONFIG_MAP, 998),
        Err(Error::Expired {
            asked: 998,
            oldest: 999
        })
    ));
    assert!(matches!(
        store.watch(&kind::CONFIG_MAP, 1004),
        Err(Error::Future {
            asked: 1004,
            newest: 1003
        })
    ));
    drop(store);
    assert!(watch.next().await.is_none());
}
