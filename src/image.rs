//! `orlop image`: works on the image store itself, whether or not its Orlop is running.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use orlop_backends::{
    driver::Disk,
    drivers::loop_file::Lookout,
    host::{Host, linux::Linux},
};
use orlop_nodeagent::{DiskVerdict, images::ImageStore, judge_disk};

use crate::{cli::Image, home, machine, pools, say::say};

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
            for warning in warnings(dir) {
                eprintln!("warning: {warning}");
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

/// What the Node will say of the disk that images lie on, said at once: nobody is refused an image for it.
fn warnings(dir: &Path) -> Vec<String> {
    let host: Arc<dyn Host> = Arc::new(Linux);
    match pools::places(dir) {
        Ok(places) => Lookout::default().look(&host, places).iter().filter_map(warning).collect(),
        Err(error) => vec![format!("whether volumes still have their room is not known: {error:#}")],
    }
}

fn warning(disk: &Disk) -> Option<String> {
    match judge_disk(disk) {
        DiskVerdict::Short(why) => disk.own.then_some(why),
        DiskVerdict::Unknown(why) => Some(format!(
            "whether all volumes on the disk of images still have their room is not known: {why}"
        )),
        DiskVerdict::Room => None,
    }
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
