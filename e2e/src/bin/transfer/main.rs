//! How long a file in a directory takes: `transfer WHAT DIR` prints seconds.
//!
//! | what | is timed |
//! |---|---|
//! | `synced` | 100 blocks of 64 KiB to a new file, each on disk before the next |
//! | `write` | 64 MiB to a new file, on disk at the end; it stays |
//! | `read` | that file, by a kernel that remembers nothing of it |
//!
//! As root: what the kernel remembers of files is dropped before each.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

const SYNCED: usize = 100;
const BLOCK: usize = 64 << 10;
const SEQUENTIAL: usize = 64 << 20;
/// Of a program that copies files.
const BUFFER: usize = 1 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, dir] = arguments.as_slice() else { bail!("transfer synced|write|read DIR") };
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").context("drop what the kernel remembers")?;
    let dir = Path::new(dir);
    let took = match what.as_str() {
        "synced" => synced(&dir.join("synced")),
        "write" => write(&dir.join("sequential")),
        "read" => read(&dir.join("sequential")),
        other => bail!("{other:?} is none of synced, write and read"),
    }?;
    println!("{:.6}", took.as_secs_f64());
    Ok(())
}

fn synced(path: &Path) -> Result<Duration> {
    let block = vec![7; BLOCK];
    let begun = Instant::now();
    let mut file = File::create(path)?;
    for _ in 0..SYNCED {
        file.write_all(&block)?;
        file.sync_all()?;
    }
    drop(file);
    let took = begun.elapsed();
    fs::remove_file(path)?;
    Ok(took)
}

fn write(path: &Path) -> Result<Duration> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let block = vec![7; BUFFER];
    let begun = Instant::now();
    let mut file = File::create(path)?;
    for _ in 0..SEQUENTIAL / BUFFER {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    drop(file);
    Ok(begun.elapsed())
}

fn read(path: &Path) -> Result<Duration> {
    let (mut block, mut length) = (vec![0; BUFFER], 0);
    let begun = Instant::now();
    let mut file = File::open(path)?;
    loop {
        match file.read(&mut block)? {
            0 => break,
            n => length += n,
        }
    }
    let took = begun.elapsed();
    ensure!(length == SEQUENTIAL, "{} has {length} bytes", path.display());
    Ok(took)
}
