//! Stock kubectl against a running Orlop.

use std::{process::Command, time::Instant};

use anyhow::{Result, bail, ensure};

use crate::cluster::{Cluster, PATIENCE, said};

/// kubectl with the administrator's kubeconfig and a cache of its own.
pub struct Kubectl<'a>(pub &'a Cluster);

impl Kubectl<'_> {
    /// kubectl with these arguments, in the folder of the first volume's manifests, not yet started.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.0.dir().join("admin.kubeconfig"));
        command.arg("--cache-dir").arg(self.0.dir().with_file_name("cache"));
        command.args(words(arguments));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/first-volume"));
        command
    }

    /// Runs to the end; a failure is an error that holds what it said.
    pub fn run(&self, arguments: &str) -> Result<String> {
        let output = self.command(arguments).output()?;
        ensure!(output.status.success(), "kubectl {arguments}: {}\n{}", said(&output), self.0.log());
        Ok(said(&output))
    }

    /// Runs until what it prints holds all `parts`; for what another part of Orlop brings about.
    pub fn until(&self, arguments: &str, parts: &[&str]) -> Result<String> {
        let started = Instant::now();
        loop {
            let text = self.run(arguments)?;
            if parts.iter().all(|part| text.contains(part)) {
                return Ok(text);
            }
            if started.elapsed() > PATIENCE {
                bail!("kubectl {arguments}: {parts:?} not in\n{text}");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Runs, and must fail with these words.
    pub fn refused(&self, arguments: &str, part: &str) -> Result<()> {
        let output = self.command(arguments).output()?;
        let text = said(&output);
        ensure!(
            !output.status.success() && text.contains(part),
            "kubectl {arguments} should fail with {part:?}: {text}"
        );
        Ok(())
    }
}

/// Splits at blanks; what stands in single quotes stays together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    words
}
