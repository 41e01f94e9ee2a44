//! The store as its users see it: one suite, on every engine.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use orlop_objects::{Key, Kind, Object, index::Index, kind};
use serde_json::json;

use crate::{Committed, Error, Options, Store, Tx, UpdateError, engine::memory::Memory};

/// Something that a store can be opened on again and again.
enum Disk {
    Memory(Memory),
    Sled(tempfile::TempDir),
}

impl Disk {
    fn open(&self) -> Store {
        match self {
            Self::Memory(memory) => Store::on_engine(Box::new(memory.clone())),
            Self::Sled(dir) => Store::open(&dir.path().join("store"), Options::default()).expect("opens"),
        }
    }
}

macro_rules! on_every_engine {
    ($($case:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(&super::Disk::Memory(crate::engine::memory::Memory::default())).await;
            })*
        }
        mod on_sled {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let dir = tempfile::tempdir().expect("a directory");
                super::$case(&super::Disk::Sled(dir)).await;
            })*
        }
    };
}

on_every_engine! {
    revisions_begin_at_1000_and_equal_bytes_write_nothing,
    a_transaction_reads_its_own_writes_and_the_snapshot_does_not,
    a_refused_transaction_writes_nothing,
    limits_are_refused_in_words,
    a_transaction_that_always_loses_ends_in_conflict,
    increments_of_many_tasks_all_count,
    lists_are_in_key_order_and_can_be_continued,
    a_past_revision_is_kept_for_a_while,
    changes_are_sets_of_keys,
    a_watch_sees_every_change_and_bookmarks_move_with_other_kinds,
    everything_is_there_again_after_reopening,
    revisions_never_go_back,
    indexes_follow_owners,
    lazy_changes_are_visible_at_once_and_flushed_with_the_next,
    batches_keep_the_order_of_revisions,
    a_deleted_object_can_be_made_again,
}

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
    object.value()["data"]["text"].as_str().unwrap_or_default().to_owned()
}

async fn update<T: Send>(store: &Store, f: impl Fn(&mut Tx<'_>) -> T + Send) -> Committed<T> {
    store.update(move |tx| Ok::<_, Infallible>(f(tx))).await.expect("no conflict, no limit")
}

async fn put(store: &Store, name: &str, text: &str) -> u64 {
    update(store, |tx| tx.put(map(name, text))).await.revision
}

async fn revisions_begin_at_1000_and_equal_bytes_write_nothing(disk: &Disk) {
    let store = disk.open();
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

async fn a_transaction_reads_its_own_writes_and_the_snapshot_does_not(disk: &Disk) {
    let store = disk.open();
    let seen = update(&store, |tx| {
        tx.put(map("a", "1"));
        (tx.get(&key("a")).is_some(), tx.snapshot().get(&key("a")).is_some())
    });
    assert_eq!(seen.await.value, (true, false));
    let deleted = update(&store, |tx| {
        tx.delete(&key("a"));
        tx.get(&key("a")).is_some()
    });
    assert!(!deleted.await.value);
    assert!(store.snapshot().get(&key("a")).is_none());
}

async fn a_refused_transaction_writes_nothing(disk: &Disk) {
    let store = disk.open();
    let refused = store.update(|tx| {
        tx.put(map("a", "1"));
        Err::<(), _>("no")
    });
    assert!(matches!(refused.await, Err(UpdateError::Refused("no"))));
    assert_eq!(store.snapshot().revision(), 999);
}

async fn limits_are_refused_in_words(disk: &Disk) {
    let store = disk.open();
    let huge = "x".repeat(1 << 20);
    let too_large = store
        .update(|tx| {
            tx.put(map("a", &huge));
            Ok::<_, Infallible>(())
        })
        .await;
    let two = store
        .update(|tx| {
            tx.put(map("a", "1"));
            tx.put(map("b", "1"));
            Ok::<_, Infallible>(())
        })
        .await;
    for (result, words) in [(too_large, "1048576 is the most"), (two, "configmaps n/a and configmaps n/b")] {
        match result {
            Err(UpdateError::Store(Error::Limits { reason })) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.snapshot().revision(), 999);
}

async fn a_transaction_that_always_loses_ends_in_conflict(disk: &Disk) {
    let store = disk.open();
    put(&store, "a", "0").await;
    let runs = AtomicUsize::new(0);
    let result = store.update(|tx| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        tx.get(&key("a"));
        // Somebody else gets in between the read and the commit, every time.
        let other = store.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(put(&other, "a", &format!("other {run}")));
            });
        });
        tx.put(map("a", "mine"));
        Ok::<_, Infallible>(())
    });
    assert!(matches!(result.await, Err(UpdateError::Store(Error::Conflict))));
    assert_eq!(runs.load(Ordering::Relaxed), 6, "one run and five reruns");
}

