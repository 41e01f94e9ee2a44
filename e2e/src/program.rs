//! One command of the binary that stays: started, waited for until it says `ready`, and ended.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::cluster::PATIENCE;

/// A running command, or the place for one. Dropping it does not end it.
#[derive(Default)]
pub struct Program {
    process: Option<Child>,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it and answers the line by which it says that it is ready.
    pub fn start(&mut self, mut command: Command) -> Result<String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let errors = BufReader::new(child.stderr.take().context("piped")?);
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || collect(errors, &log));
        let output = BufReader::new(child.stdout.take().context("piped")?);
        let (ready, said_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok).filter(|line| line.starts_with("ready")) {
                // Whoever waited may have given up.
                let _ = ready.send(line);
            }
        });
        let Ok(line) = said_ready.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            bail!("{command:?} did not become ready: {}\n{}", child.wait()?, self.log());
        };
        self.process = Some(child);
        Ok(line)
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.process.take().context("running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<()> {
        self.process.take().context("running")?.wait()?;
        Ok(())
    }

    /// Whether it has ended by itself, and how. Once told, it counts as not running.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let status = process.try_wait()?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(self.pid().context("running")?.try_into()?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let asked = Instant::now();
        while self.ended()?.is_none() {
            ensure!(asked.elapsed() < PATIENCE, "it does not stop\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What it has written to standard error so far, over all its lives.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Takes it down with all that it made in `scratch`; a test that failed is told what it said. With `KEEP=1` all is left
    /// for inspection.
    pub(crate) fn clear_away(
        &mut self,
        name: &str,
        scratch: &mut TempDir,
        mut down: Command,
        mut reset: Command,
    ) {
        if std::env::var_os("KEEP").is_some() {
            eprintln!("KEEP: left for inspection: {}", scratch.path().display());
            scratch.disable_cleanup(true);
            std::mem::forget(self.process.take());
            return;
        }
        if std::thread::panicking() {
            eprintln!("-- what {name} said --\n{}", self.log());
        }
        let _ = down.output();
        let _ = self.wait();
        let _ = reset.output();
    }
}

fn collect(mut source: impl BufRead, log: &Mutex<String>) {
    let mut line = String::new();
    while source.read_line(&mut line).is_ok_and(|n| n > 0) {
        log.lock().unwrap().push_str(&line);
        line.clear();
    }
}
