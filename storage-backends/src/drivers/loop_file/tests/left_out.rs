//! Pools that cannot be used, and devices that do not tell what they hold: what needs them is refused in words, nothing is
//! taken for gone, and everything else goes on.

use std::{path::Path, sync::Arc, time::Duration};

use super::super::{LoopDriver, Node, PoolConfig, PoolError, PoolUse};
use crate::{
    conformance::{name, reference},
    driver::{Code, Create, Driver, Volume},
    host::{Host, MountRequest, fake::Fake},
};

/// The node as it is started: with a pool of its own, and a shared one that is used so.
fn start(fake: &Fake, used: PoolUse, known_id: Option<String>) -> Result<LoopDriver, PoolError> {
    let pool = |name: &str, shared, known_id, used| PoolConfig {
        name: name.into(),
        dir: Path::new("/").join(name),
        shared,
        known_id,
        private: false,
        used,
    };
    let pools = [pool("own", false, None, PoolUse::Wanted), pool("common", true, known_id, used)];
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    LoopDriver::open(&host, &pools, "0123abcd", &Node { name: "n".into(), boot: "b".into() })
}

fn machine() -> Fake {
    let fake = Fake::default();
    for dir in ["/own", "/common"] {
        fake.create_dir(Path::new(dir)).unwrap();
    }
    fake
}

async fn volume(driver: &LoopDriver, number: u32, pool: &str) -> Volume {
    let parameters = [("pool".to_owned(), pool.to_owned())].into();
    let request = Create {
        name: name(number),
        bytes: 64 << 20,
        parameters,
        deadline: Duration::from_secs(60),
        ..Create::default()
    };
    driver.create(request).await.unwrap()
}

/// A node that was stopped with a volume in each pool, the one in the shared pool attached; and that pool's id.
async fn stopped() -> (Fake, [Volume; 2], Option<String>) {
    let fake = machine();
    let driver = start(&fake, PoolUse::Wanted, None).unwrap();
    let volumes = [volume(&driver, 1, "own").await, volume(&driver, 2, "common").await];
    driver.attach(reference(&volumes[1])).await.unwrap();
    (fake, volumes, driver.pool_id("common"))
}

#[tokio::test]
async fn a_retired_pool_that_does_not_open_is_left_out_with_what_is_attached_of_it() {
    let (fake, [own, common], id) = stopped().await;
    // Not mounted: the directory below it is another.
    fake.remove_file(Path::new("/common/.orlop-pool")).unwrap();
    for (used, words) in [
        (PoolUse::Retired, "not the directory that it was"),
        (PoolUse::LeftOut("it does not answer".into()), "it does not answer"),
    ] {
        let driver = start(&fake, used, id.clone()).unwrap();
        assert!(driver.left_out()["common"].contains(words), "{:?}", driver.left_out());
        let error = driver.detach(reference(&common)).await.unwrap_err();
        assert!(error.message.contains(words) && error.message.contains("goes on without"), "{error}");
        assert_eq!(fake.loops().unwrap().len(), 1, "it stays attached");
        driver.attach(reference(&own)).await.unwrap();
        driver.detach(reference(&own)).await.unwrap();
        assert_eq!(driver.pool_id("common"), None);
    }
    let error = start(&fake, PoolUse::Wanted, id).unwrap_err().to_string();
    assert!(error.contains("common"), "one that is wanted must open: {error}");
}

#[tokio::test]
async fn a_device_that_does_not_tell_what_it_holds_is_not_taken_for_none() {
    let (fake, [own, common], id) = stopped().await;
    fake.let_loops_be_silent(Path::new("/common"), true);
    // Its record stays as well.
    let driver = start(&fake, PoolUse::Wanted, id).unwrap();
    for error in [
        driver.attach(reference(&common)).await.unwrap_err(),
        driver.detach(reference(&common)).await.unwrap_err(),
        driver.delete(reference(&common)).await.unwrap_err(),
    ] {
        assert!(error.message.contains("/dev/loop0") && error.message.contains("does not answer"), "{error}");
        assert_ne!(error.code, Code::NotFound);
    }
    driver.attach(reference(&own)).await.unwrap();
    driver.detach(reference(&own)).await.unwrap();
    fake.let_loops_be_silent(Path::new("/common"), false);
    assert_eq!(fake.loops().unwrap().len(), 1, "neither detached nor attached twice");
    driver.detach(reference(&common)).await.unwrap();
    assert_eq!(fake.loops().unwrap(), []);
}

/// Something else is mounted over the pool, as after a mount that went wrong: the volume is not seen, and not gone.
#[tokio::test]
async fn a_volume_that_is_attached_and_out_of_sight_is_not_taken_for_gone() {
    let fake = machine();
    let driver = start(&fake, PoolUse::Wanted, None).unwrap();
    let own = volume(&driver, 1, "own").await;
    driver.attach(reference(&own)).await.unwrap();
    let over = MountRequest::Tmpfs { target: "/own".into(), bytes: None, mode: 0o700 };
    fake.mount(&over).unwrap();
    for error in
        [driver.detach(reference(&own)).await.unwrap_err(), driver.delete(reference(&own)).await.unwrap_err()]
    {
        assert!(error.message.contains("/dev/loop0") && error.message.contains("mount it again"), "{error}");
    }
    fake.unmount(Path::new("/own")).unwrap();
    driver.detach(reference(&own)).await.unwrap();
    driver.delete(reference(&own)).await.unwrap();
}

/// What it promised stays promised where its disk is another pool's as well, and of its own disk nothing is known.
#[tokio::test]
async fn a_pool_that_is_left_out_is_a_neighbour_and_a_disk_that_nobody_knows() {
    let fake = Fake::new(1 << 30);
    for dir in ["/own", "/old"] {
        fake.create_dir(Path::new(dir)).unwrap();
    }
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    let node = Node { name: "n".into(), boot: "b".into() };
    let open = |used| {
        let pool = |name: &str, used| PoolConfig {
            name: name.into(),
            dir: Path::new("/").join(name),
            shared: false,
            known_id: None,
            private: false,
            used,
        };
        LoopDriver::open(&host, &[pool("own", PoolUse::Wanted), pool("old", used)], "0123abcd", &node)
            .unwrap()
    };
    let driver = open(PoolUse::Wanted);
    volume(&driver, 1, "old").await;
    drop(driver);
    // Another agent has it.
    let _held = fake.lock(Path::new("/old/.lock")).unwrap().unwrap();
    let driver = open(PoolUse::Retired);
    assert!(driver.left_out()["old"].contains("in use by another agent"), "{:?}", driver.left_out());
    assert_eq!(driver.capacity().await.unwrap().promised, 64 << 20);
    let disks = driver.disks("/".into()).await;
    let unknown: Vec<_> = disks.iter().filter_map(|disk| Some((disk, disk.room.as_ref().err()?))).collect();
    let [(disk, error)] = unknown[..] else { panic!("{disks:?}") };
    assert!(disk.pools == ["old"] && error.message.contains("in use by another agent"), "{error}");
    fake.remove_tree(Path::new("/old")).unwrap();
    volume(&driver, 2, "own").await;
}
