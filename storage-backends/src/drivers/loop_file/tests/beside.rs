//! Two local pools on one disk promise it once.

use std::{path::Path, sync::Arc, time::Duration};

use super::super::{LoopDriver, Node, PoolConfig, PoolUse};
use crate::{
    conformance::name,
    driver::{Code, Create, Driver},
    host::{Host, MountRequest, fake::Fake},
};

const GIB: u64 = 1 << 30;

/// A node with two pools on its disk of 20 GiB, and one on another of 4 GiB.
fn node(fake: &Fake) -> LoopDriver {
    let pool = |(name, dir): (&str, &str)| {
        fake.create_dir(Path::new(dir)).unwrap();
        let (name, dir, shared) = (name.to_owned(), dir.into(), false);
        PoolConfig { name, dir, shared, known_id: None, private: false, used: PoolUse::Wanted }
    };
    let pools = [("default", "/a"), ("fast", "/b"), ("apart", "/c")].map(pool);
    let disk = MountRequest::Tmpfs { target: "/c".into(), bytes: Some(4 * GIB), mode: 0o700 };
    fake.mount(&disk).unwrap();
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    let node = Node { name: "n".into(), boot: "b".into() };
    LoopDriver::open(&host, &pools, "0123abcd", &node).unwrap()
}

fn request(number: u32, pool: &str, gib: u64) -> Create {
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
