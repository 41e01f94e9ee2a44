//! A further node of a cluster: an agent on this machine with a directory and a name of its own.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Result;
use tempfile::TempDir;

use crate::{cluster::binary, program::Program};

/// An agent that has joined. Dropped, it is taken down with all that it made; with `KEEP=1` it is left for inspection.
pub struct Member {
    scratch: TempDir,
    /// The node's name.
    pub name: String,
    server: String,
    arguments: Vec<String>,
    program: Program,
}

impl Member {
    /// A place for an agent of the server at this URL, not yet started; `arguments` go to every start of it.
    pub fn prepared(name: &str, server: &str, arguments: &[&str]) -> Result<Self> {
        Ok(Self {
            scratch: tempfile::Builder::new().prefix("orlop-e2e.").tempdir()?,
            name: name.to_owned(),
            server: server.to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            program: Program::default(),
        })
    }

    /// Its data directory.
    pub fn dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The first start, with the token, which is removed once it is used.
    pub fn join(&mut self, token: &str) -> Result<()> {
        self.join_with(token, &[])
    }

    /// The same with arguments for this start alone.
    pub fn join_with(&mut self, token: &str, arguments: &[&str]) -> Result<()> {
        let file = self.token_file();
        fs::write(&file, token)?;
        let mut command = self.agent(&["--token", &file.to_string_lossy(), "--node-name", &self.name]);
        command.args(arguments);
        self.program.start(command)?;
        fs::remove_file(file).map_err(Into::into)
    }

    /// Any later start: with what is in its directory, and still with the flag for the token, as a unit has it.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// The same with arguments for this start alone.
    pub fn start_with(&mut self, arguments: &[&str]) -> Result<()> {
        let mut command = self.agent(&["--token", &self.token_file().to_string_lossy()]);
        command.args(arguments);
        self.program.start(command).map(drop)
    }

    /// From its next start on its server is there.
    pub fn follow(&mut self, server: &str) {
        server.clone_into(&mut self.server);
    }

    fn token_file(&self) -> PathBuf {
        self.scratch.path().join("token")
    }

    /// `orlop agent` for this server with further arguments, not yet started.
    pub fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["agent", "--server", &self.server]);
        command.args(&self.arguments).args(arguments);
        command
    }

    /// Any command of the binary in its directory, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("ORLOP_DATA_DIR", self.dir()).stdin(Stdio::null());
        command
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.program.pid()
    }

    /// Ends it as a crash would; its containers go on.
    pub fn kill(&mut self) -> Result<()> {
        self.program.kill()
    }

    /// Asks it to stop and waits until it has; its containers go on.
    pub fn stop(&mut self) -> Result<()> {
        self.program.stop()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.program.log()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let (down, reset) = (self.command(&["down"]), self.command(&["reset", "--yes"]));
        self.program.clear_away(&format!("the agent of {}", self.name), &mut self.scratch, down, reset);
    }
}
