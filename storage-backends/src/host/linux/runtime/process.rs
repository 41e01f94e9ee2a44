//! Processes by number and start time, held by pidfd so that none is mistaken for a later one.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::libc;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::host::Process;

/// A process that lived when it was opened.
#[derive(Debug)]
pub(in crate::host::linux) struct Handle(OwnedFd);

impl Handle {
    /// Opens a process; `None` when it has ended, or when its number is another's now.
    pub(in crate::host::linux) fn open(process: Process) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Self(fd),
            Err(Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // Compared after opening: from here on the number cannot be given away unseen.
        Ok(lives(process).then_some(handle))
    }

    /// Kills it; fine when it has ended meanwhile.
    pub(super) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.0, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Sends a signal by its number, real-time ones included; fine when it has ended meanwhile.
    #[expect(
        unsafe_code,
        reason = "rustix wants a named signal, and stop signals of images may be real-time ones"
    )]
    pub(in crate::host::linux) fn signal(&self, signal: i32) -> io::Result<()> {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, a null siginfo is allowed, and the flags are none.
        let answer =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, no_info, 0) };
        match io::Error::last_os_error() {
            _ if answer == 0 => Ok(()),
            e if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            e => Err(e),
        }
    }

    /// Waits for its end; false when it still lives after `timeout`.
    pub(in crate::host::linux) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        readable(&self.0, timeout)
    }
}

/// Waits until a descriptor can be read; false after `timeout`.
pub(super) fn readable(fd: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether this very process lives; one that waits to be reaped does not.
pub(in crate::host::linux) fn lives(process: Process) -> bool {
    now(process.pid) == Some(process)
}

/// The process that has this number now, unless it only waits to be reaped.
pub(in crate::host::linux) fn now(pid: i32) -> Option<Process> {
    let stat = Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    stat.is_alive().then_some(Process { pid, started: stat.started })
}

/// What the kernel says of whatever has a number.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    threads: u32,
    started: u64,
}

impl Stat {
    /// Fields 3, 20 and 22 of `/proc/PID/stat` (proc(5)); the second is a name that may hold blanks and brackets.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        Some(Self { state, threads, started: fields.nth(1)?.parse().ok()? })
    }

    /// The state is that of the first thread, which may end before the others. As long as one is left, so is all that the
    /// process has open: its port, its files.
    fn is_alive(&self) -> bool {
        self.threads > 1 || !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_needs_past_a_nasty_name() {
        let stat =
            "12 (a) S (b) Z 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 98765 1000 2 18446744073709551615";
        assert_eq!(Stat::parse(stat), Some(Stat { state: 'Z', threads: 3, started: 98765 }));
        assert_eq!(Stat::parse("garbage"), None);
    }

    /// A server that is killed: its first thread may be gone while another still holds its port.
    #[test]
    fn a_process_ends_with_its_last_thread() {
        let rows = [
            ('S', 1, true),
            ('D', 9, true),
            ('Z', 2, true),
            ('Z', 1, false),
            ('Z', 0, false),
            ('X', 1, false),
        ];
        for (state, threads, alive) in rows {
            assert_eq!(Stat { state, threads, started: 1 }.is_alive(), alive, "{state} {threads}");
        }
    }

    #[test]
    fn this_process_lives_and_an_earlier_one_of_its_number_does_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = now(pid).unwrap();
        assert!(lives(own));
        assert!(Handle::open(own).unwrap().is_some());
        let earlier = Process { started: own.started - 1, ..own };
        assert!(!lives(earlier));
        assert!(Handle::open(earlier).unwrap().is_none());
    }
}
