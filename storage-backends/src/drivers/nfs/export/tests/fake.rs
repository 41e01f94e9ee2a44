//! Conformance on the fake machine, and what only a machine that can be bent shows.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{driver, driver_by, driver_of_pools, request};
use crate::{
    conformance::{self, Stand, reference},
    driver::{Code, Driver, Reach, Served, Serving, Volume, VolumeRef},
    drivers::nfs::{NfsDriver, export::patience::Patience},
    host::{
        Host, NfsServer,
        fake::{Content, Fake},
    },
};

thread_local! {
    /// The machine of the stand in use: a stand holds it behind `dyn Host`, which cannot write files.
    static MACHINE: std::cell::RefCell<Fake> = std::cell::RefCell::new(Fake::default());
}

fn write(_: &Stand, path: &Path, data: &[u8]) -> io::Result<()> {
    MACHINE.with_borrow(|fake| fake.write(path, data)).map_err(io::Error::other)
}

fn read(_: &Stand, path: &Path) -> io::Result<Vec<u8>> {
    match MACHINE.with_borrow(|fake| fake.read(path)) {
        Some(Content::Data(data)) => Ok(data),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

fn machine() -> Fake {
    let fake = Fake::new(20 << 30);
    fake.create_dir(Path::new("/scratch")).unwrap();
    fake
}

fn own(fake: &Fake) -> NfsDriver {
    driver(&Arc::new(fake.clone()), Arc::new(fake.clone()), Path::new("/scratch"), "0123abcd")
}

#[tokio::test]
async fn conformance_on_the_fake_machine() {
    conformance::check(|_| {
        let fake = machine();
        MACHINE.set(fake.clone());
        super::stand(&Arc::new(fake.clone()), own(&fake), Path::new("/scratch"), 64 << 20, (write, read))
    })
    .await;
}

fn clients(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

async fn made(driver: &NfsDriver, number: u32) -> Volume {
    driver.create(request(number, 64 << 20)).await.unwrap()
}

async fn served(driver: &NfsDriver, volume: &Volume, to: &[&str]) -> Served {
    driver.look(reference(volume), clients(to)).await.unwrap()
}

/// What the server exports, to whom.
fn exported(fake: &Fake) -> Vec<(String, BTreeSet<IpAddr>)> {
    let Some(server) = fake.server().unwrap() else { return Vec::new() };
    server.taken.unwrap().shown().map(|export| (export.name(), export.clients.clone())).collect()
}

#[tokio::test]
async fn a_volume_says_where_it_is_and_is_exported_to_its_clients_alone() {
    let fake = machine();
    let driver = own(&fake);
    let volume = made(&driver, 1).await;
    let port = volume.attributes["port"].clone();
    assert_eq!(volume.attributes["path"], format!("/{}", volume.handle));
    assert_eq!((volume.attributes["export"].as_str(), volume.attributes["node"].as_str()), ("own", "here"));
    assert_eq!(served(&driver, &volume, &[]).await, Served::default());
    driver.export(reference(&volume), clients(&[])).await.expect_err("what is not mounted is not exported");
    driver.serve(reference(&volume)).await.unwrap();
    driver.serve(reference(&volume)).await.unwrap();
    let up = Served { up: true, exported: false, touched: true };
    assert_eq!(served(&driver, &volume, &[]).await, up);
    driver.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
    assert_eq!(exported(&fake), [(volume.handle.clone(), clients(&["10.0.0.2"]))]);
    assert!(served(&driver, &volume, &["10.0.0.2"]).await.exported);
    assert!(!served(&driver, &volume, &["10.0.0.3"]).await.exported);
    driver.export(reference(&volume), clients(&["10.0.0.3"])).await.unwrap();
    assert_eq!(exported(&fake), [(volume.handle.clone(), clients(&["10.0.0.3"]))]);
    assert_eq!(fake.nfs_server_starts(), 1, "without a restart");
    let other = made(&driver, 2).await;
    assert_eq!(other.attributes["port"], port, "one port for all");
}

#[tokio::test]
async fn an_adopted_server_keeps_what_it_exports_while_volumes_come_back_one_by_one() {
    let fake = machine();
    let first = own(&fake);
    let mut volumes = Vec::new();
    for number in 1..=3 {
        let volume = made(&first, number).await;
        first.serve(reference(&volume)).await.unwrap();
        first.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
        volumes.push(volume);
    }
    let next = own(&fake);
    assert_eq!(next.served().await.unwrap().len(), 3);
    next.serve(reference(&volumes[0])).await.unwrap();
    next.export(reference(&volumes[0]), clients(&["10.0.0.2", "10.0.0.3"])).await.unwrap();
    assert_eq!(exported(&fake).len(), 3, "no client lost its files");
    assert_eq!(fake.nfs_server_starts(), 1);
}

/// What the server is told changes with Orlop, also while the table stays as it is and the server runs.
#[tokio::test]
async fn a_table_in_the_words_of_another_version_is_written_anew() {
    for reboots in [false, true] {
        let fake = machine();
        let first = own(&fake);
        let volume = made(&first, 1).await;
        first.serve(reference(&volume)).await.unwrap();
        first.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
        let table = fake.table().unwrap().unwrap();
        fake.age_nfs_table();
        if reboots {
            fake.reboot();
        }
        let next = own(&fake);
        next.serve(reference(&volume)).await.unwrap();
        assert!(!fake.is_written(&table).unwrap());
        next.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
        assert!(fake.is_written(&table).unwrap(), "the same table in the words of this one");
        assert_eq!(exported(&fake).len(), 1);
    }
}

#[tokio::test]
async fn after_a_reboot_nothing_is_exported_before_all_is_mounted() {
    let fake = machine();
    let first = own(&fake);
    let mut volumes = Vec::new();
    for number in 1..=3 {
        let volume = made(&first, number).await;
        first.serve(reference(&volume)).await.unwrap();
        first.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
        volumes.push(volume);
    }
    fake.reboot();
    let next = own(&fake);
    for volume in &volumes[..2] {
        next.serve(reference(volume)).await.unwrap();
        let error = next.export(reference(volume), clients(&["10.0.0.2"])).await.unwrap_err();
        assert!(error.code == Code::Aborted && error.message.contains(&volumes[2].handle), "{error}");
        assert_eq!(fake.server().unwrap(), None);
    }
    next.serve(reference(&volumes[2])).await.unwrap();
    next.export(reference(&volumes[2]), clients(&["10.0.0.2"])).await.unwrap();
    assert_eq!(exported(&fake).len(), 3);
    assert!(served(&next, &volumes[0], &["10.0.0.2"]).await.exported, "with the last one all are");
}

#[tokio::test]
async fn a_damaged_volume_does_not_keep_the_others_from_being_exported() {
    let fake = machine();
    let first = own(&fake);
    let (sound, damaged) = (made(&first, 1).await, made(&first, 2).await);
    for volume in [&sound, &damaged] {
        first.serve(reference(volume)).await.unwrap();
        first.export(reference(volume), clients(&["10.0.0.2"])).await.unwrap();
    }
    fake.reboot();
    let file = format!("/scratch/pool/{}.img", damaged.handle);
    fake.remove_file(Path::new(&file)).unwrap();
    fake.create_sparse(Path::new(&file), damaged.bytes).unwrap();
    let next = own(&fake);
    next.serve(reference(&sound)).await.unwrap();
    next.export(reference(&sound), clients(&["10.0.0.2"])).await.expect_err("the other is not there yet");
    let error = next.serve(reference(&damaged)).await.unwrap_err();
    assert!(error.message.contains("blank now"), "{error}");
    next.export(reference(&sound), clients(&["10.0.0.2"])).await.unwrap();
    assert_eq!(exported(&fake).len(), 1);
    assert_eq!(fake.overwritten(), 0);
}

/// What keeps a volume from being mounted for a while, and how it comes to an end.
struct Obstacle {
    begin: fn(&Fake, &Path),
    end: fn(&Fake, &Path),
    code: Code,
}

const OBSTACLES: [Obstacle; 2] = [
    // Somebody else has the file attached.
    Obstacle {
        begin: |fake, file| drop(fake.attach_loop(file, true).unwrap()),
        end: |fake, _| {
            for other in fake.loops().unwrap().into_iter().filter(|device| device.read_only) {
                fake.detach_loop(&other.device).unwrap();
            }
        },
        code: Code::FailedPrecondition,
    },
    // The disk that it is on is not mounted yet.
    Obstacle {
        begin: |fake, file| fake.rename(file, &file.with_extension("away")).unwrap(),
        end: |fake, file| fake.rename(&file.with_extension("away"), file).unwrap(),
        code: Code::NotFound,
    },
];

/// Its clients are told that their files are gone when the server starts without it.
#[tokio::test]
async fn a_volume_that_cannot_be_mounted_for_a_moment_is_waited_for() {
    let fake = machine();
    let first = own(&fake);
    let (sound, slow) = (made(&first, 1).await, made(&first, 2).await);
    let to = || clients(&["10.0.0.2"]);
    for volume in [&sound, &slow] {
        first.serve(reference(volume)).await.unwrap();
        first.export(reference(volume), to()).await.unwrap();
    }
    let file = PathBuf::from(format!("/scratch/pool/{}.img", slow.handle));
    for (obstacle, seconds) in OBSTACLES.iter().flat_map(|obstacle| [(obstacle, 59), (obstacle, 60)]) {
        fake.reboot();
        (obstacle.begin)(&fake, &file);
        let now = Arc::new(Mutex::new(Instant::now()));
        let read = now.clone();
        let patience = Patience::by(Arc::new(move || *read.lock().unwrap()));
        let host: Arc<dyn Host> = Arc::new(fake.clone());
        let next = driver_by(patience, &host, Arc::new(fake.clone()), Path::new("/scratch"));
        next.serve(reference(&sound)).await.unwrap();
        let error = next.serve(reference(&slow)).await.unwrap_err();
        assert_eq!(error.code, obstacle.code, "{error}");
        next.export(reference(&sound), to()).await.expect_err("the other has its minute");
        *now.lock().unwrap() += Duration::from_secs(seconds);
        next.serve(reference(&slow)).await.expect_err("it is in the way still");
        let started = next.export(reference(&sound), to()).await;
        assert_eq!(started.is_ok(), seconds == 60, "{started:?}");
        (obstacle.end)(&fake, &file);
        next.serve(reference(&slow)).await.unwrap();
        next.export(reference(&slow), to()).await.unwrap();
        assert_eq!(exported(&fake).len(), 2, "when it comes, it is exported like the others");
    }
}

#[tokio::test]
async fn without_the_server_pods_of_this_node_work_and_the_packages_are_named() {
    let fake = machine();
    fake.remove_nfs_server();
    let driver = own(&fake);
    let (volume, other) = (made(&driver, 1).await, made(&driver, 2).await);
    for volume in [&volume, &other] {
        driver.serve(reference(volume)).await.unwrap();
        let error = driver.export(reference(volume), clients(&[])).await.unwrap_err();
        assert!(error.message.contains("install the package nfs-ganesha and nfs-ganesha-vfs"), "{error}");
    }
    driver.delete(reference(&volume)).await.expect("a server that is missing exports nothing");
    driver.delete(reference(&other)).await.unwrap();
    assert_eq!((fake.loops().unwrap().len(), driver.list().await.unwrap()), (0, vec![]));
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_with_all_exports() {
    let fake = machine();
    let driver = own(&fake);
    let volume = made(&driver, 1).await;
    driver.serve(reference(&volume)).await.unwrap();
    driver.export(reference(&volume), clients(&[])).await.unwrap();
    assert!(!driver.server_ends(Duration::ZERO).await.unwrap());
    fake.kill_nfs_server();
    assert!(!served(&driver, &volume, &[]).await.exported);
    driver.export(reference(&volume), clients(&[])).await.unwrap();
    assert_eq!((fake.nfs_server_starts(), exported(&fake).len()), (2, 1));
    fake.kill_nfs_server();
    let error = driver.export(reference(&volume), clients(&[])).await.unwrap_err();
    assert!(error.code == Code::Aborted && error.message.contains("again and again"), "{error}");
}

#[tokio::test]
async fn rest_takes_everything_down_and_the_same_comes_up_again() {
    let fake = machine();
    let driver = own(&fake);
    let volume = made(&driver, 1).await;
    driver.serve(reference(&volume)).await.unwrap();
    driver.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
    let table = fake.table().unwrap();
    driver.rest().await.unwrap();
    assert_eq!(
        (fake.server().unwrap(), fake.loops().unwrap().len(), fake.mounts().unwrap().len()),
        (None, 0, 1)
    );
    assert_eq!(fake.table().unwrap(), table, "who had it has it again");
    let next = own(&fake);
    next.serve(reference(&volume)).await.unwrap();
    next.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
    assert_eq!(exported(&fake).len(), 1);
    next.delete(reference(&volume)).await.unwrap();
    assert_eq!(fake.server().unwrap(), None, "a server without exports is not needed");
}

#[tokio::test]
async fn an_address_or_a_port_that_changed_is_said() {
    let fake = machine();
    let driver = own(&fake);
    let volume = made(&driver, 1).await;
    driver.serve(reference(&volume)).await.unwrap();
    for (attribute, value, words) in
        [("server", "10.9.9.9", "--address 10.9.9.9"), ("port", "1", "table of exports")]
    {
        let mut changed = reference(&volume);
        changed.attributes.insert(attribute.into(), value.into());
        let error = driver.export(changed, clients(&[])).await.unwrap_err();
        assert!(error.code == Code::FailedPrecondition && error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn what_another_node_keeps_is_neither_served_nor_removed_here() {
    let fake = machine();
    let driver = own(&fake);
    let mut volume = made(&driver, 1).await;
    volume.attributes.insert("node".into(), "there".into());
    assert!(!driver.serves(&reference(&volume)));
    driver.serve(reference(&volume)).await.expect_err("not here");
    let error = driver.delete(reference(&volume)).await.unwrap_err();
    assert!(error.message.contains("node there"), "{error}");
}

/// A local pool, and one that other nodes see as well; in each a whole life.
#[tokio::test]
async fn a_volume_can_lie_in_any_pool() {
    let fake = machine();
    for (number, pool) in [(1, "fast"), (2, "common")] {
        let first = driver_of_pools(&fake, &["fast", "common"], "0123abcd");
        let mut asked = request(number, 64 << 20);
        asked.parameters.insert("pool".into(), pool.into());
        asked.claim.access_modes = vec!["ReadWriteMany".into()];
        let unborn = first.attributes(&asked).unwrap();
        let volume = first.create(asked.clone()).await.unwrap();
        assert_eq!(volume.handle, asked.name, "the pool is no part of its name");
        assert_eq!((&*volume.attributes["pool"], &*unborn["pool"]), (pool, pool));
        assert_eq!(volume.reach, Reach::Everywhere);
        let file = format!("/pools/{pool}/{}.img", volume.handle);
        assert!(fake.file(Path::new(&file)).unwrap().is_some());
        first.serve(reference(&volume)).await.unwrap();
        first.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
        first.rest().await.unwrap();
        drop(first);
        // Another life finds it by its record alone.
        let next = driver_of_pools(&fake, &["fast", "common"], "0123abcd");
        assert_eq!(next.list().await.unwrap(), vec![volume.clone()]);
        next.serve(reference(&volume)).await.unwrap();
        next.export(reference(&volume), clients(&["10.0.0.2"])).await.unwrap();
        let forgotten = VolumeRef { attributes: [].into(), ..reference(&volume) };
        next.unserve(forgotten).await.unwrap();
        assert_eq!(fake.loops().unwrap().len(), 0);
        next.delete(reference(&volume)).await.unwrap();
        assert!(fake.file(Path::new(&file)).unwrap().is_none());
        // Made, and forgotten before it had a record.
        let gone = VolumeRef { attributes: unborn, ..reference(&volume) };
        next.delete(gone).await.unwrap();
        assert_eq!(next.list().await.unwrap(), vec![]);
    }
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_refused_as_for_loop_files() {
    let fake = machine();
    let driver = driver_of_pools(&fake, &["fast", "common"], "0123abcd");
    let mut asked = request(1, 64 << 20);
    let error = driver.create(asked.clone()).await.unwrap_err();
    assert!(error.message.contains("the class names no pool, and this node has several"), "{error}");
    asked.parameters.insert("pool".into(), "slow".into());
    let error = driver.create(asked.clone()).await.unwrap_err();
    let words = "parameter pool \"slow\": this node has no such pool; it has common, fast";
    assert!(error.code == Code::InvalidArgument && error.message.contains(words), "{error}");
    // The only pool there is needs no name.
    let only = machine();
    let driver = driver_of_pools(&only, &["common"], "0123abcd");
    asked.parameters.clear();
    let volume = driver.create(asked).await.unwrap();
    driver.serve(reference(&volume)).await.unwrap();
    driver.delete(reference(&volume)).await.unwrap();
    assert_eq!(only.loops().unwrap().len(), 0);
}

#[tokio::test]
async fn a_node_says_whether_it_can_export() {
    let fake = machine();
    let driver = own(&fake);
    assert_eq!(driver.abilities().get("topology.orlop.dev/serves-nfs").map(String::as_str), Some("true"));
    fake.remove_nfs_server();
    assert!(driver.topology().is_empty());
}
