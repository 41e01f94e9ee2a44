//! On a real kernel, with directories for shares: what pods see, and what is left.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{SERVER, SHARE, reference, request};
use crate::{
    driver::{Driver, Publish, Stage, Volume},
    drivers::nfs::NfsDriver,
    host::{
        Host,
        linux::{
            Linux, StandIn,
            scratch::{Scratch, can_run},
        },
    },
};

/// A machine with one server, a share on it, and something beside the share.
pub(super) struct Stand {
    scratch: Scratch,
    pub(super) host: Arc<StandIn>,
    pub(super) driver: NfsDriver,
}

impl Stand {
    pub(super) fn new() -> Self {
        let scratch = Scratch::new();
        let servers = scratch.path().join("servers");
        fs::create_dir_all(servers.join(SERVER).join(SHARE.trim_start_matches('/'))).unwrap();
        let host = Arc::new(StandIn::new(Arc::new(Linux), servers));
        let stand = Self { driver: NfsDriver::new(host.clone()), host, scratch };
        fs::create_dir_all(stand.outside().join("deep")).unwrap();
        fs::write(stand.outside().join("kept"), b"outside").unwrap();
        stand
    }

    pub(super) fn share(&self) -> PathBuf {
        self.scratch.path().join("servers").join(SERVER).join(SHARE.trim_start_matches('/'))
    }

    /// What no attack may reach: `../outside` from the share.
    pub(super) fn outside(&self) -> PathBuf {
        self.share().parent().unwrap().join("outside")
    }

    pub(super) fn place(&self, name: &str) -> PathBuf {
        let place = self.scratch.path().join(name);
        self.host.create_dir(&place).unwrap();
        place
    }

    pub(super) fn stage(&self, volume: &Volume, options: &[&str]) -> Stage {
        Stage {
            volume: reference(volume),
            device: None,
            target: self.place("staged"),
            fs_type: None,
            mount_options: options.iter().map(|&option| option.to_owned()).collect(),
        }
    }

    pub(super) fn mounts(&self) -> Vec<String> {
        let mounts = Linux.mounts().unwrap().into_iter().map(|mount| mount.target);
        mounts
            .filter(|target| target.starts_with(self.scratch.path()))
            .map(|t| t.display().to_string())
            .collect()
    }
}

#[tokio::test]
async fn root_a_pod_sees_its_volume_and_nothing_above_it() {
    if !can_run("root_a_pod_sees_its_volume_and_nothing_above_it") {
        return;
    }
    let stand = Stand::new();
    let asked = [
        ("uid", "1234"),
        ("gid", "5678"),
        ("mode", "0750"),
        ("pathPattern", "${.PVC.namespace}/${.PVC.name}"),
    ];
    let volume = stand.driver.create(request(1, &asked)).await.unwrap();
    let made = fs::metadata(stand.share().join("default/data-1")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.permissions().mode() & 0o7777), (1234, 5678, 0o750));
    let marker = fs::metadata(stand.share().join(".orlop")).unwrap();
    assert_eq!(marker.permissions().mode() & 0o7777, 0o700, "for root alone");
    let (staged, pod, reader) = (stand.place("staged"), stand.place("pod"), stand.place("reader"));
    for _ in 0..2 {
        stand.driver.stage(stand.stage(&volume, &["noatime"])).await.unwrap();
        for (target, read_only) in [(&pod, false), (&reader, true)] {
            let publish = Publish {
                volume: reference(&volume),
                staged: staged.clone(),
                target: target.clone(),
                read_only,
            };
            stand.driver.publish(publish).await.unwrap();
        }
    }
    assert_eq!(stand.mounts().len(), 3, "{:?}", stand.mounts());
    fs::write(pod.join("data"), b"x").unwrap();
    assert_eq!(fs::read(stand.share().join("default/data-1/data")).unwrap(), b"x");
    fs::write(reader.join("other"), b"x").unwrap_err();
    assert!(fs::read_dir(&pod).unwrap().all(|entry| entry.unwrap().file_name() == "data"), "no marker in it");
    let shown = stand.host.mounts().unwrap();
    let top = shown.iter().find(|mount| mount.target == staged).unwrap();
    assert_eq!(top.source, format!("{SERVER}:{SHARE}/default/data-1"));
    assert!(top.options.contains("noatime"), "{}", top.options);
    for target in [pod, reader] {
        stand.driver.unpublish(reference(&volume), target).await.unwrap();
    }
    stand.driver.unstage(reference(&volume), staged).await.unwrap();
    assert_eq!(stand.mounts(), Vec::<String>::new());
    stand.driver.delete(reference(&volume)).await.unwrap();
    assert!(!stand.share().join("default/data-1").exists());
}

/// The whole share, as a volume that people made by hand has it.
#[tokio::test]
async fn root_a_share_named_by_hand_is_mounted_and_never_removed() {
    if !can_run("root_a_share_named_by_hand_is_mounted_and_never_removed") {
        return;
    }
    let stand = Stand::new();
    fs::write(stand.share().join("file"), b"x").unwrap();
    let volume = Volume {
        handle: "nfs-0123456789abcdef0123456789abcdef".to_owned(),
        bytes: 1,
        attributes: super::map(&[("server", SERVER), ("share", SHARE)]),
        reach: crate::driver::Reach::Everywhere,
    };
    stand.driver.stage(stand.stage(&volume, &["ro"])).await.unwrap();
    let staged = stand.place("staged");
    assert_eq!(fs::read(staged.join("file")).unwrap(), b"x");
    fs::write(staged.join("file"), b"y").unwrap_err();
    stand.driver.delete(reference(&volume)).await.unwrap_err();
    stand.driver.unstage(reference(&volume), staged).await.unwrap();
    stand.driver.delete(reference(&volume)).await.unwrap_err();
    assert!(stand.share().join("file").exists());
}

/// Directories are swapped for links while volumes are staged: what is mounted is always in the share.
#[tokio::test]
async fn root_a_directory_swapped_for_a_link_is_never_mounted() {
    use std::sync::atomic::{AtomicBool, Ordering};
    if !can_run("root_a_directory_swapped_for_a_link_is_never_mounted") {
        return;
    }
    let stand = Stand::new();
    let volume = stand.driver.create(request(1, &[("pathPattern", "ns/deep")])).await.unwrap();
    fs::write(stand.share().join("ns/deep/inside"), b"x").unwrap();
    symlink("../outside", stand.share().join("evil")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (share, stop) = (stand.share(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let swap = rustix::fs::RenameFlags::EXCHANGE;
                let at = rustix::fs::CWD;
                let _ = rustix::fs::renameat_with(at, share.join("ns"), at, share.join("evil"), swap);
            }
        })
    };
    let staged = stand.place("staged");
    let mut mounted = 0;
    for _ in 0..40 {
        if stand.driver.stage(stand.stage(&volume, &[])).await.is_ok() {
            mounted += 1;
            assert!(staged.join("inside").exists(), "what is mounted is the volume");
            stand.driver.unstage(reference(&volume), staged.clone()).await.unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    tracing::info!(mounted, "of 40");
    assert_eq!(fs::read(stand.outside().join("kept")).unwrap(), b"outside");
    assert_eq!(stand.mounts(), Vec::<String>::new());
    assert!(!Path::new(&stand.outside()).join("deep/inside").exists());
}
