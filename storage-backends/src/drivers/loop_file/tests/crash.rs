//! Death at every effect of a volume's life: the next process reaches the same end, and nothing is left over.

use std::{path::Path, sync::Arc, time::Duration};

use super::super::LoopDriver;
use crate::{
    conformance::name,
    driver::{Create, Driver, Error, Publish, Stage, VolumeRef},
    host::{
        Host,
        fake::{Content, Fake},
        faulty::{Faulty, Plan},
    },
};

const POOL: &str = "/pool";
const STAGED: &str = "/staged";
const POD: &str = "/pod";
const KEPT: &str = "/pod/kept";

fn volume() -> VolumeRef {
    VolumeRef { handle: name(1), attributes: [].into(), deadline: Duration::from_secs(60) }
}

async fn up(driver: &LoopDriver, read_only: bool) -> Result<(), Error> {
    let create = Create {
        name: name(1),
        bytes: 64 << 20,
        fs_type: None,
        parameters: [("provisioning".to_owned(), "thick".to_owned())].into(),
        deadline: Duration::from_secs(60),
    };
    driver.create(create).await?;
    let device = driver.attach(volume()).await?;
    let stage =
        Stage { volume: volume(), device, target: STAGED.into(), fs_type: None, mount_options: vec![] };
    driver.stage(stage).await?;
    let publish = Publish { volume: volume(), staged: STAGED.into(), target: POD.into(), read_only };
    driver.publish(publish).await
}

async fn down(driver: &LoopDriver) -> Result<(), Error> {
    driver.unpublish(volume(), POD.into()).await?;
    driver.unstage(volume(), STAGED.into()).await?;
    driver.detach(volume()).await?;
    driver.delete(volume()).await
}

fn machine() -> Fake {
    let fake = Fake::new(1 << 30);
    for path in [STAGED, POD] {
        fake.create_dir(Path::new(path)).unwrap();
    }
    fake
}

/// Lives a whole life and writes into the volume between up and down. Answers the effects it had.
async fn live(fake: &Fake, plan: Plan) -> (Vec<&'static str>, bool) {
    let host = Arc::new(Faulty::new(fake.clone(), plan));
    let driver = LoopDriver::new(host.clone(), POOL);
    let mut written = false;
    if up(&driver, false).await.is_ok() {
        fake.write(Path::new(KEPT), b"data").unwrap();
        written = true;
        let _ = down(&driver).await;
    }
    (host.effects(), written)
}

fn check_up(fake: &Fake, case: &str) {
    assert_eq!(fake.loops().unwrap().len(), 1, "{case}: one device");
    assert_eq!(fake.mounts().unwrap().len(), 3, "{case}: root, staged, published");
    assert_eq!(fake.list_dir(Path::new(POOL)).unwrap(), [format!("{}.img", name(1))], "{case}");
    assert_eq!(fake.overwritten(), 0, "{case}: never formatted over something");
}

fn check_down(fake: &Fake, case: &str) {
    assert_eq!(fake.loops().unwrap(), [], "{case}: no device is left");
    assert_eq!(fake.mounts().unwrap().len(), 1, "{case}: no mount is left");
    assert_eq!(fake.list_dir(Path::new(POOL)).unwrap(), Vec::<String>::new(), "{case}: no file is left");
    assert_eq!(fake.overwritten(), 0, "{case}");
}

async fn plans() -> Vec<(String, Plan)> {
    let (effects, _) = live(&machine(), Plan::default()).await;
    for expected in [
        "create_sparse",
        "make_filesystem",
        "rename",
        "attach_loop",
        "mount",
        "unmount",
        "detach_loop",
        "remove_file",
    ] {
        assert!(effects.contains(&expected), "the story has {expected}: {effects:?}");
    }
    let cases = effects.iter().enumerate().flat_map(|(index, effect)| {
        let number = index + 1;
        [
            (format!("before {number} {effect}"), Plan::crash_before(number)),
            (format!("after {number} {effect}"), Plan::crash_after(number)),
        ]
    });
    cases.collect()
}

#[tokio::test]
async fn after_a_crash_anywhere_the_same_volume_comes_up_again() {
    for (case, plan) in plans().await {
        let fake = machine();
        let (effects, written) = live(&fake, plan).await;
        let gone = case.starts_with("after") && effects.last() == Some(&"remove_file");
        let next = LoopDriver::new(Arc::new(fake.clone()), POOL);
        up(&next, false).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        check_up(&fake, &case);
        if written && !gone {
            assert_eq!(fake.read(Path::new(KEPT)), Some(Content::Data(b"data".to_vec())), "{case}");
        }
        down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        check_down(&fake, &case);
    }
}

#[tokio::test]
async fn after_a_crash_anywhere_it_can_be_taken_down() {
    for (case, plan) in plans().await {
        let fake = machine();
        live(&fake, plan).await;
        let next = LoopDriver::new(Arc::new(fake.clone()), POOL);
        down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(next.list().await.unwrap(), []);
        check_down(&fake, &case);
    }
}

#[tokio::test]
async fn after_a_crash_and_a_power_cut_the_same_volume_comes_up_again() {
    for (case, plan) in plans().await {
        let fake = machine();
        live(&fake, plan).await;
        fake.reboot();
        let next = LoopDriver::new(Arc::new(fake.clone()), POOL);
        up(&next, false).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        check_up(&fake, &case);
    }
}

/// Each effect fails once, without a crash: the same process reaches the same ends when it is asked again.
#[tokio::test]
async fn after_a_failure_anywhere_the_same_process_goes_on() {
    let (effects, _) = live(&machine(), Plan::default()).await;
    let mut calls = std::collections::BTreeMap::<&str, usize>::new();
    for effect in effects {
        let before = calls.entry(effect).or_default();
        let case = format!("{effect}: {before}*off, error(EIO)");
        *before += 1;
        let fake = machine();
        let driver = LoopDriver::new(Arc::new(Faulty::new(fake.clone(), case.parse().unwrap())), POOL);
        let mut failures = 0;
        while let Err(error) = up(&driver, false).await {
            failures += 1;
            assert!(failures < 2, "{case}: {error}");
        }
        check_up(&fake, &case);
        while let Err(error) = down(&driver).await {
            failures += 1;
            assert!(failures < 2, "{case}: {error}");
        }
        check_down(&fake, &case);
        assert_eq!(failures, 1, "{case}: the failure is told, once");
    }
}

/// On Linux a read-only bind mount is two system calls: a crash between them leaves a writable one.
#[tokio::test]
async fn a_half_done_read_only_publication_is_done_again() {
    let fake = machine();
    let driver = LoopDriver::new(Arc::new(fake.clone()), POOL);
    up(&driver, false).await.unwrap();
    up(&driver, true).await.unwrap();
    check_up(&fake, "read-only");
    fake.write(Path::new(KEPT), b"data").unwrap_err();
    let error = up(&driver, false).await.unwrap_err();
    assert!(error.message.contains("read-only"), "{error}");
}
