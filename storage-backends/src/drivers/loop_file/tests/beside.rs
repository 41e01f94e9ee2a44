//! Two local pools on one disk promise it once.

use std::{path::Path, sync::Arc, time::Duration};

use super::super::{LoopDriver, Node, PoolConfig, PoolUse};
use crate::{
    conformance::name,
    driver::{Code, Create, Driver},
    host::{
        Host, MountRequest,
        fake::Fake,
        linux::{
            Linux,
            scratch::{Scratch, can_run},
        },
    },
};

const GIB: u64 = 1 << 30;

/// A driver of local pools in directories that are there.
pub(super) fn open(host: &Arc<dyn Host>, pools: &[(&str, &Path)]) -> LoopDriver {
    let pool = |(name, dir): &(&str, &Path)| {
        let (name, dir, shared) = ((*name).to_owned(), (*dir).to_owned(), false);
        PoolConfig { name, dir, shared, known_id: None, private: false, used: PoolUse::Wanted }
    };
    let pools: Vec<PoolConfig> = pools.iter().map(pool).collect();
    let node = Node { name: "n".into(), boot: "b".into() };
    LoopDriver::open(host, &pools, "0123abcd", &node).unwrap()
}

/// A node with two pools on its disk of 20 GiB, and one on another of 4 GiB.
pub(super) fn node(fake: &Fake) -> LoopDriver {
    let pools =
        [("default", "/a"), ("fast", "/b"), ("apart", "/c")].map(|(name, dir)| (name, Path::new(dir)));
    for (_, dir) in pools {
        fake.create_dir(dir).unwrap();
    }
    let disk = MountRequest::Tmpfs { target: "/c".into(), bytes: Some(4 * GIB), mode: 0o700 };
    fake.mount(&disk).unwrap();
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    open(&host, &pools)
}

pub(super) fn request(number: u32, pool: &str, gib: u64) -> Create {
    Create {
        name: name(number),
        bytes: gib * GIB,
        parameters: [("pool".to_owned(), pool.to_owned())].into(),
        deadline: Duration::from_secs(60),
        ..Create::default()
    }
}

#[tokio::test]
async fn one_disk_is_promised_once() {
    let driver = node(&Fake::new(20 * GIB));
    driver.create(request(1, "default", 12)).await.unwrap();
    let error = driver.create(request(2, "fast", 12)).await.unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted);
    assert!(error.message.contains("in common with pool default on the same disk"), "{error}");
    driver.create(request(2, "fast", 7)).await.unwrap();
    driver.create(request(3, "default", 7)).await.expect_err("the other way round as well");
    driver.create(request(4, "apart", 3)).await.expect("another disk is another disk");
    let capacity = driver.capacity().await.unwrap();
    assert_eq!(capacity.promised, 22 * GIB);
    assert!(capacity.total <= 24 * GIB && capacity.available <= 2 * GIB, "{capacity:?}");
}

/// What one pool is making, the other one sees before there is a file.
#[tokio::test]
async fn volumes_made_at_once_in_both_fit_together() {
    let driver = node(&Fake::new(20 * GIB));
    let made = (1..=8u32).map(|number| {
        let (driver, pool) = (driver.clone(), ["default", "fast"][number as usize % 2]);
        tokio::spawn(async move { driver.create(request(number, pool, 6)).await })
    });
    let outcomes = futures::future::join_all(made).await;
    assert_eq!(outcomes.into_iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count(), 3);
}

/// Of a file system with subvolumes each says that it is a device of its own.
#[tokio::test]
async fn subvolumes_of_one_file_system_are_one_disk() {
    let fake = Fake::new(20 * GIB);
    for dir in ["/a", "/b"] {
        fake.create_subvolume(Path::new(dir)).unwrap();
    }
    let device = |dir: &str| fake.file(Path::new(dir)).unwrap().unwrap().id.device;
    assert_ne!(device("/a"), device("/b"));
    let driver = node(&fake);
    driver.create(request(1, "default", 12)).await.unwrap();
    let error = driver.create(request(2, "fast", 12)).await.unwrap_err();
    assert!(error.message.contains("in common with pool default on the same disk"), "{error}");
    assert_eq!(driver.capacity().await.unwrap().total, 24 * GIB, "20 and 4");
}

/// The same on the real kernel, with a bind mount beside them.
#[tokio::test]
async fn root_loop_pools_in_two_subvolumes_of_btrfs_promise_one_disk() {
    const TEST: &str = "root_loop_pools_in_two_subvolumes_of_btrfs_promise_one_disk";
    if !can_run(TEST) {
        return;
    }
    let scratch = Scratch::new();
    let Some(btrfs) = scratch.btrfs(TEST, 256 << 20, &["a", "b"]) else { return };
    let bound = scratch.path().join("bound");
    Linux.create_dir(&btrfs.join("c")).unwrap();
    Linux.create_dir(&bound).unwrap();
    let bind = MountRequest::Bind { source: btrfs.join("c"), target: bound.clone(), read_only: false };
    Linux.mount(&bind).unwrap();
    let (a, b, outside) = (btrfs.join("a"), btrfs.join("b"), scratch.path());
    let device = |dir: &Path| Linux.file(dir).unwrap().unwrap().id.device;
    assert_ne!(device(&a), device(&b), "what this is about");
    let file_system = |dir: &Path| Linux.file_system(dir).unwrap().unwrap();
    let of_all = [&a, &b, &bound].map(|dir| file_system(dir));
    assert_eq!(of_all, [file_system(&btrfs); 3]);
    assert_ne!(file_system(outside), of_all[0]);
    assert_eq!(Linux.file_system(&outside.join("missing")).unwrap(), None);

    let host: Arc<dyn Host> = Arc::new(Linux);
    let driver = open(&host, &[("default", &a), ("fast", &b), ("bound", &bound)]);
    let request = |number, pool| {
        let name = format!("pvc-{}", uuid::Uuid::new_v4());
        Create { name, bytes: 120 << 20, ..request(number, pool, 0) }
    };
    driver.create(request(1, "default")).await.unwrap();
    for pool in ["fast", "bound"] {
        let error = driver.create(request(2, pool)).await.unwrap_err();
        assert_eq!(error.code, Code::ResourceExhausted, "{error}");
        assert!(error.message.contains("in common with pools"), "{error}");
    }
}
