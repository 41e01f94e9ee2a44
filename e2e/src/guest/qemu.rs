//! What QEMU is told about a guest, and its process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use super::{Shape, kernel::Kernel};

pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// Everything that makes a guest the same machine after a power cut.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) kernel: Kernel,
    /// Its disks, its console and its control socket on the host.
    pub(super) dir: PathBuf,
    /// Port of the multicast group that is the segment.
    pub(super) segment: u16,
    pub(super) shape: Shape,
}

impl Machine {
    /// Where QEMU finds the test that listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// Everything that the guest's kernel and its first programs said.
    pub(super) fn console(&self) -> PathBuf {
        self.dir.join("console")
    }

    fn disk(&self, index: usize) -> PathBuf {
        self.dir.join(format!("disk{index}"))
    }

    /// Makes the disks that are not there yet, empty.
    pub(super) fn make_disks(&self) -> Result<()> {
        for (index, mebibytes) in self.shape.disks.iter().enumerate() {
            let path = self.disk(index);
            if !path.exists() {
                let disk = File::create(&path).with_context(|| format!("make {}", path.display()))?;
                disk.set_len(u64::from(*mebibytes) << 20)?;
            }
        }
        Ok(())
    }

    pub(super) fn spawn(&self) -> Result<Child> {
        let said = File::create(self.dir.join("qemu"))?;
        let mut command = Command::new(PROGRAM);
        command.args(self.arguments()).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        command.spawn().with_context(|| format!("start {PROGRAM}"))
    }

    fn arguments(&self) -> Vec<String> {
        let shape = &self.shape;
        let mut all: Vec<String> = Vec::new();
        let mut option = |name: &str, value: String| all.extend([format!("-{name}"), value]);
        option("accel", "tcg".to_owned());
        option("cpu", "max".to_owned());
        // A second emulated processor makes a guest slower on a machine that has not many more.
        option("smp", "1".to_owned());
        option("m", shape.memory.to_string());
        option("kernel", text(&self.kernel.image));
        option("initrd", text(&self.kernel.initramfs));
        option("append", self.command_line());
        option("serial", format!("file:{}", text(&self.console())));
        option("fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap".to_owned());
        option("device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot".to_owned());
        option("device", "virtio-serial-pci".to_owned());
        option("chardev", format!("socket,id=control,path={}", text(&self.socket())));
        option("device", "virtserialport,chardev=control,name=control".to_owned());
        option("netdev", format!("socket,id=segment,mcast=230.0.0.1:{},localaddr=127.0.0.1", self.segment));
        option("device", format!("virtio-net-pci,netdev=segment,mac=52:54:00:63:00:{:02x}", shape.number));
        for index in 0..shape.disks.len() {
            let file = text(&self.disk(index));
            option("drive", format!("file={file},if=virtio,format=raw,discard=unmap,cache=writeback"));
        }
        all.extend(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"].map(str::to_owned));
        all
    }

    fn command_line(&self) -> String {
        let Shape { name, .. } = &self.shape;
        format!(
            "console=ttyS0 quiet panic=-1 mitigations=off edd=off net.ifnames=0 \
             guest.name={name} guest.address={} guest.modules={}",
            self.shape.address(),
            text(&self.kernel.modules)
        )
    }
}

/// QEMU's options are text, with commas between their parts; temporary and target directories have neither bad text nor commas.
fn text(path: &Path) -> String {
    path.to_str()
        .filter(|path| !path.contains([',', ' ']))
        .expect("a path without commas and blanks")
        .to_owned()
}
