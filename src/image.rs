//! `orlop image`: works on the image store itself, whether or not its Orlop is running.

use std::path::Path;

use anyhow::{Context, Result};
use orlop_backends::host::linux::Linux;
use orlop_nodeagent::images::ImageStore;

use crate::{cli::Image, home, machine, say::say};

pub(crate) fn run(dir: &Path, command: &Image) -> Result<()> {
    machine::require_root("image")?;
    // Images in a directory of nobody's would make it one that `orlop up` must refuse.
    home::require_ours(dir)?;
    let store = ImageStore::open(&dir.join("images"))
        .with_context(|| format!("open the images in {}", dir.display()))?;
    match command {
        Image::Load { file } => {
            for image in store.load(file)? {
                say!("loaded {} ({})", image.reference, short(&image.id));
            }
        }
        Image::Ls => list(&store)?,
        Image::Rm { image } => {
            store.remove(image, &Linux)?;
            say!("removed {image}");
        }
    }
    Ok(())
}

fn list(store: &ImageStore) -> Result<()> {
    let images = store.list()?;
    let width = images.iter().map(|i| i.reference.len()).max().unwrap_or(0).max(5);
    say!("{:width$}  {:12}  SIZE", "IMAGE", "ID");
    for image in images {
        say!("{:width$}  {:12}  {}", image.reference, short(&image.id), human(image.size));
    }
    Ok(())
}

fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}
