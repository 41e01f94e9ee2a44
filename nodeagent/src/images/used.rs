//! Which images the kernel has beneath a running container's root. A layer that went from under an overlay would take the
//! container's programs with it, and the kernel keeps nobody from removing it.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use orlop_backends::host::MountEntry;

use super::Image;

/// The directories that overlays of this machine stand on, by device and inode: a path may lead there in several ways.
#[derive(Debug, Default)]
pub struct Used(BTreeSet<(u64, u64)>);

impl Used {
    /// What a full list of mounts says.
    pub fn by(mounts: &[MountEntry]) -> Self {
        let overlays = mounts.iter().filter(|mount| mount.fs_type == "overlay");
        // A path that leads nowhere is of another mount namespace, or of layers that are gone.
        Self(overlays.flat_map(lower).filter_map(|path| identity(Path::new(path))).collect())
    }

    /// Whether a container stands on any layer of the image's.
    pub fn has(&self, image: &Image) -> bool {
        image.layers.first().and_then(|top| identity(top)).is_some_and(|top| self.0.contains(&top))
    }
}

/// An overlay's layers, as the kernel lists them: in one option, or in one for each.
fn lower(mount: &MountEntry) -> impl Iterator<Item = &str> {
    let options = mount.super_options.split(',');
    let lists = options
        .filter_map(|option| option.strip_prefix("lowerdir=").or_else(|| option.strip_prefix("lowerdir+=")));
    lists.flat_map(|list| list.split(':'))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::images::ImageConfig;

    fn overlay(fs_type: &str, options: &str) -> MountEntry {
        MountEntry {
            id: 1,
            parent: 0,
            number: (0, 40),
            root: "/".into(),
            target: "/somewhere".into(),
            options: "rw".into(),
            fs_type: fs_type.into(),
            source: "overlay".into(),
            super_options: options.into(),
        }
    }

    fn image(layers: Vec<PathBuf>) -> Image {
        Image {
            reference: "a".into(),
            id: "sha256:a".into(),
            size: 0,
            config: ImageConfig::default(),
            layers,
        }
    }

    #[test]
    fn an_image_is_used_while_an_overlay_stands_on_its_top_layer() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["base", "top", "other"] {
            fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), at("way")).unwrap();
        let (top, base) = (at("way/top"), at("base"));
        let (top, base) = (top.display(), base.display());
        for (fs_type, options, used) in [
            ("overlay", format!("rw,lowerdir={top}:{base},upperdir=/u,workdir=/w"), true),
            ("overlay", format!("rw,lowerdir+={top},lowerdir+={base},upperdir=/u,workdir=/w"), true),
            ("overlay", format!("rw,lowerdir={base},upperdir=/u"), false),
            ("overlay", "rw,lowerdir=/nonexistent".to_owned(), false),
            ("tmpfs", format!("rw,lowerdir={top}"), false),
        ] {
            let found = Used::by(&[overlay(fs_type, &options)]);
            assert_eq!(found.has(&image(vec![at("top"), at("base")])), used, "{options}");
            assert!(!found.has(&image(vec![at("other"), at("base")])), "{options}");
        }
    }
}
