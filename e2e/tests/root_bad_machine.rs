//! What is wrong with the machine is said in words, with the next step: missing programs, a full disk, a data directory
//! that is not Orlop's or not of this Orlop, and a user who is not root.
#![allow(clippy::disallowed_methods, reason = "these tests run programs and mount disks of their own")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE, binary, said},
    images, machine, manifests,
};
use orlop_objects::{Key, kind};
use serde_json::json;

fn refused(mut command: Command, words: &[&str]) -> Result<()> {
    let output = command.output()?;
    let text = said(&output);
    ensure!(!output.status.success(), "{command:?} should fail: {text}");
    for word in words {
        ensure!(text.contains(word), "{command:?}: {word:?} is not in {text:?}");
    }
    Ok(())
}

#[test]
fn root_only_root_runs_it() -> Result<()> {
    if !machine::can_run("root_only_root_runs_it") {
        return Ok(());
    }
    // A copy that anybody may run, in a directory that anybody may enter.
    let place = tempfile::Builder::new().prefix("orlop-e2e.").tempdir_in("/tmp")?;
    let (program, data) = (place.path().join("orlop"), place.path().join("data"));
    fs::copy(binary(), &program)?;
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for arguments in [&["up"][..], &["down"], &["reset", "--yes"], &["image", "ls"]] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--clear-groups"]).arg(&program).args(arguments);
        refused(with_data(command, &data), &["needs root", &format!("sudo orlop {}", arguments[0])])?;
    }
    assert!(!data.exists(), "nothing half made");
    Ok(())
}

fn with_data(mut command: Command, dir: &Path) -> Command {
    command.env("ORLOP_DATA_DIR", dir);
    command
}

#[test]
fn root_a_directory_of_nobodys_or_of_a_newer_orlop_is_refused() -> Result<()> {
    if !machine::can_run("root_a_directory_of_nobodys_or_of_a_newer_orlop_is_refused") {
        return Ok(());
    }
    let mut cluster = Cluster::prepared()?;
    let archive = cluster.dir().with_file_name("busybox.tar");
    images::write_busybox(&archive)?;
    let load = ["image", "load", &archive.to_string_lossy()];
    refused(cluster.command(&load), &["not a data directory of Orlop", "start `orlop up`"])?;
    assert!(!cluster.dir().exists(), "a refused command makes no directory");

    cluster.up(&[])?;
    cluster.run(&load)?;
    cluster.stop()?;
    let format = cluster.dir().join("store/FORMAT");
    let old = fs::read_to_string(&format)?;
    let newer = old.replace("\"format\": 1", "\"format\": 2");
    ensure!(newer != old, "FORMAT has another form: {old}");
    fs::write(&format, newer)?;
    let up = || cluster.command(&["up", "--listen", "127.0.0.1:0"]);
    refused(up(), &["written by a newer Orlop", "start that newer Orlop"])?;
    fs::write(&format, old)?;
    let instance = fs::read_to_string(cluster.dir().join("instance"))?;
    fs::write(cluster.dir().join("instance"), "nonsense\n")?;
    refused(up(), &["instance holds \"nonsense\"", "restore it"])?;
    fs::write(cluster.dir().join("instance"), instance)?;
    cluster.up(&[])
}

/// A program that starts Orlop where `hidden` is not installed: in a mount namespace whose `dir` lacks it.
fn without(hidden: &Path, scratch: &Path) -> Result<PathBuf> {
    let (dir, name) = (hidden.parent().context("a directory")?, hidden.file_name().context("a name")?);
    let [upper, work] = ["upper", "work"].map(|part| scratch.join(part));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let dir = dir.canonicalize()?;
    let script = format!(
        "#!/bin/sh\nexec unshare --mount --propagation slave sh -ec 'mount -t overlay overlay -o lowerdir={dir},upperdir={upper},workdir={work} {dir}; \
         rm {dir}/{name}; exec {orlop} \"$@\"' sh \"$@\"\n",
        dir = dir.display(),
        upper = upper.display(),
        work = work.display(),
        name = name.to_string_lossy(),
        orlop = binary().display(),
    );
    let program = scratch.join("orlop-without");
    fs::write(&program, script)?;
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(program)
}

fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

#[test]
fn root_a_copied_directory_is_not_taken_for_the_original() -> Result<()> {
    if !machine::can_run("root_a_copied_directory_is_not_taken_for_the_original") {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    cluster.kill()?;
    let copy = cluster.dir().with_file_name("copy");
    let copied = Command::new("cp").arg("-a").arg(cluster.dir()).arg(&copy).status()?;
    assert!(copied.success());
    for arguments in [&["up", "--listen", "127.0.0.1:0"][..], &["down"], &["reset", "--yes"]] {
        refused(with_data(cluster.command(arguments), &copy), &["is a copy of", "instance"])?;
    }
    // The way out that was named: the copy becomes an Orlop of its own, and goes without the original noticing.
    fs::write(copy.join("instance"), "00c0ffee\n")?;
    let output = with_data(cluster.command(&["reset", "--yes"]), &copy).output()?;
    assert!(output.status.success() && !copy.exists(), "{}", said(&output));
    cluster.up(&[])
}

#[tokio::test]
async fn root_missing_programs_are_named_with_their_package() -> Result<()> {
    if !machine::can_run("root_missing_programs_are_named_with_their_package") {
        return Ok(());
    }
    for (program, package, about) in
        [("runc", "runc", "p"), ("conmon", "conmon", "p"), ("mkfs.ext4", "e2fsprogs", "c")]
    {
        let Some(path) = installed(program) else {
            machine::skipped(
                "root_missing_programs_are_named_with_their_package",
                format!("no {program} to hide"),
            );
            continue;
        };
        let mut cluster = Cluster::prepared()?;
        let scratch = tempfile::Builder::new().prefix("orlop-e2e.").tempdir()?;
        cluster.up_by(&without(&path, scratch.path())?, &[])?;
        let words = format!("{program} is not installed: install the package {package}");
        ensure!(cluster.log().contains(&words), "{words:?} is not in\n{}", cluster.log());
        images::load_busybox(&cluster)?;
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("c", "32Mi")).await?;
        cluster.create(&kind::POD, manifests::pod("p", "sleep 100", Some("c"))).await?;
        let words = format!("{program} is not installed; install the package {package}");
        cluster.told(about, &[&words]).await?;
        cluster.delete(&kind::POD, "p").await?;
        cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "c").await?;
        cluster.none(&kind::PERSISTENT_VOLUME).await?;
        cluster.stop()?;
    }
    Ok(())
}

/// Names of all files of logs, with their sizes.
fn logs_of(cluster: &Cluster) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut directories = vec![cluster.dir().join("logs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) if found.is_dir() => directories.push(entry.path()),
                Ok(file) => found.push((entry.path(), file.len())),
                // Renamed or removed at this moment.
                Err(_) => {}
            }
        }
    }
    Ok(found)
}

