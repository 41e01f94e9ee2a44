//! The loop driver on the real kernel. Needs root and /dev/loop-control.

use std::{fs, io, path::Path, sync::Arc};

use futures::future::join_all;

use super::super::LoopDriver;
use crate::{
    conformance::{self, Stand, reference},
    driver::Driver,
    host::{
        Host,
        linux::{
            Linux,
            scratch::{Scratch, can_run},
        },
    },
};

fn write(_: &Stand, path: &Path, data: &[u8]) -> io::Result<()> {
    fs::write(path, data)
}

fn read(_: &Stand, path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

fn stand(scratch: &Scratch, name: &str) -> Stand {
    let path = scratch.path().join(name);
    fs::create_dir(&path).unwrap();
    let driver = Arc::new(LoopDriver::new(Arc::new(Linux), path.join("pool")));
    Stand { driver, host: Arc::new(Linux), scratch: path, bytes: 16 << 20, write, read }
}

#[tokio::test]
async fn root_loop_conformance() {
    if !can_run("root_loop_conformance") {
        return;
    }
    let scratch = Scratch::new();
    conformance::check(|name| stand(&scratch, name)).await;
}

#[tokio::test]
async fn root_loop_xfs() {
    if !can_run("root_loop_xfs") {
        return;
    }
    let scratch = Scratch::new();
    let stand = stand(&scratch, "xfs");
    let mut request = stand.request(1);
    // XFS mounts no UUID twice, and this test may run twice at once.
    request.name = format!("pvc-{}", uuid::Uuid::new_v4());
    request.bytes = 300 << 20;
    request.fs_type = Some("xfs".into());
    let volume = stand.driver.create(request).await.unwrap();
    let staged = stand.place("staged");
    let device = stand.driver.attach(reference(&volume)).await.unwrap();
    stand.stage(&volume, device, &staged).await.unwrap();
    let mounts = Linux.mounts().unwrap();
    assert!(mounts.iter().any(|mount| mount.target == staged && mount.fs_type == "xfs"));
    stand.driver.unstage(reference(&volume), staged).await.unwrap();
    stand.driver.detach(reference(&volume)).await.unwrap();
    stand.driver.delete(reference(&volume)).await.unwrap();
}

#[tokio::test]
async fn root_loop_more_than_its_size_is_enospc_there_and_nowhere_else() {
    if !can_run("root_loop_more_than_its_size_is_enospc_there_and_nowhere_else") {
        return;
    }
    let scratch = Scratch::new();
    let stand = stand(&scratch, "full");
    let places = [stand.place("one"), stand.place("two")];
    for (number, place) in (1..).zip(&places) {
        let volume = stand.create(number).await;
        assert_eq!(volume.bytes, stand.bytes, "exactly the size asked for");
        let device = stand.driver.attach(reference(&volume)).await.unwrap();
        stand.stage(&volume, device, place).await.unwrap();
    }
    let error = fs::write(places[0].join("big"), vec![1; 17 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    fs::write(places[1].join("small"), b"fits").unwrap();
    fs::write(scratch.path().join("outside"), vec![1; 17 << 20]).unwrap();
    let file = scratch.path().join("full/pool").join(format!("{}.img", conformance::name(1)));
    assert_eq!(fs::metadata(file).unwrap().len(), stand.bytes, "the file has not grown");
}

#[tokio::test]
async fn root_loop_fifty_in_parallel() {
    if !can_run("root_loop_fifty_in_parallel") {
        return;
    }
    let scratch = Scratch::new();
    let stand = &stand(&scratch, "fifty");
    let lives = join_all((1..=50).map(async |number| {
        let volume = stand.create(number).await;
        let place = stand.place(&format!("place-{number}"));
        let device = stand.driver.attach(reference(&volume)).await.unwrap();
        stand.stage(&volume, device.clone(), &place).await.unwrap();
        fs::write(place.join("who"), number.to_string()).unwrap();
        (volume, place, device.unwrap())
    }))
    .await;
    let mut devices: Vec<_> = lives.iter().map(|(_, _, device)| device.clone()).collect();
    devices.sort();
    devices.dedup();
    assert_eq!((devices.len(), scratch.loops().len()), (50, 50), "a device each");
    for (number, (_, place, _)) in (1..).zip(&lives) {
        let number: u32 = number;
        assert_eq!(fs::read_to_string(place.join("who")).unwrap(), number.to_string());
    }
    join_all(lives.into_iter().map(async |(volume, place, _)| {
        stand.driver.unstage(reference(&volume), place).await.unwrap();
        stand.driver.detach(reference(&volume)).await.unwrap();
        stand.driver.delete(reference(&volume)).await.unwrap();
    }))
    .await;
    assert_eq!(scratch.loops(), Vec::<std::path::PathBuf>::new());
    assert_eq!(Linux.list_dir(&scratch.path().join("fifty/pool")).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn root_loop_a_device_of_an_earlier_run_is_found_again() {
    if !can_run("root_loop_a_device_of_an_earlier_run_is_found_again") {
        return;
    }
    let scratch = Scratch::new();
    let stand = stand(&scratch, "again");
    let volume = stand.create(1).await;
    let device = stand.driver.attach(reference(&volume)).await.unwrap();
    let staged = stand.place("staged");
    stand.stage(&volume, device.clone(), &staged).await.unwrap();
    fs::write(staged.join("kept"), b"data").unwrap();
    // By another name: only the inode tells that it is the same file.
    let by_link = scratch.path().join("link");
    std::os::unix::fs::symlink(scratch.path().join("again/pool"), &by_link).unwrap();
    let next = LoopDriver::new(Arc::new(Linux), by_link);
    assert_eq!(next.attach(reference(&volume)).await.unwrap(), device);
    assert_eq!(scratch.loops().len(), 1);
    next.unstage(reference(&volume), staged).await.unwrap();
    next.detach(reference(&volume)).await.unwrap();
    assert_eq!(scratch.loops().len(), 0);
}

#[test]
fn root_a_mounted_device_is_not_detached_and_a_mount_stops_the_remover() {
    if !can_run("root_a_mounted_device_is_not_detached_and_a_mount_stops_the_remover") {
        return;
    }
    let scratch = Scratch::new();
    let (image, place) = (scratch.path().join("image"), scratch.path().join("tree/place"));
    Linux.create_sparse(&image, 16 << 20).unwrap();
    Linux.make_filesystem(&image, crate::host::FsType::Ext4, "0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77").unwrap();
    Linux.create_dir(&place).unwrap();
    let device = Linux.attach_loop(&image, false).unwrap();
    assert!(!device.autoclear && !device.read_only && device.offset == 0);
    let mount = crate::host::MountRequest::Device {
        source: device.device.clone(),
        target: place.clone(),
        fs_type: crate::host::FsType::Ext4,
        read_only: false,
        options: vec!["noatime".into(), "discard".into()],
    };
    Linux.mount(&mount).unwrap();
    fs::write(place.join("kept"), b"data").unwrap();
    Linux.detach_loop(&device.device).unwrap_err();
    let found = Linux.loops().unwrap().into_iter().find(|found| found.device == device.device).unwrap();
    assert_eq!(found, device, "not even marked to go away later");
    let error = Linux.remove_tree(&scratch.path().join("tree")).unwrap_err();
    assert!(error.source.to_string().contains("is mounted in it"), "{error:?}");
    assert!(Linux.remove_dir(&place).is_err());
    assert_eq!(fs::read(place.join("kept")).unwrap(), b"data");
    Linux.unmount(&place).unwrap();
    Linux.detach_loop(&device.device).unwrap();
    Linux.remove_tree(&scratch.path().join("tree")).unwrap();
}
