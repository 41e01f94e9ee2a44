//! One running Orlop in a scratch directory, on a free port; further nodes may join it ([`Cluster::join`]).

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::{FutureExt, future::BoxFuture};
use orlop_client::{Client, Stream, Transport};
use orlop_objects::{Key, Kind, Object, kind};
use serde_json::Value;
use tempfile::TempDir;

use crate::{member::Member, program::Program};

/// How long a state may take to come about before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running Orlop. Dropped, it is taken down with all that it made; with `KEEP=1` it is left for inspection.
pub struct Cluster {
    scratch: TempDir,
    program: Program,
    /// `https://HOST:PORT`, once it was ready.
    url: String,
    /// Client over the unix socket, as `system:admin`.
    pub client: Client,
}

/// The binary under test: `ORLOP_BIN`, or `orlop` as it was built with this test or benchmark.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ORLOP_BIN") {
        return path.into();
    }
    let this = std::env::current_exe().expect("this program has a path");
    // target/PROFILE/deps/TEST, or target/PROFILE/BENCHMARK.
    let built = this.ancestors().skip(1).take(2).map(|dir| dir.join("orlop")).find(|path| path.is_file());
    built.unwrap_or_else(|| panic!("no `orlop` beside {}: `make test` builds it first", this.display()))
}

struct UnixSocket(PathBuf);

impl Transport for UnixSocket {
    fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        async { Ok(Box::new(tokio::net::UnixStream::connect(&self.0).await?) as Box<dyn Stream>) }.boxed()
    }
}

impl Cluster {
    /// Starts an Orlop with a directory of its own and waits until it is ready.
    pub fn start() -> Result<Self> {
        let mut cluster = Self::prepared()?;
        cluster.up(&[])?;
        Ok(cluster)
    }

    /// Starts a server without an agent, in a directory of its own, and waits until it is ready.
    pub fn start_server() -> Result<Self> {
        let mut cluster = Self::prepared()?;
        cluster.serve()?;
        Ok(cluster)
    }

