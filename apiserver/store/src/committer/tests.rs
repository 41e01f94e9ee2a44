//! What the thread does when the engine fails, and how often it asks for the barrier.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use orlop_objects::{Key, Object, kind};
use serde_json::json;

use super::{LAZY_REVISIONS, next_progress};
use crate::{
    Error, Store, UpdateError,
    engine::{Engine, Op, Visit, memory::Memory},
};

/// How an engine fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Apply,
    Sync,
    Panic,
}

/// A memory engine that counts barriers, and fails when told to.
#[derive(Clone, Debug, Default)]
struct Faulty {
    memory: Memory,
    syncs: Arc<AtomicUsize>,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Faulty {
    fn syncs(&self) -> usize {
        self.syncs.load(Ordering::Relaxed)
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().expect("no test panics with it")
    }

    fn fail(&self, fault: Option<Fault>) {
        *self.fault.lock().expect("no test panics with it") = fault;
    }
}

impl Engine for Faulty {
    fn load(&mut self, each: &mut Visit<'_>) -> Result<(), Error> {
        self.memory.load(each)
    }

    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        match self.fault() {
            Some(Fault::Apply) => Err(Error::engine("write", "No space left on device")),
            _ => self.memory.apply(ops),
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        match self.fault() {
            Some(Fault::Sync) => Err(Error::engine("sync", "Input/output error")),
            Some(Fault::Panic) => panic!("the engine's invariant is broken"),
            _ => Ok(()),
        }
    }
}

async fn put(store: &Store, name: &str, text: &str, lazy: bool) -> Result<u64, UpdateError<Infallible>> {
    let value = json!({"metadata": {"name": name, "namespace": "n"}, "data": {"text": text}});
    let object = Object::from_value(&kind::CONFIG_MAP, &value).expect("has metadata");
    let done = store.update(move |tx| {
        if lazy {
            tx.lazy();
        }
        tx.put(object.clone());
        Ok::<_, Infallible>(())
    });
    done.await.map(|done| done.revision)
}

#[tokio::test]
async fn after_an_error_writes_say_why_and_reads_go_on() {
    for (fault, words) in [
        (Fault::Apply, "No space left on device"),
        (Fault::Sync, "Input/output error"),
        (Fault::Panic, "the engine's invariant is broken"),
    ] {
        let engine = Faulty::default();
        let store = Store::on_engine(Box::new(engine.clone()));
        assert_eq!(put(&store, "a", "1", false).await.expect("commits"), 1000);
        let mut watch = store.watch(&kind::CONFIG_MAP, 1000).expect("the present");
        engine.fail(Some(fault));
        for _ in 0..2 {
            match put(&store, "a", "2", false).await {
                Err(UpdateError::Store(Error::Unavailable { reason })) => {
                    assert!(reason.contains(words), "{reason}");
                }
                other => panic!("{fault:?}: {other:?}"),
            }
            // The disk may be sound again; what it holds is not known any more.
            engine.fail(None);
        }
        assert!(store.health().is_err_and(|e| e.to_string().contains(words)));
        assert_eq!(store.snapshot().revision(), 1000, "nothing that may not be on disk is shown");
        assert!(store.snapshot().get(&Key::new(&kind::CONFIG_MAP, "n", "a")).is_some());
        assert_eq!(put(&store, "a", "1", false).await.expect("writes nothing"), 1000);
        drop(store);
        assert!(watch.next().await.is_none());
    }
}

#[tokio::test]
async fn lazy_transactions_cause_no_flush() {
    let engine = Faulty::default();
    let store = Store::on_engine(Box::new(engine.clone()));
    put(&store, "a", "0", false).await.expect("commits");
    assert_eq!(engine.syncs(), 1);
    for n in 0..100 {
        put(&store, "event", &n.to_string(), true).await.expect("commits");
    }
    assert_eq!((engine.syncs(), store.snapshot().revision()), (1, 1100));
    put(&store, "a", "1", false).await.expect("commits");
    assert_eq!(engine.syncs(), 2);
    drop(store);
    assert_eq!(engine.syncs(), 3, "closing leaves everything on disk");
}

/// What lazy transactions wrote may be lost; their revisions must not be given to something else.
#[tokio::test]
async fn revisions_of_lost_lazy_transactions_are_not_given_again() {
    let engine = Faulty::default();
    let store = Store::on_engine(Box::new(engine.clone()));
    put(&store, "a", "0", false).await.expect("commits");
    let mut durable = BTreeMap::new();
    let keep = |key: &str, value: &[u8]| {
        durable.insert(key.to_owned(), value.to_vec());
        Ok(())
    };
    engine.clone().load(&mut { keep }).expect("reads");
    let mut newest = 0;
    for n in 0..100 {
        newest = put(&store, "event", &n.to_string(), true).await.expect("commits");
    }
    // The power goes: only what was flushed is there.
    let mut after = Memory::default();
    let ops = durable.into_iter().map(|(key, value)| Op { key, value: Some(value) });
    after.apply(ops.collect()).expect("writes");
    let store = Store::on_engine(Box::new(after));
    assert!(store.snapshot().revision() >= newest);
    assert!(store.snapshot().get(&Key::new(&kind::CONFIG_MAP, "n", "event")).is_none());
    assert!(put(&store, "a", "1", false).await.expect("commits") > newest);
}

#[test]
fn the_ceiling_rises_with_flushes_that_happen_anyway() {
    let table = [
        // (revision, ceiling, must flush) -> ceiling
        ((1000, 999, true), 1000 + LAZY_REVISIONS),
        ((1001, 2024, true), 2024),
        ((1001, 2024, false), 2024),
        ((1512, 2024, true), 2024),
        ((1513, 2024, true), 1513 + LAZY_REVISIONS),
        ((2024, 2024, false), 2024),
        ((2025, 2024, false), 2025 + LAZY_REVISIONS),
    ];
    for ((revision, ceiling, flush), expected) in table {
        let progress = next_progress(revision, ceiling, flush);
        assert_eq!(
            (progress.revision, progress.ceiling),
            (revision, expected),
            "{revision} {ceiling} {flush}"
        );
    }
}
