//! A guest that runs: what a test does with it.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    control::{Answer, Control, Pending},
    qemu::Machine,
};

/// How long anything may take in a guest before a test gives up on it. It is emulated, and may share two processors with
/// two others and the rest of the tests.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A guest. Dropped, it is switched off and its disks are gone with its lab.
pub struct Guest {
    machine: Machine,
    power: Option<Power>,
}

struct Power {
    qemu: Child,
    control: Control,
}

impl Guest {
    pub(super) fn boot(machine: Machine) -> Result<Self> {
        let mut guest = Self { machine, power: None };
        guest.power_on()?;
        Ok(guest)
    }

    /// Starts the guest (again), with the disks that it had.
    pub fn power_on(&mut self) -> Result<()> {
        ensure!(self.power.is_none(), "guest {} is on", self.name());
        self.machine.make_disks()?;
        let socket = self.machine.socket();
        // What a guest before this one left.
        let _ = fs::remove_file(&socket);
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("listen on {}", socket.display()))?;
        listener.set_nonblocking(true)?;
        let mut qemu = self.machine.spawn()?;
        match connected(&listener, &mut qemu).and_then(Control::new) {
            Ok(control) => self.power = Some(Power { qemu, control }),
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                let said = fs::read_to_string(self.machine.dir.join("qemu")).unwrap_or_default();
                return Err(error.context(format!("start guest {}: {said}", self.name())));
            }
        }
        Ok(())
    }

    /// Cuts the power: what the guest's kernel has not written to its disks is lost.
    pub fn cut_power(&mut self) {
        if let Some(mut power) = self.power.take() {
            let _ = power.qemu.kill();
            let _ = power.qemu.wait();
        }
    }

    /// Host name.
    pub fn name(&self) -> &str {
        &self.machine.shape.name
    }

    /// Address on the segment.
    pub fn address(&self) -> String {
        self.machine.shape.address()
    }

    /// Gives the guest a script for bash without waiting for its end.
    pub fn send(&self, script: &str) -> Result<Pending> {
        let power = self.power.as_ref().with_context(|| format!("guest {} is off", self.name()))?;
        power.control.send(script).with_context(|| self.describe(script))
    }

    /// Runs a script for bash to its end, whatever that is.
    pub fn answer(&self, script: &str) -> Result<Answer> {
        self.send(script)?.wait(PATIENCE).with_context(|| self.describe(script))
    }

    /// Runs a script that must succeed, and answers its output without blanks at its end.
    pub fn run(&self, script: &str) -> Result<String> {
        let Answer { code, output } = self.answer(script)?;
        ensure!(code == 0, "guest {}: exit code {code} of:\n{script}\n-- it said:\n{output}", self.name());
        Ok(output.trim_end().to_owned())
    }

    /// Runs a script again and again until it succeeds.
    pub fn until(&self, what: &str, script: &str) -> Result<String> {
        let begun = Instant::now();
        loop {
            let Answer { code, output } = self.answer(script)?;
            if code == 0 {
                return Ok(output.trim_end().to_owned());
            }
            if begun.elapsed() > PATIENCE {
                bail!("guest {}: {what} did not come about within {PATIENCE:?}:\n{output}", self.name());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The same, for output that is JSON and must satisfy `reached`.
    pub fn until_json(&self, what: &str, script: &str, reached: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let Answer { code, output } = self.answer(script)?;
            let value = serde_json::from_str(&output).ok().filter(|_| code == 0);
            if let Some(value) = value.as_ref().filter(|value| reached(value)) {
                return Ok(value.clone());
            }
            if begun.elapsed() > PATIENCE {
                bail!("guest {}: {what} did not come about within {PATIENCE:?}:\n{output}", self.name());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The end of what the guest's console shows.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.machine.console()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn describe(&self, script: &str) -> String {
        format!("guest {}: {script}\n-- its console ends with:\n{}\n--", self.name(), self.console())
    }
}

/// Waits until QEMU has connected, or has ended instead.
fn connected(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) => {}
        }
        if let Some(status) = qemu.try_wait()? {
            bail!("QEMU ended: {status}");
        }
        ensure!(begun.elapsed() < PATIENCE, "QEMU did not connect within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- console of guest {} --\n{}", self.name(), self.console());
        }
        self.cut_power();
    }
}
