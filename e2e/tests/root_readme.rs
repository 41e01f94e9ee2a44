//! The README's two stories, run exactly as they are printed. Only the data directory and the port are other ones.
#![allow(clippy::disallowed_methods, reason = "these tests run a shell; that is what they are for")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{PATIENCE, binary},
    machine,
};
use tempfile::TempDir;

/// Both stories write the same file below /tmp.
static ONE_STORY: Mutex<()> = Mutex::new(());
const END: &str = "-- end of the block";

/// The fenced shell blocks of one section of the README.
fn blocks(section: &str) -> Vec<String> {
    let text = include_str!("../../README.md");
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let fences = section.split("```sh\n").skip(1);
    fences.map(|fence| fence.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// A shell that a reader pastes into, in a checkout whose binary is the one under test.
struct Reader {
    scratch: TempDir,
    shell: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Reader {
    fn new() -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("orlop-readme.").tempdir()?;
        let release = scratch.path().join("target/release");
        std::fs::create_dir_all(&release)?;
        std::os::unix::fs::symlink(binary(), release.join("orlop"))?;
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        std::os::unix::fs::symlink(examples, scratch.path().join("examples"))?;
        let mut shell = Command::new("bash")
            .arg("-es")
            .current_dir(scratch.path())
            .env("HOME", scratch.path())
            .env("ORLOP_DATA_DIR", scratch.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start bash")?;
        let mut input = shell.stdin.take().context("piped")?;
        input.write_all(b"exec 2>&1\n")?;
        let output = BufReader::new(shell.stdout.take().context("piped")?);
        Ok(Self { scratch, shell, input: Some(input), output })
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Pastes a block; answers what was printed until its end.
    fn paste(&mut self, block: &str) -> Result<String> {
        self.write(&format!("{block}echo '{END}'\n"))?;
        let mut printed = String::new();
        loop {
            let before = printed.len();
            ensure!(self.output.read_line(&mut printed)? > 0, "the README's story broke off:\n{printed}");
            if printed[before..].contains(END) {
                return Ok(printed);
            }
        }
    }

    /// Pastes the last block and answers its question; answers what was printed until the shell ended.
    fn paste_last(&mut self, block: &str, answer: &str) -> Result<String> {
        self.write(&format!("{block}{answer}"))?;
        drop(self.input.take());
        let mut printed = String::new();
        self.output.read_to_string(&mut printed)?;
        Ok(printed)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let text = text
            .replace("/var/lib/orlop", &self.dir().to_string_lossy())
            .replace("orlop up &", "orlop up --listen 127.0.0.1:0 &");
        Ok(self.input.as_mut().context("open")?.write_all(text.as_bytes())?)
    }

    /// Waits until nothing is left of any volume.
    fn nothing_left(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let pool = std::fs::read_dir(self.dir().join("pool"))?.count();
            let left = machine::left_below(&self.dir());
            if pool == 0 && left.is_empty() {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "{pool} files in the pool, and {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.input.take());
        for arguments in [&["down"][..], &["reset", "--yes"]] {
            let _ = Command::new(binary()).args(arguments).env("ORLOP_DATA_DIR", self.dir()).output();
        }
        let _ = self.shell.wait();
    }
}

fn must_hold(printed: &str, parts: &[&str]) {
    for part in parts {
        assert!(printed.contains(part), "{part:?} is not in what the story printed:\n{printed}");
    }
}

#[test]
fn root_readme_with_kubectl() -> Result<()> {
    const TEST: &str = "root_readme_with_kubectl";
    if !machine::can_run(TEST) || !machine::has_kubectl(TEST) {
        return Ok(());
    }
    let _alone = ONE_STORY.lock();
    let blocks = blocks("With kubectl");
    let [story, end] = blocks.as_slice() else { panic!("two blocks, not {blocks:#?}") };
    let mut reader = Reader::new()?;
    let printed = reader.paste(story)?;
    must_hold(
        &printed,
        &[
            "ready: https://127.0.0.1:",
            "loaded docker.io/library/busybox:latest",
            "waiting for first consumer",
            "pod/writer condition met",
            "Bound",
            "64Mi",
            "the volume is full at its own size, and nothing else is",
            "pod/reader condition met",
            "written by writer",
            "persistentvolumeclaim \"data\" deleted",
        ],
    );
    reader.nothing_left()?;
    let printed = reader.paste_last(end, "yes\n")?;
    must_hold(&printed, &["data stays", "This removes all volumes, images and objects in", "removed "]);
    assert!(!reader.dir().exists());
    Ok(())
}

#[test]
fn root_readme_with_curl() -> Result<()> {
    if !machine::can_run("root_readme_with_curl") {
        return Ok(());
    }
    let _alone = ONE_STORY.lock();
    let blocks = blocks("With nothing but curl");
    let [story] = blocks.as_slice() else { panic!("one block, not {blocks:#?}") };
    let mut reader = Reader::new()?;
    let printed = reader.paste(story)?;
    must_hold(
        &printed,
        &[
            "\"phase\":\"Bound\"",
            "the volume is full at its own size, and nothing else is",
            "{\"type\":\"DELETED\"",
            "\"phase\":\"Succeeded\"",
            "\nwritten by writer\n",
            "ProvisioningSucceeded",
        ],
    );
    assert!(!printed.contains("\"Failure\""), "{printed}");
    reader.nothing_left()
}
