//! The bare kernel work behind a volume and behind a pod: the same effects in the same order, with nothing around them.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use orlop_backends::host::{
    ContainerRequest, FsType, Host, MountRequest, Namespace, Runtime,
    linux::{Linux, LinuxRuntime, RuntimeConfig},
};
use orlop_e2e::images;
use orlop_nodeagent::{
    images::{Image, ImageStore},
    oci::{self, ContainerSpec, Mount, Propagation},
};

const BYTES: u64 = 1 << 30;
const UUID: &str = "00000000-0000-4000-8000-000000000001";

/// A scratch place for the floors.
pub(crate) struct Bare {
    dir: PathBuf,
    image: Image,
    runtime: LinuxRuntime,
}

impl Bare {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let archive = dir.join("busybox.tar");
        images::write_busybox(&archive)?;
        let store = ImageStore::open(&dir.join("images"))?;
        let image = store.load(&archive)?.pop().context("an image")?;
        let config = RuntimeConfig { run_dir: dir.join("run"), instance: "00beac00".to_owned() };
        std::fs::create_dir_all(&config.run_dir)?;
        Ok(Self { dir: dir.to_owned(), image, runtime: LinuxRuntime::new(config)? })
    }

    /// Sparse file, mkfs, fsync, rename, fsync of the directory.
    pub(crate) fn volume(&self) -> Result<Duration> {
        let begun = Instant::now();
        let file = self.make_volume()?;
        let took = begun.elapsed();
        Linux.remove_file(&file)?;
        Ok(took)
    }

    fn make_volume(&self) -> Result<PathBuf> {
        let (temporary, file) = (self.dir.join("volume.tmp"), self.dir.join("volume.img"));
        Linux.create_sparse(&temporary, BYTES)?;
        Linux.make_filesystem(&temporary, FsType::Ext4, UUID)?;
        Linux.sync_file(&temporary)?;
        Linux.rename(&temporary, &file)?;
        Ok(file)
    }

    /// The same, then loop device, mount, namespaces, overlay, bundle, conmon and runc, until the process runs.
    pub(crate) fn container(&self) -> Result<Duration> {
        let dir = self.dir.join("container");
        let [staged, namespaces, upper, work, rootfs, bundle] =
            ["staged", "ns", "upper", "work", "rootfs", "bundle"].map(|name| dir.join(name));
        for place in [&staged, &namespaces, &upper, &work, &rootfs, &bundle] {
            Linux.create_dir(place)?;
        }
        let begun = Instant::now();
        let file = self.make_volume()?;
        let device = Linux.attach_loop(&file, false)?;
        let (source, fs_type, options) = (device.device.clone(), FsType::Ext4, Vec::new());
        Linux.mount(&MountRequest::Device {
            source,
            target: staged.clone(),
            fs_type,
            read_only: false,
            options,
        })?;
        self.runtime.pin_namespaces(
            &namespaces,
            &[Namespace::Net, Namespace::Ipc, Namespace::Uts],
            "bare",
        )?;
        let lower = self.image.layers.clone();
        Linux.mount(&MountRequest::Overlay { lower, upper, work, target: rootfs.clone() })?;
        oci::write_bundle(&bundle, &self.spec(&rootfs, &namespaces, &staged))?;
        self.runtime.create(&ContainerRequest { id: "bare".to_owned(), bundle, log: dir.join("log") })?;
        self.runtime.start("bare")?;
        let took = begun.elapsed();

        self.runtime.delete("bare")?;
        self.runtime.forget_exit("bare")?;
        self.runtime.unpin_namespaces(&namespaces)?;
        Linux.unmount(&rootfs)?;
        Linux.unmount(&staged)?;
        Linux.detach_loop(&device.device)?;
        Linux.remove_file(&file)?;
        Linux.remove_tree(&dir)?;
        Ok(took)
    }

    fn spec(&self, rootfs: &Path, namespaces: &Path, staged: &Path) -> ContainerSpec {
        ContainerSpec {
            id: "bare".to_owned(),
            image: self.image.reference.clone(),
            rootfs: rootfs.to_owned(),
            args: vec!["sleep".to_owned(), "3600".to_owned()],
            env: vec!["PATH=/bin".to_owned()],
            namespaces: namespaces.to_owned(),
            hostname: "bare".to_owned(),
            cgroup: "/orlop-00beac00/bare".to_owned(),
            mounts: vec![Mount {
                source: staged.to_owned(),
                target: "/data".to_owned(),
                read_only: false,
                propagation: Propagation::Private,
            }],
            ..ContainerSpec::default()
        }
    }
}
