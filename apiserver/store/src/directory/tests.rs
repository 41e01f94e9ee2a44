//! The table, row for row.

use std::{fs, path::Path};

use crate::{Options, Store, error::chain, files::Files};

fn open(path: &Path) -> Result<Store, String> {
    Store::open(path, Options::default()).map_err(|e| chain(&e))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("writes");
}

fn refused(path: &Path, words: &str) {
    let said = open(path).expect_err("refused");
    assert!(said.contains(words), "{said}");
    assert!(said.contains(&path.display().to_string()), "names the directory: {said}");
}

fn format(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path.join("FORMAT")).expect("is there")).expect("is JSON")
}

#[test]
fn the_table() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = &dir.path().join("deeper").join("store");

    // Missing, nothing foreign: created, and the same cluster ever after.
    let cluster = open(path).expect("creates").cluster();
    assert_eq!(format(path)["format"], 1);
    assert_eq!(format(path)["cluster"], cluster.to_string());
    assert_eq!(open(path).expect("opens").cluster(), cluster);

    // Names one that is there, and others are: these go.
    fs::create_dir(path.join("sled-7")).expect("makes");
    open(path).expect("opens");
    assert!(!path.join("sled-7").exists() && path.join("sled-1").exists());

    // Newer, then unreadable.
    let good = fs::read_to_string(path.join("FORMAT")).expect("is there");
    write(&path.join("FORMAT"), r#"{"format": 2}"#);
    refused(path, "written by a newer Orlop (format 2; this one reads up to 1): start that newer Orlop");
    write(&path.join("FORMAT"), &good[..good.len() / 2]);
    refused(path, "its FORMAT file cannot be read");

    // Names one that is missing.
    write(&path.join("FORMAT"), &good.replace("sled-1", "sled-2"));
    fs::rename(path.join("sled-1"), dir.path().join("aside")).expect("renames");
    refused(path, "its engine directory sled-2 is missing");

    // Missing, but one with data is there.
    fs::rename(dir.path().join("aside"), path.join("sled-1")).expect("renames");
    fs::remove_file(path.join("FORMAT")).expect("removes");
    write(&path.join("sled-1").join("db"), &"x".repeat(100_000));
    refused(path, "sled-1 holds data, but the FORMAT file beside it is missing");

    // Missing, and foreign files are there.
    let foreign = tempfile::tempdir().expect("a directory");
    write(&foreign.path().join("letter.txt"), "dear");
    refused(foreign.path(), "it is not empty and not a store (letter.txt is in it)");
    assert!(foreign.path().join("letter.txt").exists());
}

#[test]
fn a_creation_that_was_cut_off_anywhere_is_begun_again() {
    let whole = tempfile::tempdir().expect("a directory");
    drop(Files::open(whole.path(), &Options::default()).expect("creates"));
    let files = ["sled-1/conf", "sled-1/db", "sled-1/blobs", "sled-1/wal", "FORMAT.new"];
    for cut in 0..=files.len() {
        for torn in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            fs::create_dir(dir.path().join("sled-1")).expect("makes");
            for (n, file) in files[..cut].iter().enumerate() {
                let (from, to) = (whole.path().join(file.replace(".new", "")), dir.path().join(file));
                if from.is_dir() {
                    fs::create_dir(&to).expect("makes");
                    continue;
                }
                let bytes = fs::read(from).expect("is there");
                let kept = if torn && n + 1 == cut { bytes.len() / 2 } else { bytes.len() };
                fs::write(&to, &bytes[..kept]).expect("writes");
            }
            open(dir.path()).unwrap_or_else(|e| panic!("{cut} {torn}: {e}"));
            open(dir.path()).unwrap_or_else(|e| panic!("{cut} {torn}, again: {e}"));
        }
    }
}

#[test]
fn a_directory_in_use_is_refused_with_the_pid() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).expect("creates");
    refused(dir.path(), &format!("another process (pid {}) is using it", std::process::id()));
    drop(store);
    open(dir.path()).expect("free again");
}

#[test]
fn another_schema_is_noticed_until_it_is_adopted() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |schema: &str| {
        let options = Options { schema: schema.to_owned(), ..Options::default() };
        Store::open(dir.path(), options).expect("opens")
    };
    assert!(!open("one").schema_changed());
    assert!(open("two").schema_changed());
    let store = open("two");
    store.adopt_schema().expect("writes");
    assert!(!store.schema_changed());
    drop(store);
    assert!(!open("two").schema_changed());
}
