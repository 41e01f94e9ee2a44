//! Guests: machines with a kernel of Debian's, for what the kernel below the tests may lack (an NFS client, an NFS server)
//! and for what no test does to the machine it runs on (cutting the power, cutting the network).
//!
//! ```text
//!   test ──► Lab ──► kernel     apt-get download, unpacked once into target/guest
//!             │      initramfs  busybox and the few modules that find the root
//!             ▼
//!           Guest ═══ control (virtio-serial): scripts in; exit codes and output back
//!             ║
//!           QEMU (TCG)   /      the host's root, read-only over 9p, under a tmpfs: every program of the host, and the
//!             ║                 binary under test, runs unchanged
//!             ║          disks  sparse files on virtio-blk: they outlive a power cut, the tmpfs does not
//!             ╚═ eth0 ══════════ one multicast segment per lab, 10.99.0.0/24: guests see each other and nobody else
//! ```
//!
//! * No hardware virtualisation: what calls itself `/dev/kvm` in a cloud often cannot boot an unmodified kernel. A guest is
//!   some twenty times slower than the host, so **no test in a guest asserts a time**.
//! * A guest whose test dies turns itself off: it reads the end of its control channel.
//! * Where no guest can be had (no QEMU, no kernel package), the test says SKIPPED and why, and passes.

mod control;
mod initramfs;
mod kernel;
mod modules;
mod node;
pub mod probes;
mod qemu;
mod running;
pub mod servers;
mod vmlinux;

use std::{net::UdpSocket, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::machine;

pub use control::{Answer, Pending};
pub use node::{Nodes, condition};
pub use running::{Guest, PATIENCE};

use kernel::Kernel;

/// The guests of one test and the segment between them.
pub struct Lab {
    kernel: Kernel,
    scratch: TempDir,
    /// Held so that its port is nobody else's: the port is the segment's name among all that run on this machine.
    segment: UdpSocket,
}

/// What a guest is made of.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Host name in the guest.
    pub name: String,
    /// Last part of its address in 10.99.0.0/24; also of its hardware address.
    pub number: u8,
    /// Memory in MiB; the half of it is what the guest may write to its root.
    pub memory: u32,
    /// Disks `/dev/vda`, `/dev/vdb` …, sizes in MiB.
    pub disks: Vec<u32>,
}

impl Shape {
    /// A guest of this name and number with one disk of 2 GiB, which takes space only as it is written.
    pub fn new(name: &str, number: u8) -> Self {
        Self { name: name.to_owned(), number, memory: 640, disks: vec![2048] }
    }

    /// Its address on the segment.
    pub fn address(&self) -> String {
        format!("10.99.0.{}", self.number)
    }
}

impl Lab {
    /// A lab for the test of this name, or `None` after saying loudly why this machine has none.
    pub fn open(test: &str) -> Option<Self> {
        match Self::try_open() {
            Ok(lab) => Some(lab),
            Err(error) => {
                machine::skipped(test, format_args!("no guest can be had here: {error:#}"));
                None
            }
        }
    }

    fn try_open() -> Result<Self> {
        ensure!(cfg!(target_arch = "x86_64"), "guests are built for x86_64 only");
        ensure!(nix::unistd::geteuid().is_root(), "needs root, to show the guest the files of the host");
        let qemu = Command::new(qemu::PROGRAM).arg("--version").output();
        ensure!(
            qemu.is_ok_and(|o| o.status.success()),
            "{} is missing (Debian: qemu-system-x86)",
            qemu::PROGRAM
        );
        let kernel = Kernel::cached().context("a kernel for guests")?;
        let scratch = tempfile::Builder::new().prefix("orlop-guest.").tempdir()?;
        let segment = UdpSocket::bind("127.0.0.1:0").context("find a free port for the segment")?;
        Ok(Self { kernel, scratch, segment })
    }

    /// Starts a guest; the first script that it is given waits for its boot, so several boot side by side.
    pub fn start(&self, shape: Shape) -> Result<Guest> {
        let dir = self.scratch.path().join(&shape.name);
        std::fs::create_dir(&dir).with_context(|| format!("a directory for guest {}", shape.name))?;
        let port = self.segment.local_addr()?.port();
        let machine = qemu::Machine { kernel: self.kernel.clone(), dir, segment: port, shape };
        Guest::boot(machine)
    }

    /// A package of Debian's, unpacked and not installed: the directory that holds its files. For programs that only guests
    /// may run, such as a kernel's NFS server.
    pub fn unpacked(&self, package: &str) -> Result<PathBuf> {
        kernel::unpacked(package)
    }
}
