//! Own exports on the real kernel, with the real server. Needs root, loop devices and nfs-ganesha.

use std::{fs, io, path::Path, sync::Arc};

use super::{driver, request};
use crate::{
    conformance::{self, Stand, reference},
    driver::{Driver, Publish, Serving, Stage},
    drivers::nfs::NfsDriver,
    host::{
        Host, NfsServer,
        linux::{
            Ganesha, Linux,
            scratch::{Scratch, can_run, skipped},
        },
    },
};

fn write(_: &Stand, path: &Path, data: &[u8]) -> io::Result<()> {
    fs::write(path, data)
}

fn read(_: &Stand, path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// A server that ends with the test; before its mounts, which it holds.
struct Server(Arc<Ganesha>);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.stop();
    }
}

fn on(scratch: &Path, instance: &str) -> (NfsDriver, Server) {
    let server = Arc::new(Ganesha::new(scratch.join("nfs"), instance));
    (driver(&Arc::new(Linux), server.clone(), scratch, instance), Server(server))
}

fn instance(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[tokio::test]
async fn root_own_export_conformance() {
    if !can_run("root_own_export_conformance") {
        return;
    }
    let scratch = Scratch::new();
    conformance::check(|name| {
        let path = scratch.path().join(name);
        fs::create_dir(&path).unwrap();
        // No case exports anything: the server is never started.
        let (driver, _server) = on(&path, &instance(name));
        super::stand(&Arc::new(Linux), driver, &path, 16 << 20, (write, read))
    })
    .await;
}

#[tokio::test]
async fn root_own_export_is_full_at_its_size_and_leaves_nothing() {
    let test = "root_own_export_is_full_at_its_size_and_leaves_nothing";
    if !can_run(test) {
        return;
    }
    let scratch = Scratch::new();
    let (driver, server) = on(scratch.path(), &instance("full"));
    if server.0.installed().is_err() {
        skipped(test, "no nfs-ganesha with its VFS module (make setup)");
        return;
    }
    let volume = driver.create(request(1, 16 << 20)).await.unwrap();
    driver.serve(reference(&volume)).await.unwrap();
    driver.export(reference(&volume), ["127.0.0.1".parse().unwrap()].into()).await.unwrap();
    let places: Vec<_> = ["staged", "one", "two"].map(|name| scratch.path().join(name)).into();
    places.iter().for_each(|place| fs::create_dir(place).unwrap());
    let (target, fs_type) = (places[0].clone(), None);
    let stage = Stage { volume: reference(&volume), device: None, target, fs_type, mount_options: vec![] };
    driver.stage(stage).await.unwrap();
    for pod in &places[1..] {
        let (staged, target) = (places[0].clone(), pod.clone());
        driver
            .publish(Publish { volume: reference(&volume), staged, target, read_only: false })
            .await
            .unwrap();
    }
    fs::write(places[1].join("shared"), b"x").unwrap();
    assert_eq!(fs::read(places[2].join("shared")).unwrap(), b"x");
    let error = fs::write(places[2].join("big"), vec![1; 17 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    for pod in &places[1..] {
        driver.unpublish(reference(&volume), pod.clone()).await.unwrap();
    }
    driver.unstage(reference(&volume), places[0].clone()).await.unwrap();
    driver.delete(reference(&volume)).await.unwrap();
    assert_eq!((scratch.loops(), server.0.server().unwrap()), (vec![], None));
    let mounts = Linux.mounts().unwrap();
    assert!(!mounts.iter().any(|mount| mount.target.starts_with(scratch.path())));
    assert_eq!(Linux.list_dir(&scratch.path().join("pool")).unwrap(), Vec::<String>::new());
}
