//! Loop devices: found by the identity of their backing file ([`loop_files`]), attached in one ioctl, detached only when
//! unused.
//!
//! `loopdev` detaches; attaching is our own `LOOP_CONFIGURE`, which sets file, flags and name in one step, where
//! `LOOP_SET_FD` + `LOOP_SET_STATUS64` leave a device half set up when the process dies between them. Numbers and
//! structures: `linux/loop.h`, loop(4).

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStringExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use nix::{errno::Errno, libc};

use super::{
    super::{Cause, Error, FileId, LoopDevice, Result, Untold},
    failed, lock,
    loop_files::{self, Round},
    loop_ioctl,
};

const CONTROL: &str = "/dev/loop-control";
const SYSFS: &str = "/sys/block";
/// Others (another Orlop, losetup) may take the device that the kernel just named free; the next one is as good.
const ATTEMPTS: usize = 64;
/// How long a device node may take to appear, and a detached device to let go of its file.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a copy of a mount in a container that is just being created may live.
const COPIES_GONE: Duration = Duration::from_secs(3);

/// Within this process, "which is free" and "take it" are one step.
static TAKING: Mutex<()> = Mutex::new(());

pub(super) fn attach(file: &Path, read_only: bool) -> Result<LoopDevice> {
    let context = failed("attach loop device to", file);
    let backing = OpenOptions::new()
        .read(true)
        .write(!read_only)
        .custom_flags(libc::O_NOFOLLOW)
        .open(file)
        .map_err(&context)?;
    let (number, node) = take_free(&backing, file, read_only).map_err(&context)?;
    let wanted = backing.metadata().map_err(&context)?;
    let wanted = FileId { device: wanted.dev(), inode: wanted.ino() };
    // While its node is open nobody detaches it, and its server has answered just now.
    let held = loop_ioctl::status(&node).map_err(io::Error::from).map_err(&context)?.file();
    match look(number).map_err(&context)? {
        Some((round, found)) if held == wanted => {
            loop_files::remember(&round, &found.path, held);
            Ok(LoopDevice { backing: Ok(held), ..found })
        }
        _ => Err(Error {
            operation: "attach loop device to",
            object: file.display().to_string(),
            source: Cause::Refused(format!("{} does not hold it afterwards", device(number).display())),
        }),
    }
}

/// Its number, and its open node.
fn take_free(backing: &File, path: &Path, read_only: bool) -> io::Result<(u32, File)> {
    let control =
        OpenOptions::new().read(true).write(true).open(CONTROL).map_err(|error| explain_control(&error))?;
    let _taking = lock(&TAKING);
    for _ in 0..ATTEMPTS {
        let number = loop_ioctl::free(&control)?;
        let node = open_node(&device(number), number)?;
        match configure(&node, backing, path, read_only) {
            Ok(()) => return Ok((number, node)),
            Err(Errno::EBUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EBUSY.into())
}

fn explain_control(error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("{CONTROL} is not there; load the kernel module `loop`"))
        }
        kind => io::Error::new(kind, format!("{CONTROL}: {error}")),
    }
}

/// Direct I/O, and through the page cache only where the file's file system refuses it.
fn configure(node: &File, backing: &File, path: &Path, read_only: bool) -> std::result::Result<(), Errno> {
    match loop_ioctl::configure(node, backing, path, read_only, true) {
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => {
            loop_ioctl::configure(node, backing, path, read_only, false)
        }
        other => other,
    }
}

/// Opens a device node that devtmpfs may still be about to make.
fn open_node(device: &Path, minor: u32) -> io::Result<File> {
    let until = Instant::now() + PATIENCE;
    let node = loop {
        match OpenOptions::new().read(true).write(true).open(device) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < until => pause(),
            Ok(node) => break node,
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", device.display())));
            }
        }
    };
    let number = number_of(&node.metadata()?);
    if number == (loop_ioctl::MAJOR, minor) {
        Ok(node)
    } else {
        let found = format!("{} is device {number:?} and no loop device", device.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, found))
    }
}

fn number_of(metadata: &fs::Metadata) -> (u32, u32) {
    (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()))
}

/// Those that hold something. One that does not tell which file it holds is listed without.
pub(super) fn list() -> Result<Vec<LoopDevice>> {
    let context = failed("list loop devices in", Path::new(SYSFS));
    let mut found = Vec::new();
    for entry in fs::read_dir(SYSFS).map_err(&context)? {
        let name = entry.map_err(&context)?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix("loop")) else {
            continue;
        };
        if let Ok(number) = number.parse() {
            found.extend(look(number).map_err(failed("look at", &device(number)))?);
        }
    }
    let asked: Vec<_> = found.iter().map(|(round, device)| (round.clone(), device.path.as_path())).collect();
    let files = loop_files::of(&asked, still);
    let devices = found.into_iter().zip(files);
    let mut devices: Vec<LoopDevice> =
        devices.map(|((_, device), backing)| LoopDevice { backing, ..device }).collect();
    devices.sort_by_key(|device| device.number.1);
    Ok(devices)
}

