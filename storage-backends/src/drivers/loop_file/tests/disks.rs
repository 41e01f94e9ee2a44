//! What a node's disks are found to hold.

use std::{path::Path, sync::Arc};

use super::{
    super::Place,
    beside::{node, request},
};
use crate::{
    driver::{Disk, Driver, Room},
    drivers::loop_file::Lookout,
    host::{
        Host,
        fake::Fake,
        faulty::{Faulty, Plan},
    },
};

const GIB: u64 = 1 << 30;

fn of<'a>(disks: &'a [Disk], pool: &str) -> (&'a Disk, Room) {
    let disk = disks.iter().find(|disk| disk.pools.iter().any(|name| name == pool)).unwrap();
    (disk, *disk.room.as_ref().unwrap())
}

/// A full small disk does not hide behind an empty large one.
#[tokio::test]
async fn each_disk_tells_of_its_own_pools() {
    let fake = Fake::new(20 * GIB);
    let driver = node(&fake);
    for (number, pool, gib) in [(1, "default", 5), (2, "fast", 6), (3, "apart", 3)] {
        driver.create(request(number, pool, gib)).await.unwrap();
    }
    fake.create_sparse(Path::new("/c/filler"), 2 * GIB).unwrap();
    fake.allocate(Path::new("/c/filler"), 2 * GIB).unwrap();
    let disks = driver.disks("/".into()).await;
    assert_eq!(disks.len(), 2);
    let (large, room) = of(&disks, "fast");
    assert_eq!((large.pools.as_slice(), large.own), (&["default".to_owned(), "fast".to_owned()][..], true));
    assert_eq!((room.promised, room.total), (11 * GIB, 20 * GIB));
    assert!(room.free < room.total, "what volumes occupy is theirs");
    let (small, room) = of(&disks, "apart");
    assert_eq!((small.pools.len(), small.own, room.promised, room.total), (1, false, 3 * GIB, 2 * GIB));
}

/// Whoever has the pools, they can be looked at, and nothing is changed by it.
#[test]
fn a_look_needs_no_driver_and_a_failure_is_its_own_places() {
    let fake = Fake::new(20 * GIB);
    fake.create_dir(Path::new("/a")).unwrap();
    let half = Path::new("/a/pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77.making");
    fake.create_sparse(half, 3 * GIB).unwrap();
    let place = |pool: &str, dir: &str| Place { pool: Some(pool.to_owned()), dir: dir.into() };
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    let disks = Lookout::default().look(&host, vec![place("a", "/a"), place("gone", "/gone")]);
    assert_eq!(of(&disks, "a").1, Room { promised: 3 * GIB, total: 20 * GIB, free: 20 * GIB });
    let why = disks[1].room.as_ref().unwrap_err().to_string();
    assert!(disks[1].pools == ["gone"] && why.contains("/gone: it does not exist; create it"), "{why}");
    assert!(fake.file(half).unwrap().is_some());

    let broken: Arc<dyn Host> = Arc::new(Faulty::new(fake, "list_dir: error(EIO)".parse::<Plan>().unwrap()));
    let own = Place { pool: None, dir: "/".into() };
    let disks = Lookout::default().look(&broken, vec![place("a", "/a"), own]);
    let told = |disk: &Disk| (disk.own, disk.pools.len(), disk.room.is_ok());
    assert_eq!(disks.iter().map(told).collect::<Vec<_>>(), [(true, 0, true), (false, 1, false)]);
}