/// A log that would grow for ever begins anew, and who follows it is told all the same.
#[tokio::test]
async fn root_a_log_has_an_end() -> Result<()> {
    if !machine::can_run("root_a_log_has_an_end") {
        return Ok(());
    }
    const LIMIT: u64 = 64 << 20;
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    let line = "0123456789abcdef".repeat(32);
    let script = format!("yes {line} | head -c {}; echo the end; exec sleep 1000", LIMIT + (4 << 20));
    cluster.create(&kind::POD, manifests::pod("p", &script, None)).await?;
    cluster.phase(&kind::POD, "p", "Running").await?;
    let heard = tempfile::NamedTempFile::new()?;
    let url = "http://orlop/api/v1/namespaces/default/pods/p/log?follow=true";
    let mut follower = Command::new("curl")
        .args(["-sSN", "--unix-socket"])
        .arg(cluster.dir().join("api.sock"))
        .arg(url)
        .stdout(heard.reopen()?)
        .spawn()
        .context("curl")?;
    let started = Instant::now();
    while !last_line(heard.path())?.contains("the end") {
        for (log, length) in logs_of(&cluster)? {
            ensure!(length <= LIMIT, "{} has {length} bytes", log.display());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the follower has not heard the end: {:?}",
            follower.try_wait()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = cluster.client.raw("/api/v1/namespaces/default/pods/p/log").await?;
    ensure!(log.ends_with(b"the end\n") && log.len() < 32 << 20, "it began anew: {} bytes", log.len());
    cluster.delete(&kind::POD, "p").await?;
    ensure!(follower.wait()?.success(), "the follower ends with the container");
    Ok(())
}

fn last_line(path: &Path) -> Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(100)))?;
    let mut end = String::new();
    file.read_to_string(&mut end)?;
    Ok(end)
}