fn device(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

fn attributes(number: u32) -> PathBuf {
    attributes_of(&device(number))
}

fn attributes_of(device: &Path) -> PathBuf {
    Path::new(SYSFS).join(device.file_name().unwrap_or_default())
}

/// Whether a device holds what it did: it may be detached and attached again at any moment.
fn still(round: &Round) -> bool {
    count(&attributes_of(&round.device), "diskseq").is_ok_and(|number| number == round.number)
}

pub(super) fn round(number: u32) -> io::Result<Round> {
    Ok(Round { device: device(number), number: count(&attributes(number), "diskseq")? })
}

/// What a loop device holds, but which file; `None` when it holds nothing. No device is opened, and no server asked.
fn look(number: u32) -> io::Result<Option<(Round, LoopDevice)>> {
    let disk = attributes(number);
    loop {
        let round = round(number)?;
        let Some(found) = describe(number, &disk)? else {
            return Ok(None);
        };
        // Whatever was attached and detached meanwhile, all that was read is of one round.
        if self::round(number)? == round {
            return Ok(Some((round, found)));
        }
    }
}

/// As the kernel's attributes say it; the names of the directory `loop` are there exactly while a file is attached.
fn describe(number: u32, disk: &Path) -> io::Result<Option<LoopDevice>> {
    let Some(path) = backing_path(disk)? else {
        return Ok(None);
    };
    let yes = |name| Ok::<_, io::Error>(attribute(disk, name)?.as_deref() == Some(b"1".as_slice()));
    Ok(Some(LoopDevice {
        device: device(number),
        number: (loop_ioctl::MAJOR, number),
        backing: Err(Untold::Silent),
        path,
        offset: count(disk, "loop/offset")?.unwrap_or_default(),
        size_limit: count(disk, "loop/sizelimit")?.unwrap_or_default(),
        autoclear: yes("loop/autoclear")?,
        direct_io: yes("loop/dio")?,
        read_only: yes("ro")?,
    }))
}

/// What the file is called: bytes, as anybody may have named it. Empty when that is too long for the kernel to say.
fn backing_path(disk: &Path) -> io::Result<Option<PathBuf>> {
    match attribute(disk, "loop/backing_file") {
        Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => Ok(Some(PathBuf::new())),
        found => Ok(found?.map(|name| PathBuf::from(OsString::from_vec(name)))),
    }
}

fn count(disk: &Path, name: &str) -> io::Result<Option<u64>> {
    let number = attribute(disk, name)?.map(|value| str::from_utf8(&value).ok()?.parse().ok());
    match number {
        Some(None) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no number"))),
        found => Ok(found.flatten()),
    }
}

fn attribute(directory: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(directory.join(name)) {
        Ok(mut value) => {
            value.pop_if(|last| *last == b'\n');
            Ok(Some(value))
        }
        Err(error) if vanished(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// sysfs and the device say so in these ways when another process detaches at this moment.
fn vanished(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO))
}

pub(super) fn detach(device: &Path) -> Result<()> {
    let context = failed("detach", device);
    {
        let _exclusive = claim(device).map_err(&context)?;
        loopdev::LoopDevice::open(device).and_then(|device| device.detach()).map_err(&context)?;
    }
    let until = Instant::now() + PATIENCE;
    // Somebody who looks at the device at this moment (blkid, another Orlop) holds it for that long.
    while holds_something(device).map_err(&context)? {
        if Instant::now() >= until {
            return Err(context(Errno::EBUSY.into()));
        }
        pause();
    }
    Ok(())
}

fn holds_something(device: &Path) -> io::Result<bool> {
    Ok(backing_path(&attributes_of(device))?.is_some())
}

/// Opens a device that no file system uses. An exclusive open is refused while one on it is mounted, in any mount
/// namespace; without it the kernel would say yes to a detach, and let go only with the last user. A container that is
/// being created anywhere on the machine begins with a copy of all mounts and drops it a moment later: that is waited for.
fn claim(device: &Path) -> io::Result<File> {
    let until = Instant::now() + COPIES_GONE;
    loop {
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_EXCL | libc::O_NONBLOCK).open(device);
        match opened {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < until => pause(),
            other => return other,
        }
    }
}

fn pause() {
    thread::sleep(Duration::from_millis(1));
}
