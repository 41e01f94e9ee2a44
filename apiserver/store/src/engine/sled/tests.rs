//! The traps, one by one.

use std::{fs, path::Path};

use super::Sled;
use crate::{
    Sync,
    engine::{Engine, Op},
    error::chain,
};

fn open(path: &Path) -> Sled {
    let mut sled = Sled::open(path, Sync::Data).expect("opens");
    sled.load(&mut |_, _| Ok(())).expect("loads");
    sled
}

fn put(sled: &mut Sled, key: usize, size: usize) {
    sled.apply(vec![Op { key: format!("o/{key:05}"), value: Some(vec![7; size]) }]).expect("writes");
}

fn blobs(path: &Path) -> usize {
    fs::read_dir(path.join("blobs")).expect("sled makes it").count()
}

#[test]
fn no_page_ever_becomes_a_file_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path());
    // Full leaves of the largest pieces, filled in one direction, then rewritten in another, then thinned out.
    for round in 0..3 {
        for key in 0..150 {
            put(&mut sled, (key * 7 + round) % 150, (64 << 10) - round);
        }
        sled.sync().expect("syncs");
        assert_eq!(blobs(dir.path()), 0, "round {round}");
    }
    for key in (0..150).filter(|key| key % 5 != 0) {
        sled.apply(vec![Op { key: format!("o/{key:05}"), value: None }]).expect("writes");
    }
    put(&mut sled, 1000, 1 << 20);
    put(&mut sled, 3, 500_000);
    sled.sync().expect("syncs");
    assert_eq!(blobs(dir.path()), 0);
}

#[test]
fn space_is_given_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path());
    // 100 MB of changes; what stays is strewn among what changes, so that every segment holds some of it.
    for n in 0..2000 {
        put(&mut sled, n % 10, 50_000);
        put(&mut sled, 10_000 + (n * 7919) % 100_000, 500);
        sled.flush().expect("flushes");
    }
    let size = sled.data.metadata().expect("its size").len();
    assert!(size < 32 << 20, "{size} bytes for 1.5 MB of values");
}

#[test]
fn a_damaged_file_is_an_error_in_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path());
    for key in 0..200 {
        put(&mut sled, key, 2000);
    }
    sled.sync().expect("syncs");
    drop(sled);
    // The first open writes a snapshot, which the damage then contradicts.
    drop(open(dir.path()));
    let data = dir.path().join("db");
    let length = fs::metadata(&data).expect("its size").len();
    fs::write(&data, vec![0xff; usize::try_from(length).expect("small")]).expect("writes");
    let opened = Sled::open(dir.path(), Sync::Data).and_then(|mut sled| sled.load(&mut |_, _| Ok(())));
    let words = chain(&opened.expect_err("nothing in it makes sense"));
    assert!(words.contains("restore") || words.contains("damaged"), "{words}");
}

#[test]
fn a_draft_of_a_snapshot_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path());
    put(&mut sled, 1, 10);
    sled.sync().expect("syncs");
    let draft = dir.path().join("snap.0000000000000000.generating");
    drop(sled);
    fs::write(&draft, vec![1; 100_000]).expect("writes");
    drop(open(dir.path()));
    assert!(!draft.exists());
}
