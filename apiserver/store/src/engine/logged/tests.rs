//! What the model test cannot reach: crashes inside a take-over, and a log that is written over and over.

use std::{collections::BTreeMap, path::Path};

use super::{EPOCH, Logged};
use crate::{
    Sync,
    engine::{Engine, Op, sled::Sled},
};

fn put(key: &str, size: usize) -> Op {
    Op { key: format!("o/{key}"), value: Some(vec![7; size]) }
}

fn delete(key: &str) -> Op {
    Op { key: format!("o/{key}"), value: None }
}

fn commit(engine: &mut Logged, ops: Vec<Op>) {
    engine.apply(ops).expect("writes");
    engine.sync().expect("syncs");
}

/// Keys with the lengths of their values, after opening again.
fn content(path: &Path) -> BTreeMap<String, usize> {
    let mut engine = Logged::open(path, Sync::Data).expect("opens");
    let mut content = BTreeMap::new();
    let loaded = engine.load(&mut |key, value| {
        content.insert(key.to_owned(), value.len());
        Ok(())
    });
    loaded.expect("loads");
    content
}

#[test]
fn a_take_over_may_be_cut_off_anywhere() {
    let sizes = [("a", 300_000), ("b", 10), ("c", 70_000)];
    let changes = || vec![put("a", 70_000), delete("b"), put("d", 200_000), put("c", 0)];
    let expected = BTreeMap::from([("o/a".into(), 70_000), ("o/c".into(), 0), ("o/d".into(), 200_000)]);
    for taken in 0..=changes().len() {
        let dir = tempfile::tempdir().expect("a directory");
        Logged::create(dir.path()).expect("creates");
        let mut engine = Logged::open(dir.path(), Sync::Data).expect("opens");
        commit(&mut engine, sizes.iter().map(|(key, size)| put(key, *size)).collect());
        engine.take_over().expect("sled has them");
        commit(&mut engine, changes());
        drop(engine);
        // sled has some of the log's writes, and not yet the epoch that says so.
        let mut sled = Sled::open(dir.path(), Sync::Data).expect("opens");
        sled.load(&mut |_, _| Ok(())).expect("loads");
        sled.apply(changes().into_iter().take(taken).collect()).expect("writes");
        sled.sync().expect("syncs");
        drop(sled);
        assert_eq!(content(dir.path()), expected, "{taken} taken");
        let mut engine = Logged::open(dir.path(), Sync::Data).expect("opens");
        engine.load(&mut |_, _| Ok(())).expect("loads");
        commit(&mut engine, vec![put("e", 1)]);
        engine.take_over().expect("sled has them");
        drop(engine);
        let mut all = expected.clone();
        all.insert("o/e".into(), 1);
        assert_eq!(content(dir.path()), all, "{taken} taken, then all");
    }
}

#[test]
fn what_was_taken_over_is_not_replayed() {
    let dir = tempfile::tempdir().expect("a directory");
    Logged::create(dir.path()).expect("creates");
    let mut engine = Logged::open(dir.path(), Sync::Data).expect("opens");
    for n in 0..60 {
        commit(&mut engine, vec![put(&format!("{}", n % 7), 1_000_000 + n)]);
    }
    assert!(engine.wal.epoch() >= 6, "60 MB went through a log of 8 MiB");
    assert_eq!(engine.sled.number(EPOCH).expect("reads"), engine.wal.epoch());
    for n in 0..6 {
        commit(&mut engine, vec![delete(&n.to_string())]);
    }
    drop(engine);
    assert_eq!(content(dir.path()), BTreeMap::from([("o/6".into(), 1_000_055)]));
}

#[test]
fn writes_without_a_barrier_do_not_pile_up() {
    let dir = tempfile::tempdir().expect("a directory");
    Logged::create(dir.path()).expect("creates");
    let mut engine = Logged::open(dir.path(), Sync::Data).expect("opens");
    for n in 0..100 {
        engine.apply(vec![put(&n.to_string(), 100_000)]).expect("writes");
        assert!(engine.unsynced.len() <= 21, "{}", engine.unsynced.len());
    }
}
