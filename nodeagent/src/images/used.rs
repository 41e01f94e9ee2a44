//! Which images the kernel has beneath a running container's root. A layer that went from under an overlay would take the
//! container's programs with it, and the kernel keeps nobody from removing it.
//!
//! | the image's topmost layer | used |
//! |---|---|
//! | is beneath an overlay, by whatever path | yes |
//! | is beneath none, or is not there | no |
//! | cannot be looked at | yes: a failed look is no "no" |

use std::{collections::HashSet, path::Path};

use orlop_backends::host::{self, FileId, Host, MountEntry};

use super::Image;

/// The directories that overlays of this machine stand on.
pub struct Used<'a> {
    host: &'a dyn Host,
    layers: HashSet<FileId>,
}

impl<'a> Used<'a> {
    /// Looks at all mounts. Blocks.
    pub fn look(host: &'a dyn Host) -> host::Result<Self> {
        let mounts = host.mounts()?;
        let overlays = mounts.iter().filter(|mount| mount.fs_type == "overlay");
        // A path that leads nowhere is of another mount namespace, or of layers that are gone; one that cannot be looked at
        // is told with the image's own.
        let found = overlays.flat_map(lower).filter_map(|path| host.file(Path::new(path)).ok().flatten());
        Ok(Self { host, layers: found.map(|layer| layer.id).collect() })
    }

    /// Whether a container stands on any layer of the image's: all of them are beneath whoever has the topmost. Blocks.
    pub fn has(&self, image: &Image) -> bool {
        let top = image.layers.first().map(|top| self.host.file(top));
        match top {
            None | Some(Ok(None)) => false,
            Some(Ok(Some(top))) => self.layers.contains(&top.id),
            Some(Err(_)) => true,
        }
    }
}

/// An overlay's layers, as the kernel lists them: in one option, or in one for each.
fn lower(mount: &MountEntry) -> impl Iterator<Item = &str> {
    let options = mount.super_options.split(',');
    let lists = options
        .filter_map(|option| option.strip_prefix("lowerdir=").or_else(|| option.strip_prefix("lowerdir+=")));
    lists.flat_map(|list| list.split(':'))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use orlop_backends::host::{MountRequest, fake::Fake, faulty::Faulty};

    use super::*;
    use crate::images::ImageConfig;

    fn image(layers: &[&str]) -> Image {
        Image {
            reference: "a".into(),
            id: "sha256:a".into(),
            size: 0,
            config: ImageConfig::default(),
            layers: layers.iter().map(PathBuf::from).collect(),
        }
    }

    /// A container's root on these layers, topmost first.
    fn run_on(machine: &Fake, layers: &[&str]) {
        let overlay = MountRequest::Overlay {
            lower: layers.iter().map(PathBuf::from).collect(),
            upper: "/upper".into(),
            work: "/work".into(),
            target: "/root".into(),
        };
        machine.mount(&overlay).unwrap();
    }

    /// The rows of the table.
    #[test]
    fn an_image_is_used_while_an_overlay_stands_on_its_top_layer() {
        let machine = Fake::default();
        for directory in ["/base", "/top", "/other", "/way", "/upper", "/work", "/root"] {
            machine.create_dir(Path::new(directory)).unwrap();
        }
        let has = |layers: &[&str]| Used::look(&machine).unwrap().has(&image(layers));
        let way = MountRequest::Bind { source: "/top".into(), target: "/way".into(), read_only: false };
        machine.mount(&way).unwrap();
        assert!(!has(&["/top", "/base"]), "nothing runs");
        run_on(&machine, &["/way", "/base"]);
        assert!(has(&["/top", "/base"]), "by another path");
        assert!(!has(&["/other", "/base"]) && !has(&["/gone", "/base"]) && !has(&[]));
        machine.unmount(Path::new("/root")).unwrap();
        assert!(!has(&["/top", "/base"]), "nothing runs any more");
    }

    #[test]
    fn what_cannot_be_looked_at_is_used() {
        let machine = Fake::default();
        machine.create_dir(Path::new("/top")).unwrap();
        let machine = Faulty::new(machine, "file: error(EIO)".parse().unwrap());
        let used = Used::look(&machine).unwrap();
        assert!(used.has(&image(&["/top"])), "the disk could not be read");
        assert!(!used.has(&image(&["/top"])), "it could");
    }

    #[test]
    fn both_ways_of_listing_layers_are_read() {
        let mut mount = Fake::default().mounts().unwrap().remove(0);
        for (options, layers) in [
            ("rw,lowerdir=/top:/base,upperdir=/u,workdir=/w", vec!["/top", "/base"]),
            ("rw,lowerdir+=/top,lowerdir+=/base,upperdir=/u", vec!["/top", "/base"]),
            ("rw,upperdir=/u", vec![]),
        ] {
            options.clone_into(&mut mount.super_options);
            assert_eq!(lower(&mount).collect::<Vec<_>>(), layers, "{options}");
        }
    }
}