    /// A place for an Orlop that has not been started yet.
    pub fn prepared() -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("orlop-e2e.").tempdir()?;
        let client = Client::new(Arc::new(UnixSocket(scratch.path().join("data/api.sock"))));
        Ok(Self { scratch, program: Program::default(), url: String::new(), client })
    }

    /// The data directory.
    pub fn dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The process id of `orlop up`.
    pub fn pid(&self) -> Option<u32> {
        self.program.pid()
    }

    /// Starts `orlop up` in the same directory (again) and waits until it says that it is ready.
    pub fn up(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        self.up_by(&binary(), environment)
    }

    /// The same by another program than the binary under test.
    pub fn up_by(&mut self, program: &Path, environment: &[(&str, &str)]) -> Result<()> {
        let mut command = self.command_of(program, &["up", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().copied());
        self.become_ready(command)
    }

    /// Starts `orlop server` in the same directory (again), at the same address: agents come back to it.
    pub fn serve(&mut self) -> Result<()> {
        self.serve_with(&[])
    }

    /// The same with further arguments.
    pub fn serve_with(&mut self, arguments: &[&str]) -> Result<()> {
        let address = self.url.strip_prefix("https://").unwrap_or("127.0.0.1:0");
        let mut command = self.command(&["server", "--listen", address]);
        command.args(arguments);
        self.become_ready(command)
    }

    /// Starts `orlop server` in the same directory at another address: agents must be told of it.
    pub fn move_to(&mut self, address: &str) -> Result<()> {
        let command = self.command(&["server", "--listen", address]);
        self.become_ready(command)
    }

    fn become_ready(&mut self, command: Command) -> Result<()> {
        let line = self.program.start(command)?;
        self.url = line.split(' ').nth(1).context("says where it listens")?.to_owned();
        // A connection to the one before may look alive until it is used.
        self.client = Client::new(Arc::new(UnixSocket(self.dir().join("api.sock"))));
        Ok(())
    }

    /// Where it serves HTTPS.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has a further node join, on this machine, and waits until it is Ready.
    pub async fn join(&self, name: &str, arguments: &[&str]) -> Result<Member> {
        let mut member = Member::prepared(name, &self.url, arguments)?;
        member.join(&self.run(&["token", "create", "--quiet"])?)?;
        self.node_ready(name).await?;
        Ok(member)
    }

    /// Waits until a node says that it is Ready.
    pub async fn node_ready(&self, name: &str) -> Result<()> {
        let ready = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        let key = Key::cluster(&kind::NODE, name);
        self.until(&key, "Ready", |node| node.is_some_and(ready)).await.map(drop)
    }

    /// Any command of the binary in this directory, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&binary(), arguments)
    }

    /// The same of another program than the binary under test.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("ORLOP_DATA_DIR", self.dir()).stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary to its end; a failure is an error that holds what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        ensure!(output.status.success(), "orlop {arguments:?}: {}", said(&output));
        Ok(said(&output))
    }

    /// Ends `orlop up` as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.program.kill()
    }

    /// Waits for the end of `orlop up`.
    pub fn wait(&mut self) -> Result<()> {
        self.program.wait()
    }

    /// Whether `orlop up` has ended by itself, and how. Once told, it counts as not running.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.program.ended()
    }

    /// Asks `orlop up` to stop, as a service manager does, and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        self.program.stop()
    }

    /// What `orlop up` has written to standard error so far.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Waits until the log of a pod holds `words`.
    pub async fn logged(&self, pod: &str, words: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.client.raw(&format!("/api/v1/namespaces/default/pods/{pod}/log")).await {
                Ok(text) if String::from_utf8_lossy(&text).contains(words) => return Ok(()),
                answer => {
                    ensure!(started.elapsed() < PATIENCE, "no {words:?} in the log of {pod}: {answer:?}");
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates an object in namespace `default` (or cluster-wide, as its kind demands).
    pub async fn create(&self, kind: &'static Kind, body: Value) -> Result<Object> {
        let namespace = if kind.namespaced { "default" } else { "" };
        self.client.create(kind, namespace, &body).await.with_context(|| format!("create {}", kind.kind))
    }

    /// Waits until an object (or its absence) satisfies `reached`, and answers it.
    pub async fn until(
        &self,
        key: &Key,
        what: &str,
        reached: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Option<Value>> {
        let started = Instant::now();
        loop {
            let answer = tokio::time::timeout(PATIENCE, self.client.get(key)).await;
            let value =
                answer.with_context(|| format!("no answer to get {key}"))??.map(|object| object.value());
            if reached(value.as_ref()) {
                return Ok(value);
            }
            if started.elapsed() > PATIENCE {
                bail!("{key}: {what} not reached within {PATIENCE:?}; it is {value:#?}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for `status.phase` of an object in namespace `default`.
    pub async fn phase(&self, kind: &'static Kind, name: &str, phase: &str) -> Result<Value> {
        let key = Key::new(kind, if kind.namespaced { "default" } else { "" }, name);
        let found = self.until(&key, phase, |v| v.is_some_and(|v| v["status"]["phase"] == phase)).await?;
        found.context("it exists")
    }

    /// Deletes an object in namespace `default` and waits until it is gone.
    pub async fn delete(&self, kind: &'static Kind, name: &str) -> Result<()> {
        let key = Key::new(kind, if kind.namespaced { "default" } else { "" }, name);
        self.client.delete(&key, &serde_json::json!({})).await?;
        self.until(&key, "deletion", |v| v.is_none()).await?;
        Ok(())
    }

    /// Waits until no object of `kind` is left.
    pub async fn none(&self, kind: &'static Kind) -> Result<()> {
        let started = Instant::now();
        loop {
            let left = self.client.list(kind, None, &[]).await?;
            if left.is_empty() {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!(
                    "{} are left: {:?}\n{}",
                    kind.plural,
                    left.iter().map(Object::value).collect::<Vec<_>>(),
                    self.log()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until an Event about the object of this name says all these words; answers all that it says.
    pub async fn told(&self, about: &str, words: &[&str]) -> Result<String> {
        let started = Instant::now();
        loop {
            let reasons = self.reasons(about).await?;
            if let Some(reason) = reasons.iter().find(|reason| words.iter().all(|word| reason.contains(word)))
            {
                return Ok(reason.clone());
            }
            if started.elapsed() > PATIENCE {
                bail!("{about}: no Event says {words:?}, but {reasons:#?}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Messages of all events about the object of this name.
    pub async fn reasons(&self, name: &str) -> Result<Vec<String>> {
        let query = format!("involvedObject.name={name}");
        let events =
            self.client.list(&kind::EVENT, Some("default"), &[("fieldSelector", query.as_str())]).await?;
        let line = |v: Value| {
            format!("{}: {}", v["reason"].as_str().unwrap_or(""), v["message"].as_str().unwrap_or(""))
        };
        Ok(events.iter().map(|e| line(e.value())).collect())
    }
}

/// Everything that a command printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let (down, reset) = (self.command(&["down"]), self.command(&["reset", "--yes"]));
        self.program.clear_away("orlop", &mut self.scratch, down, reset);
    }
}
