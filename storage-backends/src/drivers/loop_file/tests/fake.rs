//! Conformance on the fake machine, and what only a machine that can be bent shows.

use std::{io, path::Path, sync::Arc};

use super::super::LoopDriver;
use crate::{
    conformance::{self, Stand, reference},
    driver::{Code, Driver},
    host::{
        FsType, Host,
        fake::{Content, Fake},
        faulty::Faulty,
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

fn stand() -> (Stand, Fake) {
    let fake = Fake::new(20 << 30);
    MACHINE.set(fake.clone());
    fake.create_dir(Path::new("/scratch")).unwrap();
    let host: Arc<dyn Host> = Arc::new(fake.clone());
    let driver = Arc::new(LoopDriver::new(Arc::clone(&host), "/scratch/pool"));
    let stand = Stand { driver, host, scratch: "/scratch".into(), bytes: 64 << 20, write, read };
    (stand, fake)
}

#[tokio::test]
async fn conformance_on_the_fake_machine() {
    conformance::check(|_| stand().0).await;
}

fn file(number: u32) -> String {
    format!("/scratch/pool/{}.img", conformance::name(number))
}

#[tokio::test]
async fn a_volume_that_lost_its_file_system_is_reported_and_never_formatted() {
    let (stand, fake) = stand();
    let volume = stand.create(1).await;
    fake.remove_file(Path::new(&file(1))).unwrap();
    fake.create_sparse(Path::new(&file(1)), volume.bytes).unwrap();
    let device = stand.driver.attach(reference(&volume)).await.unwrap();
    let error = stand.stage(&volume, device, &stand.place("staged")).await.unwrap_err();
    assert!(error.code == Code::DataLoss && error.message.contains("blank now"), "{error}");
    let again = stand.driver.create(stand.request(1)).await.unwrap_err();
    assert!(again.message.contains("blank now"), "{again}");
    assert_eq!(fake.formatted(&conformance::name(1)["pvc-".len()..]), 1);
}

#[tokio::test]
async fn another_volumes_file_system_is_refused() {
    let (stand, fake) = stand();
    let volume = stand.create(1).await;
    fake.remove_file(Path::new(&file(1))).unwrap();
    fake.create_sparse(Path::new(&file(1)), volume.bytes).unwrap();
    fake.make_filesystem(Path::new(&file(1)), FsType::Ext4, "0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77").unwrap();
    let device = stand.driver.attach(reference(&volume)).await.unwrap();
    let error = stand.stage(&volume, device, &stand.place("staged")).await.unwrap_err();
    assert!(error.message.contains("another volume's"), "{error}");
}

#[tokio::test]
async fn a_device_of_an_earlier_run_is_used_and_doubled_ones_are_refused() {
    let (stand, fake) = stand();
    let volume = stand.create(1).await;
    let earlier = fake.attach_loop(Path::new(&file(1)), false).unwrap();
    let device = stand.driver.attach(reference(&volume)).await.unwrap();
    assert_eq!(device, Some(earlier.device));
    fake.attach_loop(Path::new(&file(1)), false).unwrap();
    let error = stand.driver.attach(reference(&volume)).await.unwrap_err();
    assert!(error.message.contains("/dev/loop0 and /dev/loop1"), "{error}");
    stand.driver.detach(reference(&volume)).await.unwrap();
    assert_eq!(fake.loops().unwrap(), []);
    fake.attach_loop(Path::new(&file(1)), true).unwrap();
    let error = stand.driver.attach(reference(&volume)).await.unwrap_err();
    assert!(error.code == Code::FailedPrecondition && error.message.contains("read-only"), "{error}");
}

#[tokio::test]
async fn what_is_attached_after_its_file_was_unlinked_can_be_taken_down() {
    let (stand, fake) = stand();
    let volume = stand.create(1).await;
    let staged = stand.place("staged");
    let device = stand.driver.attach(reference(&volume)).await.unwrap();
    stand.stage(&volume, device, &staged).await.unwrap();
    fake.remove_file(Path::new(&file(1))).unwrap();
    stand.driver.unstage(reference(&volume), staged).await.unwrap();
    stand.driver.detach(reference(&volume)).await.unwrap();
    assert_eq!((fake.loops().unwrap().len(), fake.mounts().unwrap().len()), (0, 1));
}

#[tokio::test]
async fn what_an_earlier_run_left_half_made_is_swept() {
    let (stand, fake) = stand();
    let (left, other) =
        ("/scratch/pool/pvc-5e0c4f5a-9d2b-4c1e-8a77-0000000000aa.making", "/scratch/pool/notes.txt");
    fake.create_dir(Path::new("/scratch/pool")).unwrap();
    fake.write(Path::new(left), &[0; 4096]).unwrap();
    fake.write(Path::new(other), b"not ours").unwrap();
    assert_eq!(stand.driver.list().await.unwrap(), []);
    assert_eq!(fake.list_dir(Path::new("/scratch/pool")).unwrap(), ["notes.txt"]);
}

#[tokio::test]
async fn thick_volumes_reserve_their_blocks_and_overcommit_raises_the_limit() {
    let (stand, fake) = stand();
    let mut thick = stand.request(1);
    thick.parameters = [("provisioning".to_owned(), "thick".to_owned())].into();
    let volume = stand.driver.create(thick).await.unwrap();
    assert_eq!(fake.file(Path::new(&file(1))).unwrap().unwrap().allocated, volume.bytes);
    let mut large = stand.request(2);
    large.bytes = 30 << 30;
    assert_eq!(stand.driver.create(large.clone()).await.unwrap_err().code, Code::ResourceExhausted);
    large.parameters = [("overcommit".to_owned(), "2".to_owned())].into();
    assert_eq!(stand.driver.create(large).await.unwrap().bytes, 30 << 30);
}

/// Each effect of a creation fails once: an error that names the machine's reason, nothing left, and it works again.
#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    for effect in ["create_sparse", "make_filesystem", "sync_file", "rename"] {
        let fake = Fake::new(20 << 30);
        let host = Arc::new(Faulty::new(fake.clone(), format!("{effect}: error(ENOSPC)").parse().unwrap()));
        let driver = LoopDriver::new(host, "/pool");
        let request = || crate::driver::Create {
            name: conformance::name(1),
            bytes: 64 << 20,
            fs_type: None,
            parameters: [].into(),
            deadline: std::time::Duration::from_secs(60),
            ..crate::driver::Create::default()
        };
        let error = driver.create(request()).await.unwrap_err();
        assert_eq!(error.code, Code::ResourceExhausted, "{effect}: {error}");
        assert_eq!(fake.list_dir(Path::new("/pool")).unwrap(), Vec::<String>::new(), "{effect}");
        assert_eq!(driver.capacity().await.unwrap().promised, 0);
        driver.create(request()).await.unwrap();
        assert_eq!(fake.overwritten(), 0);
    }
}