/// Two nodes in containers have the same directory, each in its own view: the kernel names their files alike.
#[test]
fn root_down_leaves_another_orlops_device_of_the_same_name() -> Result<()> {
    if !machine::can_run("root_down_leaves_another_orlops_device_of_the_same_name") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let (pool, scratch) = (cluster.dir().join("pool"), tempfile::tempdir()?);
    fs::File::create(scratch.path().join("pvc-a.img"))?.set_len(1 << 20)?;
    let script = format!(
        "mount --bind {} {pool} && losetup --find --show {pool}/pvc-a.img && read end",
        scratch.path().display(),
        pool = pool.display()
    );
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut device = String::new();
    let stdout = other.stdout.take().context("its output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut device)?;
    let device = device.trim().to_owned();
    let named =
        fs::read_to_string(format!("/sys/block/{}/loop/backing_file", device.trim_start_matches("/dev/")));
    let down = cluster.run(&["down"]);
    let left = Command::new("losetup").arg(&device).status()?.success();
    let _ = Command::new("losetup").args(["--detach", &device]).status();
    drop(other.stdin.take());
    other.wait()?;
    let named = named.with_context(|| format!("{device:?} is no device"))?;
    down.context("down is clean")?;
    if named.trim_end() != pool.join("pvc-a.img").to_string_lossy() {
        let why = format!("below a changed root the kernel names the file {}", named.trim_end());
        machine::skipped("root_down_leaves_another_orlops_device_of_the_same_name", &why);
    }
    ensure!(left, "down has taken {device}, which is another's");
    Ok(())
}

/// A small disk of its own, mounted somewhere.
struct Disk {
    place: PathBuf,
    _image: tempfile::TempDir,
}

impl Disk {
    fn at(place: PathBuf) -> Result<Self> {
        let image = tempfile::Builder::new().prefix("orlop-e2e.").tempdir()?;
        let file = image.path().join("disk");
        fs::File::create(&file)?.set_len(192 << 20)?;
        for command in [
            Command::new("mkfs.ext4").arg("-qF").arg(&file),
            Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&place),
        ] {
            let output = command.output()?;
            ensure!(output.status.success(), "{command:?}: {}", said(&output));
        }
        Ok(Self { place, _image: image })
    }

    /// Leaves not one block free.
    fn fill(&self) -> Result<()> {
        for block in [1 << 20, 4096, 1] {
            let bytes = vec![7; block];
            let mut file = fs::File::create(self.place.join(format!("filler-{block}")))?;
            while std::io::Write::write_all(&mut file, &bytes).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        for block in [1 << 20, 4096, 1] {
            fs::remove_file(self.place.join(format!("filler-{block}")))?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
        let _ = fs::remove_dir(&self.place);
    }
}

#[tokio::test]
async fn root_a_disk_of_its_own_can_be_the_data_directory() -> Result<()> {
    if !machine::can_run("root_a_disk_of_its_own_can_be_the_data_directory") {
        return Ok(());
    }
    let cluster = Cluster::prepared()?;
    fs::create_dir(cluster.dir())?;
    // Dropped after the cluster.
    let disk = Disk::at(cluster.dir())?;
    let mut cluster = cluster;
    let left = || -> Result<Vec<_>> {
        let names = fs::read_dir(&disk.place)?.map(|entry| Ok(entry?.file_name()));
        names.collect()
    };
    assert_eq!(left()?, ["lost+found"], "as mkfs leaves it");
    for interrupted in [false, true] {
        cluster.up(&[])?;
        images::load_busybox(&cluster)?;
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("c", "16Mi")).await?;
        cluster.create(&kind::POD, manifests::pod("p", "sleep 1000", Some("c"))).await?;
        cluster.phase(&kind::POD, "p", "Running").await?;
        if interrupted {
            // As a reset leaves it that ended before its end: everything is down, and some is gone.
            cluster.run(&["down"])?;
            for part in ["agent", "images", "store"] {
                fs::remove_dir_all(cluster.dir().join(part))?;
            }
        }
        let words = format!("emptied {}, which stays", cluster.dir().display());
        let output = cluster.run(&["reset", "--yes"])?;
        ensure!(output.contains(&words), "{words:?} is not in {output}");
        cluster.wait()?;
        assert_eq!(left()?, ["lost+found"], "all data is gone, and the disk can begin anew");
    }
    drop(cluster);
    drop(disk);
    Ok(())
}

#[tokio::test]
async fn root_a_full_disk_refuses_in_words_and_loses_nothing() -> Result<()> {
    if !machine::can_run("root_a_full_disk_refuses_in_words_and_loses_nothing") {
        return Ok(());
    }
    let cluster = Cluster::prepared()?;
    // Dropped after the cluster, whose directory lies on it.
    let disk = Disk::at(cluster.dir().parent().context("a parent")?.to_owned())?;
    let mut cluster = cluster;
    cluster.up(&[])?;
    images::load_busybox(&cluster)?;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim("c", "16Mi")).await?;
    cluster.create(&kind::POD, manifests::pod("p", "sleep 1000", Some("c"))).await?;
    cluster.phase(&kind::POD, "p", "Running").await?;
    disk.fill()?;

    let large =
        |n: usize| json!({"metadata": {"name": format!("large-{n}")}, "data": {"a": noise(n, 200_000)}});
    let mut kept = 0;
    let refusal = loop {
        match cluster.client.create(&kind::CONFIG_MAP, "default", &large(kept)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        ensure!(kept < 1000, "200 MB were written to a disk that is full");
    };
    assert_eq!(refusal.code(), Some(503), "{refusal}");
    assert!(
        refusal.to_string().contains("is full") && refusal.to_string().contains("free space"),
        "{refusal}"
    );
    cluster.client.list(&kind::POD, None, &[]).await.context("reading goes on")?;

    disk.free()?;
    cluster.kill()?;
    cluster.up(&[])?;
    for n in 0..kept {
        let key = Key::new(&kind::CONFIG_MAP, "default", format!("large-{n}"));
        let found = cluster.client.get(&key).await?.with_context(|| format!("{key} was acknowledged"))?;
        assert_eq!(found.value()["data"], large(n)["data"], "{key}");
    }
    cluster.create(&kind::CONFIG_MAP, large(kept)).await.context("writing goes on")?;
    cluster.phase(&kind::POD, "p", "Running").await?;
    cluster.delete(&kind::POD, "p").await?;
    cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, "c").await?;
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    assert_eq!(machine::left_below(&cluster.dir()), Vec::<String>::new());
    drop(cluster);
    drop(disk);
    Ok(())
}

/// Text that does not compress, and is the same for the same number.
fn noise(n: usize, length: usize) -> String {
    let mut state = n as u64 + 1;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 59) as u8 % 26)
    });
    digits.take(length).collect()
}
