//! The kernel of the guests: Debian's package, downloaded and unpacked once for all tests of a target directory.
//!
//! ```text
//! target/guest/lock          held while anything here is made
//! target/guest/kernel/       boot/, lib/modules/VERSION/, vmlinux, initramfs
//! target/guest/PACKAGE/      other packages that only guests use
//! ```
//!
//! A directory has its name only when it is whole: it is made beside its place and renamed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

use super::{initramfs, vmlinux};
use crate::cluster::said;

/// Depends on the newest kernel; with 9p, which the smaller `linux-image-cloud-amd64` lacks.
const NEWEST: &str = "linux-image-amd64";

/// Half of the package, and nothing that a virtual machine has.
const USELESS: &[&str] = &[
    "*/drivers/gpu/*",
    "*/drivers/media/*",
    "*/drivers/net/wireless/*",
    "*/drivers/net/ethernet/*",
    "*/drivers/staging/*",
    "*/drivers/iio/*",
    "*/sound/*",
];

/// What a guest boots.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// The kernel as an ELF file where it could be unpacked (no decompression in the guest), else as it was packed.
    pub(super) image: PathBuf,
    pub(super) initramfs: PathBuf,
    /// What the guest sees as `/lib/modules`.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// The kernel of this target directory, fetched on first use.
    pub(super) fn cached() -> Result<Self> {
        let dir = once("kernel", fetch)?;
        let modules = dir.join("lib/modules");
        let initramfs = dir.join("initramfs");
        // Always made anew: it is quick, and it holds scripts of this checkout.
        let _lock = lock()?;
        let version = only_entry(&modules)?;
        let archive = initramfs::build(&modules.join(&version))?;
        if fs::read(&initramfs).ok().as_ref() != Some(&archive) {
            let fresh = dir.join("initramfs.new");
            fs::write(&fresh, archive)?;
            // A guest that boots just now has the old one open.
            fs::rename(&fresh, &initramfs)?;
        }
        let unpacked = dir.join("vmlinux");
        let packed = dir.join("boot").join(format!("vmlinuz-{version}"));
        let image = if unpacked.is_file() { unpacked } else { packed };
        Ok(Self { image, initramfs, modules })
    }
}

/// A package of Debian's, unpacked and not installed.
pub(super) fn unpacked(package: &str) -> Result<PathBuf> {
    once(package, |dir| {
        let archive = download(dir, package)?;
        program(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(dir))?;
        Ok(fs::remove_file(archive)?)
    })
}

/// Makes `NAME` in the cache unless it is there already.
fn once(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = cache().join(name);
    let _lock = lock()?;
    if !place.is_dir() {
        let beside = tempfile::Builder::new().prefix("new.").tempdir_in(cache())?;
        make(beside.path())?;
        fs::rename(beside.keep(), &place).with_context(|| format!("put {} in its place", place.display()))?;
    }
    Ok(place)
}

/// `target/guest`, beside the profile that this test was built in.
fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("ORLOP_GUEST_CACHE") {
        return dir.into();
    }
    let this = std::env::current_exe().expect("this program has a path");
    // target/PROFILE/deps/TEST
    this.ancestors().nth(3).expect("a test lies in target/PROFILE/deps").join("guest")
}

fn lock() -> Result<Flock<File>> {
    fs::create_dir_all(cache())?;
    let file = File::create(cache().join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).context("lock the cache of guests")
}

fn fetch(dir: &Path) -> Result<()> {
    eprintln!("guest: fetching a kernel ({NEWEST}) into {}", cache().display());
    let archive = download(dir, &newest()?)?;
    let mut unpack = Command::new("sh");
    unpack.args([
        "-c",
        r#"archive=$1; shift; dpkg-deb --fsys-tarfile "$archive" | tar --extract "$@""#,
        "unpack",
    ]);
    unpack.arg(&archive).arg("--directory").arg(dir);
    program(unpack.args(USELESS.iter().map(|pattern| format!("--exclude={pattern}"))))?;
    fs::remove_file(archive)?;
    let version = only_entry(&dir.join("lib/modules"))?;
    program(Command::new("depmod").arg("--basedir").arg(dir).arg(&version))?;
    let packed = fs::read(dir.join("boot").join(format!("vmlinuz-{version}")))?;
    if let Some(elf) = vmlinux::extract(&packed)? {
        fs::write(dir.join("vmlinux"), elf)?;
    }
    Ok(())
}

/// The package that `NEWEST` stands for, whatever its number is today.
fn newest() -> Result<String> {
    let ask = || program(Command::new("apt-cache").args(["depends", NEWEST]));
    let answer = match ask() {
        Ok(answer) if answer.contains("Depends:") => answer,
        // A fresh machine has no lists yet.
        _ => {
            program(Command::new("apt-get").args(["update", "-qq"]))?;
            ask()?
        }
    };
    named_in(&answer).with_context(|| format!("{NEWEST} depends on no kernel: {answer}"))
}

fn named_in(depends: &str) -> Option<String> {
    let names =
        depends.lines().filter_map(|line| line.trim().trim_start_matches('|').strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

fn download(dir: &Path, package: &str) -> Result<PathBuf> {
    // APT's own user may not write here, which is worth a warning to it and nothing to us.
    let options = ["-qq", "-o", "APT::Sandbox::User=root", "download", package];
    program(Command::new("apt-get").args(options).current_dir(dir))?;
    let entries = fs::read_dir(dir)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut archives = entries.filter(|path| path.extension().is_some_and(|e| e == "deb"));
    archives.next().with_context(|| format!("apt-get download {package} left no file"))
}

fn only_entry(dir: &Path) -> Result<String> {
    let entries: Vec<_> = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?.collect();
    match entries.as_slice() {
        [Ok(only)] => Ok(only.file_name().to_string_lossy().into_owned()),
        _ => bail!("{} should hold one directory, a kernel's version", dir.display()),
    }
}

/// Runs a program to its end; a failure holds what it said.
pub(super) fn program(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(std::process::Stdio::null()).output().with_context(|| format!("run {name}"))?;
    ensure!(output.status.success(), "{name}: {}: {}", output.status, said(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_named_by_what_the_metapackage_depends_on() {
        let one = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(named_in(one).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        let alternatives =
            "linux-image-amd64\n |Depends: linux-image-6.1.0-56-amd64\n  Depends: linux-image-x\n";
        assert_eq!(named_in(alternatives).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(named_in("linux-image-amd64\n  Depends: linux-base\n"), None);
        assert_eq!(named_in(""), None);
    }
}
