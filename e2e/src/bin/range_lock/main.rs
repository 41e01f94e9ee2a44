//! Locks bytes of a file (`fcntl`, as databases do) and holds them: `range_lock FILE START LENGTH [hold]`.
//!
//! Exit code 0 when the lock was had, 1 when another holds it, 2 for anything else. With `hold` it says `locked` and keeps
//! the lock until it is killed.

use std::{fs::OpenOptions, io::Write, os::fd::AsFd, process::ExitCode};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match lock(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("range_lock: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn lock(arguments: &[String]) -> anyhow::Result<bool> {
    let [file, start, length, hold @ ..] = arguments else { anyhow::bail!("FILE START LENGTH [hold]") };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)?;
    let range = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start.parse()?,
        l_len: length.parse()?,
        l_pid: 0,
    };
    match fcntl(file.as_fd(), FcntlArg::F_SETLK(&range)) {
        Ok(_) if hold.is_empty() => Ok(true),
        Ok(_) => {
            println!("locked");
            std::io::stdout().flush()?;
            loop {
                std::thread::park();
            }
        }
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
