//! The disk, its images, and the mounts, all of which go away with their guards.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Room for the writer's file system; sparse.
const DISK: &str = "1G";
/// Room for the disk and what differs in one image; sparse.
const BENEATH: &str = "6G";

/// Why the machine cannot run the test.
pub(crate) fn reason_to_skip() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("needs /dev/loop-control".to_owned());
    }
    let missing = ["mkfs.xfs", "mkfs.ext4", "mount", "umount", "cp"].into_iter().find(|tool| !is_there(tool));
    missing.map(|tool| format!("needs {tool} (make setup)"))
}

fn is_there(tool: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(tool).exists())
}

/// A mounted file; unmounted, and its loop device freed, on drop.
#[derive(Debug)]
pub(crate) struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// Mounts a file at a directory, which is made.
    pub(crate) fn new(file: &Path, path: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&path).expect("a mount point");
        run("mount", &["-o", "loop", &text(file), &text(&path)])?;
        Ok(Self { path })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A process that was just killed may hold it for another moment.
        let busy = |_: &usize| run("umount", &[&text(&self.path)]).is_err();
        let tries =
            (0..100).take_while(busy).inspect(|_| std::thread::sleep(std::time::Duration::from_millis(20)));
        if tries.count() == 100 {
            eprintln!("cannot unmount {}: detaching it", self.path.display());
            let _ = run("umount", &["-l", &text(&self.path)]);
        }
    }
}

/// The disk that the writer writes to.
#[derive(Debug)]
pub(crate) struct Disk {
    // Dropped in this order: the upper mount first.
    disk: Mounted,
    beneath: Mounted,
}

impl Disk {
    /// Makes the file systems. An error says that this kernel has no such file system; anything else panics.
    pub(crate) fn new(scratch: &Path) -> Result<Self, String> {
        let file = scratch.join("xfs.img");
        run("truncate", &["-s", BENEATH, &text(&file)]).expect("a sparse file");
        run("mkfs.xfs", &["-q", "-m", "reflink=1", &text(&file)]).expect("an XFS");
        let beneath = Mounted::new(&file, scratch.join("xfs"))
            .map_err(|e| if e.contains("unknown filesystem") { e } else { panic!("{e}") })?;
        let file = beneath.path().join("disk.img");
        run("truncate", &["-s", DISK, &text(&file)]).expect("a sparse file");
        run("mkfs.ext4", &["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", &text(&file)])
            .expect("an ext4");
        let disk = Mounted::new(&file, scratch.join("disk")).expect("the writer's disk");
        Ok(Self { disk, beneath })
    }

    /// Where the writer writes.
    pub(crate) fn path(&self) -> &Path {
        self.disk.path()
    }

    /// Cuts the power: takes an image of what the device has received up to now.
    pub(crate) fn cut(&self) -> Image {
        let image = self.beneath.path().join("cut.img");
        let disk = self.beneath.path().join("disk.img");
        run("cp", &["--reflink=always", &text(&disk), &text(&image)]).expect("a reflink copy");
        Image { file: image }
    }
}

/// What the device held when the power was cut; removed on drop.
#[derive(Debug)]
pub(crate) struct Image {
    file: PathBuf,
}

impl Image {
    /// Mounts it, which replays its journal.
    pub(crate) fn mount(&self, path: PathBuf) -> Result<Mounted, String> {
        Mounted::new(&self.file, path)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs a program; its words when it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(words(&output.stdout));
    }
    let said = format!("{} {}", words(&output.stdout), words(&output.stderr));
    Err(format!("{program} ({}): {}", output.status, said.trim()))
}
