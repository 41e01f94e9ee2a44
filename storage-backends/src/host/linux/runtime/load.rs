//! How much the kernel has left, by its own files.
//!
//! | file | says |
//! |---|---|
//! | `/proc/meminfo`, `MemAvailable` | memory that can be had without swapping |
//! | `/proc/loadavg`, behind the slash | processes and threads |
//! | `/proc/sys/kernel/pid_max`, `threads-max` | how many there can be: the smaller of both |

use std::{fs, io, path::Path};

use super::super::failed;
use crate::host::{Load, Result};

pub(super) fn look() -> Result<Load> {
    let limit = |path| read(path, number);
    Ok(Load {
        memory: read("/proc/meminfo", memory)?,
        tasks: read("/proc/loadavg", tasks)?,
        most_tasks: limit("/proc/sys/kernel/pid_max")?.min(limit("/proc/sys/kernel/threads-max")?),
    })
}

fn read(path: &str, meaning: impl Fn(&str) -> Option<u64>) -> Result<u64> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "it is not written as expected");
    let text = fs::read_to_string(path);
    text.and_then(|text| meaning(&text).ok_or_else(unknown)).map_err(failed("read", Path::new(path)))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    number(line.trim().strip_suffix("kB")?)?.checked_mul(1024)
}

fn tasks(loadavg: &str) -> Option<u64> {
    number(loadavg.split_whitespace().nth(3)?.split_once('/')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(memory("MemTotal: 9 kB\nMemAvailable:    8025532 kB\n"), Some(8_025_532 << 10));
        assert_eq!(tasks("0.20 0.18 0.12 1/803 11206\n"), Some(803));
        assert_eq!(number("4194304\n"), Some(4_194_304));
        assert_eq!((memory("MemFree: 1 kB\n"), tasks("0.20\n"), number("max")), (None, None, None));
    }

    #[test]
    fn this_machine_says_what_it_has_left() {
        let load = look().unwrap();
        assert!(load.memory > 0 && load.tasks > 0 && load.tasks < load.most_tasks, "{load:?}");
    }
}
