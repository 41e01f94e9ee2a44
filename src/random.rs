//! Random bytes, from the kernel.

use std::{fs::File, io::Read};

use anyhow::{Context, Result};

/// As many as are asked for.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut random = [0_u8; N];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut random)).context("read /dev/urandom")?;
    Ok(random)
}
