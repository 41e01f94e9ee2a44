//! Which layers the kernel has beneath a running container's root. One that went from under an overlay would take the
//! container's programs with it, and the kernel keeps nobody from removing it.
//!
//! | the layer | used |
//! |---|---|
//! | is beneath an overlay, by whatever path | yes |
//! | is beneath none, or is not there | no |
//! | cannot be looked at, there or where an overlay has it | yes: a failed look is no "no" |

use std::{
    collections::HashSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use orlop_backends::host::{self, FileId, Host, MountEntry};

/// The directories that overlays of this machine stand on.
pub(super) struct Used<'a> {
    host: &'a dyn Host,
    layers: HashSet<FileId>,
    /// The last parts of paths that cannot be looked at: layers' names are their digests, and nobody else's.
    unseen: HashSet<OsString>,
}

impl<'a> Used<'a> {
    /// Looks at all mounts. Blocks.
    pub(super) fn look(host: &'a dyn Host) -> host::Result<Self> {
        let mut used = Self { host, layers: HashSet::new(), unseen: HashSet::new() };
        let mounts = host.mounts()?;
        let overlays = mounts.iter().filter(|mount| mount.fs_type == "overlay");
        for path in overlays.flat_map(lower).map(PathBuf::from) {
            match host.file(&path) {
                Ok(Some(layer)) => drop(used.layers.insert(layer.id)),
                // Of another mount namespace, or gone.
                Ok(None) => {}
                Err(_) => used.unseen.extend(path.file_name().map(ToOwned::to_owned)),
            }
        }
        Ok(used)
    }

    /// Whether a container stands on this layer. Blocks.
    pub(super) fn has(&self, layer: &Path) -> bool {
        let is_unseen = layer.file_name().is_some_and(|name| self.unseen.contains(name));
        match self.host.file(layer) {
            Ok(Some(found)) => is_unseen || self.layers.contains(&found.id),
            Ok(None) => false,
            Err(_) => true,
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
    use orlop_backends::host::{MountRequest, fake::Fake, faulty::Faulty};

    use super::*;
    use crate::images::testing::{machine, run_on};

    const LAYERS: [&str; 4] = ["/base", "/top", "/other", "/way"];

    /// The rows of the table.
    #[test]
    fn a_layer_is_used_while_an_overlay_stands_on_it() {
        let machine = machine(&LAYERS);
        let has = |layer: &str| Used::look(&machine).unwrap().has(Path::new(layer));
        let way = MountRequest::Bind { source: "/top".into(), target: "/way".into(), read_only: false };
        machine.mount(&way).unwrap();
        assert!(!has("/top"), "nothing runs");
        run_on(&machine, &["/way", "/base"]);
        assert!(has("/top") && has("/base"), "by whatever path");
        assert!(!has("/other") && !has("/gone"));
        machine.unmount(Path::new("/root")).unwrap();
        assert!(!has("/top"), "nothing runs any more");
    }

    #[test]
    fn what_cannot_be_looked_at_is_used() {
        let top = Path::new("/top");
        // The layer itself.
        let faulty = Faulty::new(machine(&LAYERS), "file: error(EIO)".parse().unwrap());
        let used = Used::look(&faulty).unwrap();
        assert!(used.has(top), "the disk could not be read");
        assert!(!used.has(top), "it could");
        // Where an overlay has it: by its name it is told from others.
        let faulty = Faulty::new(machine(&LAYERS), "file: error(EIO)".parse().unwrap());
        run_on(&faulty, &["/top"]);
        let used = Used::look(&faulty).unwrap();
        assert!(used.has(top) && !used.has(Path::new("/other")));
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
