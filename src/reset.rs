//! `orlop reset`: removes all data of one Orlop, after asking.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use orlop_backends::host::{Host, linux::Linux};

use crate::{Wrap, cli::Reset, down, home, machine, pools};

/// Takes the Orlop of `dir` down and removes the directory. Only a directory of Orlop's; only after a yes.
pub(crate) fn run(dir: &Path, flags: &Reset, wrap: Wrap<'_>) -> Result<()> {
    machine::require_root("reset")?;
    if !home::is_ours(dir) {
        bail!(
            "{} is not a data directory of Orlop (no file `instance` in it); nothing was removed",
            dir.display()
        );
    }
    if !flags.yes && !confirmed(dir)? {
        bail!("nothing was removed");
    }
    down::run(dir, wrap)?;
    let home = home::Home::existing(dir)?;
    let host = Linux;
    let outside = pools::outside(&home)?;
    // The remover refuses to begin while anything is mounted below, so a volume can never be emptied by way of its mount.
    for place in [home.run_dir(), home.dir.clone()] {
        if place.exists() {
            host.remove_tree(&place).with_context(|| format!("remove {}", place.display()))?;
        }
    }
    for word in [home.pools_file(), home.owner_file()] {
        match std::fs::remove_file(&word) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", word.display()));
            }
            _ => {}
        }
    }
    println!("removed {}", home.dir.display());
    for pool in outside {
        println!(
            "left {}: a pool outside of the data directory is not removed; its volumes are still there",
            pool.display()
        );
    }
    Ok(())
}

fn confirmed(dir: &Path) -> Result<bool> {
    print!("This removes all volumes, images and objects in {}. Type `yes` to go on: ", dir.display());
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
