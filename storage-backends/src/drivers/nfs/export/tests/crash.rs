//! Death at every effect of an export's life: the next process reaches the same end, and nothing is left over.

use std::{path::Path, sync::Arc};

use super::{driver, request};
use crate::{
    conformance::{name, reference},
    driver::{Driver, Error, Publish, Serving, Stage, Volume, VolumeRef},
    drivers::nfs::NfsDriver,
    host::{
        Host, NfsServer,
        fake::{Content, Fake},
        faulty::{Faulty, Plan},
    },
};

const BASE: &str = "/story";

fn place(name: &str) -> std::path::PathBuf {
    Path::new(BASE).join(name)
}

fn machine() -> Fake {
    let fake = Fake::new(1 << 30);
    fake.create_dir(&place("staged")).unwrap();
    fake.create_dir(&place("pod")).unwrap();
    fake
}

fn on(fake: &Fake) -> NfsDriver {
    driver(&Arc::new(fake.clone()), Arc::new(fake.clone()), Path::new(BASE), "0123abcd")
}

async fn up(driver: &NfsDriver) -> Result<Volume, Error> {
    let volume = driver.create(request(1, 16 << 20)).await?;
    driver.serve(reference(&volume)).await?;
    let (target, device, fs_type) = (place("staged"), None, None);
    driver
        .stage(Stage { volume: reference(&volume), device, target, fs_type, mount_options: vec![] })
        .await?;
    driver.export(reference(&volume), ["10.0.0.2".parse().unwrap()].into()).await?;
    let (staged, target) = (place("staged"), place("pod"));
    driver.publish(Publish { volume: reference(&volume), staged, target, read_only: false }).await?;
    Ok(volume)
}

/// As an agent knows a volume of which nothing but the request was written down.
fn known(driver: &NfsDriver) -> VolumeRef {
    let request = request(1, 16 << 20);
    let attributes = driver.attributes(&request).unwrap();
    VolumeRef { handle: request.name, attributes, deadline: std::time::Duration::from_secs(60) }
}

async fn down(driver: &NfsDriver) -> Result<(), Error> {
    let volume = || known(driver);
    driver.unpublish(volume(), place("pod")).await?;
    driver.unstage(volume(), place("staged")).await?;
    driver.unserve(volume()).await?;
    driver.delete(volume()).await
}

/// A whole life on a machine that dies as planned; answers its effects, and whether it came so far as to write.
async fn live(fake: &Fake, plan: Plan) -> (Vec<&'static str>, bool) {
    let host = Arc::new(Faulty::new(fake.clone(), plan));
    let driver = driver(&host, host.clone(), Path::new(BASE), "0123abcd");
    let mut written = false;
    if up(&driver).await.is_ok() {
        fake.write(&place("pod/kept"), b"data").unwrap();
        written = true;
        let _ = down(&driver).await;
    }
    (host.effects(), written)
}

/// Every way to die, and what it is called.
async fn plans() -> Vec<(String, Plan)> {
    let effects = live(&machine(), Plan::default()).await.0;
    for expected in [
        "write_table",
        "attach_loop",
        "mount",
        "start_nfs_server",
        "stop_nfs_server",
        "unmount",
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

fn check_down(fake: &Fake, case: &str) {
    let left: Vec<_> =
        fake.mounts().unwrap().into_iter().filter(|mount| mount.target.starts_with(BASE)).collect();
    assert_eq!((fake.loops().unwrap(), left), (vec![], vec![]), "{case}: no device, no mount");
    assert_eq!(fake.server().unwrap(), None, "{case}: no server");
    for dir in ["pool", "nfs/volumes"] {
        assert_eq!(fake.list_dir(&place(dir)).unwrap(), Vec::<String>::new(), "{case}: {dir}");
    }
    let table = fake.table().unwrap();
    assert!(table.is_none_or(|table| table.exports.is_empty()), "{case}: no row");
}

#[tokio::test]
async fn after_a_crash_anywhere_the_same_export_comes_up_again() {
    for (case, plan) in plans().await {
        let fake = machine();
        let (_, written) = live(&fake, plan).await;
        let next = on(&fake);
        let volume = up(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let exported = fake.server().unwrap().unwrap().taken.unwrap();
        assert_eq!(exported.shown().count(), 1, "{case}");
        assert_eq!((fake.loops().unwrap().len(), fake.mounts().unwrap().len()), (1, 4), "{case}");
        if written && fake.formatted(&name(1)["pvc-".len()..]) == 1 {
            assert_eq!(fake.read(&place("pod/kept")), Some(Content::Data(b"data".to_vec())), "{case}");
        }
        assert_eq!(volume.attributes["export"], "own");
        down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        check_down(&fake, &case);
        assert_eq!(fake.overwritten(), 0, "{case}: nothing was to be formatted twice");
    }
}

#[tokio::test]
async fn after_a_crash_anywhere_it_can_be_taken_down() {
    for (case, plan) in plans().await {
        let fake = machine();
        live(&fake, plan).await;
        let next = on(&fake);
        down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        check_down(&fake, &case);
    }
}

#[tokio::test]
async fn after_a_crash_anywhere_everything_can_be_put_to_rest() {
    for (case, plan) in plans().await {
        let fake = machine();
        live(&fake, plan).await;
        let next = on(&fake);
        next.unpublish(known(&next), place("pod")).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        next.unstage(known(&next), place("staged")).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        next.rest().await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let left: Vec<_> =
            fake.mounts().unwrap().into_iter().filter(|mount| mount.target.starts_with(BASE)).collect();
        assert_eq!((fake.loops().unwrap(), left, fake.server().unwrap()), (vec![], vec![], None), "{case}");
    }
}