async fn increments_of_many_tasks_all_count(disk: &Disk) {
    let store = disk.open();
    put(&store, "a", "0").await;
    let tasks = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < 25 {
                let result = store.update(|tx| {
                    let n: u64 = tx.get(&key("a")).map_or(0, |o| text(&o).parse().expect("a number"));
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

async fn lists_are_in_key_order_and_can_be_continued(disk: &Disk) {
    let store = disk.open();
    for (namespace, name) in [("b", "x"), ("a", "y"), ("a-b", "x"), ("a", "x"), ("b", "a")] {
        update(&store, |tx| {
            tx.put(object(&kind::CONFIG_MAP, namespace, name, ""));
        })
        .await;
    }
    let snapshot = store.snapshot();
    let list = |namespace, after| -> Vec<String> {
        let found = snapshot.list(&kind::CONFIG_MAP, namespace, after);
        found.map(|o| format!("{}/{}", o.key.namespace, o.key.name)).collect()
    };
    assert_eq!(list(None, None), ["a/x", "a/y", "a-b/x", "b/a", "b/x"]);
    assert_eq!(list(None, Some(("a", "x"))), ["a/y", "a-b/x", "b/a", "b/x"]);
    assert_eq!(list(Some("a"), None), ["a/x", "a/y"]);
    assert_eq!(list(Some("b"), Some(("b", "a"))), ["b/x"]);
    assert_eq!(list(Some("b"), Some(("a", "x"))), ["b/a", "b/x"]);
    assert_eq!(list(Some("c"), None), [""; 0]);
    assert_eq!(snapshot.list(&kind::SECRET, None, None).count(), 0);
}

async fn a_past_revision_is_kept_for_a_while(disk: &Disk) {
    let store = disk.open();
    let first = put(&store, "a", "1").await;
    let named = store.snapshot();
    store.keep(&named);
    let second = put(&store, "a", "2").await;
    for n in 0..100 {
        put(&store, "a", &format!("more {n}")).await;
    }
    let text_at = |revision| store.snapshot_at(revision).map(|s| s.get(&key("a")).map(|o| text(&o)));
    assert_eq!(text_at(first).expect("a continue token names it"), Some("1".to_owned()));
    assert!(matches!(text_at(second), Err(Error::Expired { asked: 1001, .. })));
    let newest = store.snapshot().revision();
    assert_eq!(text_at(newest - 63).expect("one of the last 64"), Some("more 36".to_owned()));
    assert!(matches!(text_at(newest + 1), Err(Error::Future { .. })));
}

async fn changes_are_sets_of_keys(disk: &Disk) {
    let store = disk.open();
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

async fn a_watch_sees_every_change_and_bookmarks_move_with_other_kinds(disk: &Disk) {
    let store = disk.open();
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
        (change.revision, change.old.map(|o| text(&o)), change.new.map(|o| text(&o))),
        (1002, Some("1".into()), Some("2".into()))
    );
    assert_eq!(watch.seen(), 1002);
    let change = watch.next().await.expect("open");
    assert_eq!((change.revision, change.old.is_some(), change.new.is_some()), (1003, true, false));
    assert_eq!(watch.seen(), 1003);
    assert!(matches!(store.watch(&kind::CONFIG_MAP, 998), Err(Error::Expired { asked: 998, oldest: 999 })));
    assert!(matches!(store.watch(&kind::CONFIG_MAP, 1004), Err(Error::Future { asked: 1004, newest: 1003 })));
    drop(store);
    assert!(watch.next().await.is_none());
}

async fn everything_is_there_again_after_reopening(disk: &Disk) {
    let store = disk.open();
    // Inline, one piece, several pieces; each larger and smaller than before.
    let sizes = [10, 70_000, 300, 500_000, 200_000, 1_000_000, 0];
    for size in sizes {
        put(&store, "changing", &"c".repeat(size)).await;
        put(&store, &format!("size-{size}"), &"s".repeat(size)).await;
    }
    update(&store, |tx| tx.delete(&key("size-500000"))).await;
    let before = store.snapshot();
    drop(store);
    let store = disk.open();
    let after = store.snapshot();
    assert_eq!(after.revision(), before.revision());
    let all = |s: &crate::Snapshot| s.list(&kind::CONFIG_MAP, None, None).cloned().collect::<Vec<_>>();
    assert_eq!(all(&after), all(&before));
    assert_eq!(all(&after).len(), sizes.len());
    assert_eq!(put(&store, "next", "").await, before.revision() + 1);
    let older = before.revision() - 1;
    assert!(
        matches!(store.watch(&kind::CONFIG_MAP, older), Err(Error::Expired { .. })),
        "410 after a restart"
    );
    assert!(store.watch(&kind::CONFIG_MAP, before.revision()).is_ok());
}

async fn revisions_never_go_back(disk: &Disk) {
    let mut newest = 0;
    for round in 0..4 {
        let store = disk.open();
        assert!(store.snapshot().revision() >= newest);
        for n in 0..3 {
            let lazy = n % 2 == 0;
            let text = format!("{round} {n}");
            let done = update(&store, |tx| {
                if lazy {
                    tx.lazy();
                }
                tx.put(map("a", &text));
            });
            let revision = done.await.revision;
            assert!(revision > newest, "{revision} after {newest}");
            newest = revision;
        }
    }
    assert_eq!(disk.open().snapshot().revision(), newest, "a clean close leaves no gap");
}

async fn indexes_follow_owners(disk: &Disk) {
    let owned = |name: &str, owners: &[&str]| {
        let owners: Vec<_> =
            owners.iter().map(|uid| json!({"uid": uid, "kind": "Pod", "name": "p"})).collect();
        let value = json!({"metadata": {"name": name, "namespace": "n", "ownerReferences": owners}});
        Object::from_value(&kind::CONFIG_MAP, &value).expect("has metadata")
    };
    let store = disk.open();
    for (name, owners) in
        [("a", vec!["u1", "u2"]), ("b", vec!["u2"]), ("c", vec![]), ("b", vec!["u1", "u22"])]
    {
        update(&store, |tx| tx.put(owned(name, &owners))).await;
    }
    let found = |store: &Store, prefix: &str| -> Vec<String> {
        store.snapshot().indexed(Index::ByOwner, prefix).map(|o| o.key.name.clone()).collect()
    };
    let expected: Vec<(&str, Vec<&str>)> = vec![
        ("u1", vec!["a", "b"]),
        ("u2", vec!["a", "b"]),
        ("u22", vec!["b"]),
        ("", vec!["a", "b", "a", "b"]),
    ];
    for (prefix, names) in &expected {
        assert_eq!(&found(&store, prefix), names, "{prefix}");
    }
    drop(store);
    let store = disk.open();
    for (prefix, names) in &expected {
        assert_eq!(&found(&store, prefix), names, "{prefix} after reopening");
    }
    let exactly = |entry: &str| store.snapshot().having(Index::ByOwner, entry).count();
    assert_eq!([exactly("u1"), exactly("u2"), exactly("u22"), exactly("u"), exactly("")], [2, 1, 1, 0, 0]);
    update(&store, |tx| tx.delete(&key("a"))).await;
    assert_eq!(found(&store, ""), ["b", "b"]);
}

async fn lazy_changes_are_visible_at_once_and_flushed_with_the_next(disk: &Disk) {
    let store = disk.open();
    let mut watch = store.watch(&kind::CONFIG_MAP, 999).expect("the present");
    update(&store, |tx| {
        tx.lazy();
        tx.put(map("a", "lazy"));
    })
    .await;
    assert_eq!(watch.next().await.map(|change| change.revision), Some(1000));
    put(&store, "b", "not lazy").await;
    drop(store);
    assert_eq!(disk.open().snapshot().list(&kind::CONFIG_MAP, None, None).count(), 2);
}

async fn batches_keep_the_order_of_revisions(disk: &Disk) {
    let store = disk.open();
    let mut watch = store.watch(&kind::CONFIG_MAP, 999).expect("the present");
    let tasks: Vec<_> = (0..40)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    put(&store, &format!("{task}"), &format!("{n}")).await;
                }
            })
        })
        .collect();
    for revision in 1000..1400 {
        let change = watch.next().await.expect("open");
        assert_eq!(change.revision, revision);
        assert_eq!(change.new.as_ref().map(|o| o.revision), Some(revision));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let snapshot = store.snapshot();
    assert!(snapshot.list(&kind::CONFIG_MAP, None, None).all(|object| text(object) == "9"));
}

async fn a_deleted_object_can_be_made_again(disk: &Disk) {
    let store = disk.open();
    for round in 0..3u64 {
        let base = 1000 + 2 * round;
        let created = update(&store, |tx| {
            let before = tx.get(&key("a"));
            tx.put(map("a", "same text"));
            before.is_none()
        });
        let created = created.await;
        assert_eq!((created.revision, created.value), (base, true));
        assert_eq!(update(&store, |tx| tx.delete(&key("a"))).await.revision, base + 1);
    }
}
