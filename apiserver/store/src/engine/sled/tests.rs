//! The traps, one by one.

use std::{fs, path::Path, sync::Arc};

use super::Sled;
use crate::{
    Options,
    engine::{Engine, Op},
    files::Files,
};

fn open(path: &Path, options: &Options) -> Sled {
    let files = Arc::new(Files::open(path, options).expect("opens"));
    let mut sled = Sled::open(files, options).expect("opens");
    sled.load(&mut |_, _| Ok(())).expect("loads");
    sled
}

fn put(sled: &mut Sled, key: usize, size: usize) {
    sled.apply(vec![Op {
        key: format!("o/{key:05}"),
        value: Some(vec![7; size]),
    }])
    .expect("writes");
}

fn blobs(sled: &Sled) -> usize {
    fs::read_dir(sled.database.path.join("blobs"))
        .expect("sled makes it")
        .count()
}

#[test]
fn no_page_ever_becomes_a_file_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path(), &Options::default());
    // Full leaves of the largest pieces, filled in one direction, then rewritten in another, then thinned out.
    for round in 0..3 {
        for key in 0..150 {
            put(&mut sled, (key * 7 + round) % 150, (64 << 10) - round);
        }
        sled.sync().expect("syncs");
        assert_eq!(blobs(&sled), 0, "round {round}");
    }
    for key in (0..150).filter(|key| key % 5 != 0) {
        sled.apply(vec![Op {
            key: format!("o/{key:05}"),
            value: None,
        }])
        .expect("writes");
    }
    put(&mut sled, 1000, 1 << 20);
    put(&mut sled, 3, 500_000);
    sled.sync().expect("syncs");
    assert_eq!(blobs(&sled), 0);
}

#[test]
fn space_is_given_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options {
        compact_above: 16 << 20,
        ..Options::default()
    };
    let mut sled = open(dir.path(), &options);
    for n in 0..1000 {
        put(&mut sled, n % 10, 50_000);
        sled.sync().expect("syncs");
        let size = sled.database.size().expect("its size");
        assert!(
            size <= (16 << 20) + (8 << 20),
            "{size} bytes for 500 kB of values"
        );
    }
    drop(sled);
    let engines = fs::read_dir(dir.path())
        .expect("reads")
        .filter_map(|e| e.ok()?.file_name().into_string().ok());
    let engines: Vec<_> = engines.filter(|name| name.starts_with("sled-")).collect();
    assert!(engines.len() == 1 && engines[0] != "sled-1", "{engines:?}");
    let mut keys = Vec::new();
    let mut sled = open(dir.path(), &options);
    let loaded = sled.load(&mut |key, value| {
        keys.push((key.to_owned(), value.len()));
        Ok(())
    });
    loaded.expect("loads");
    assert_eq!(
        keys,
        (0..10).map(|n| (format!("o/{n:05}"), 50_000)).collect::<Vec<_>>()
    );
}

#[test]
fn a_damaged_file_is_an_error_in_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path(), &Options::default());
    for key in 0..200 {
        put(&mut sled, key, 2000);
    }
    sled.sync().expect("syncs");
    let path = sled.database.path.clone();
    drop(sled);
    // The first open writes a snapshot, which the damage then contradicts.
    drop(open(dir.path(), &Options::default()));
    let data = path.join("db");
    let length = fs::metadata(&data).expect("its size").len();
    fs::write(&data, vec![0xff; usize::try_from(length).expect("small")]).expect("writes");
    let files = Arc::new(Files::open(dir.path(), &Options::default()).expect("the directory is sound"));
    let opened = Sled::open(files, &Options::default()).and_then(|mut sled| sled.load(&mut |_, _| Ok(())));
    let words = opened.expect_err("nothing in it makes sense").to_string();
    assert!(words.contains("restore") || words.contains("damaged"), "{words}");
}

#[test]
fn a_draft_of_a_snapshot_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sled = open(dir.path(), &Options::default());
    put(&mut sled, 1, 10);
    sled.sync().expect("syncs");
    let draft = sled.database.path.join("snap.0000000000000000.generating");
    drop(sled);
    fs::write(&draft, vec![1; 100_000]).expect("writes");
    drop(open(dir.path(), &Options::default()));
    assert!(!draft.exists());
}
