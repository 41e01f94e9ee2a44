//! What a full disk does, on a real one: a tmpfs of the test's own.

#![expect(
    clippy::disallowed_methods,
    reason = "mounts a disk and asks how full it is; the store itself runs no program"
)]

use std::{fs, io::Write, path::Path, process::Command};

use orlop_objects::{Object, kind};
use orlop_store::{Error, Options, Store, UpdateError};
use serde_json::json;

/// A small disk, mounted as long as it lives.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, with the reason printed, where nobody lets us mount one.
    fn mount(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        match mount.args(["-t", "tmpfs", "-o", "size=72m", "tmpfs"]).arg(dir.path()).output() {
            Ok(done) if done.status.success() => return Some(Self(dir)),
            Ok(done) => {
                let _ = Write::write_fmt(
                    &mut std::io::stderr(),
                    format_args!("SKIPPED {test}: mount: {}\n", String::from_utf8_lossy(&done.stderr).trim()),
                );
            }
            Err(e) => {
                let _ =
                    Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED {test}: mount: {e}\n"));
            }
        }
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> Result<Store, Error> {
        Store::open(&self.path().join("store"), Options::default())
    }

    /// Leaves about so many MiB free.
    fn fill_up_to(&self, free: u64) {
        let df =
            Command::new("df").args(["--output=avail", "-B1M"]).arg(self.path()).output().expect("df runs");
        let text = String::from_utf8(df.stdout).expect("text");
        let now: u64 = text.lines().last().and_then(|n| n.trim().parse().ok()).expect("a number");
        let mut file =
            fs::File::options().append(true).create(true).open(self.path().join("fill")).expect("opens");
        let mebibyte = vec![7; 1 << 20];
        let mut left = now.saturating_sub(free);
        while left > 0 && file.write_all(&mebibyte).is_ok() {
            left -= 1;
        }
        while free == 0 && file.write_all(&[7; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

async fn put(store: &Store, n: usize) -> Result<u64, UpdateError<()>> {
    let value =
        json!({"metadata": {"name": format!("c-{n:05}"), "namespace": "n"}, "data": {"x": "x".repeat(6000)}});
    let object = Object::from_value(&kind::CONFIG_MAP, &value).expect("has metadata");
    let done = store.update(move |tx| {
        tx.put(object.clone());
        Ok(())
    });
    done.await.map(|done| done.revision)
}

/// Writes from `first` on until it is refused; answers the first that was.
async fn put_until_refused(store: &Store, first: usize) -> (usize, UpdateError<()>) {
    for n in first..first + 20_000 {
        if let Err(error) = put(store, n).await {
            return (n, error);
        }
    }
    panic!("nothing refused 120 MB on a disk of 72 MiB");
}

fn count(store: &Store) -> usize {
    store.snapshot().list(&kind::CONFIG_MAP, None, None).count()
}

#[tokio::test]
async fn root_a_full_disk_refuses_in_words_and_writes_on_when_there_is_room() {
    let test = "root_a_full_disk_refuses_in_words_and_writes_on_when_there_is_room";
    let Some(disk) = Disk::mount(test) else { return };
    let store = disk.open().expect("opens");
    disk.fill_up_to(20);
    let (refused, error) = put_until_refused(&store, 0).await;
    let words = error.to_string();
    assert!(matches!(error, UpdateError::Store(Error::Full { .. })), "{words}");
    assert!(words.contains("free space there") && words.contains("is full"), "{words}");
    assert!(refused > 500, "the log takes what it can: {refused}");
    assert_eq!((count(&store), store.health().is_ok()), (refused, true));
    // Started again with no room at all: either it serves what there is, or it names the way out.
    disk.fill_up_to(0);
    drop(store);
    match disk.open() {
        Ok(store) => assert_eq!(count(&store), refused),
        Err(error) => {
            let cause = std::error::Error::source(&error).expect("names it").to_string();
            assert!(cause.contains("free space there"), "{cause}");
        }
    }
    fs::remove_file(disk.path().join("fill")).expect("there is room again");
    let store = disk.open().expect("opens");
    assert_eq!(count(&store), refused);
    // It goes on without a new start, too.
    disk.fill_up_to(10);
    let (refused, error) = put_until_refused(&store, refused).await;
    assert!(matches!(error, UpdateError::Store(Error::Full { .. })), "{error}");
    fs::remove_file(disk.path().join("fill")).expect("there is room again");
    for n in refused..refused + 100 {
        put(&store, n).await.expect("there is room");
    }
    assert_eq!(count(&store), refused + 100);
    drop(store);
    assert_eq!(count(&disk.open().expect("opens")), refused + 100);
}
