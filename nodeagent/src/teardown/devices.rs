//! Which loop devices without a mount or an attachment are this Orlop's. Pure.
//!
//! All Orlops of a machine share its loop devices, also those in containers, and the kernel names a backing file as its
//! opener saw it: two nodes in containers have the same `/var/lib/orlop/pool`. So a name proves nothing.
//!
//! | the device's file, by its name | there, as this Orlop sees it | it is ours |
//! |---|---|---|
//! | not in the pool | – | no |
//! | in the pool | that very file | yes |
//! | in the pool | another file, or none: it is in another's pool of the same name | no |
//! | in the pool, and which file it is cannot be known | – | no: nothing is taken from others |
//! | in the pool, unlinked | the journal has the volume | yes |
//! | in the pool, unlinked | the journal has it not | no |

use std::{collections::BTreeSet, path::Path};

use orlop_backends::host::{FileId, LoopDevice};

/// What the kernel appends to the name of a file that was unlinked.
const DELETED: &str = " (deleted)";
/// How files of volumes end.
const ENDING: &str = ".img";

/// Whether a device is this Orlop's. `there` is the file that has the name of the device's file; `recorded` are the volumes
/// of the journal.
pub(super) fn is_ours(
    device: &LoopDevice,
    pool: &Path,
    there: Option<FileId>,
    recorded: &BTreeSet<String>,
) -> bool {
    let Ok(name) = device.path.strip_prefix(pool) else { return false };
    let name = name.to_string_lossy();
    (there.is_some() && there == device.backing)
        || name
            .strip_suffix(DELETED)
            .and_then(|name| name.strip_suffix(ENDING))
            .is_some_and(|volume| recorded.contains(volume))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table.
    #[test]
    fn a_name_proves_nothing() {
        let (mine, other) = (FileId { device: 1, inode: 2 }, FileId { device: 9, inode: 2 });
        let recorded = BTreeSet::from(["pvc-known".to_owned()]);
        let of = Some(mine);
        for (path, backing, there, ours) in [
            ("/elsewhere/pvc-a.img", of, Some(mine), false),
            ("/data/pool/pvc-a.img", of, Some(mine), true),
            ("/data/pool/pvc-a.img", of, Some(other), false),
            ("/data/pool/pvc-a.img", of, None, false),
            ("/data/pool/pvc-a.img", None, Some(mine), false),
            ("/data/pool/pvc-a.img", None, None, false),
            ("/data/pool/pvc-known.img", of, None, false),
            ("/data/pool/pvc-known.img (deleted)", of, None, true),
            ("/data/pool/pvc-a.img (deleted)", of, None, false),
        ] {
            let device = LoopDevice {
                device: "/dev/loop7".into(),
                number: (7, 7),
                backing,
                path: path.into(),
                offset: 0,
                size_limit: 0,
                autoclear: false,
                direct_io: true,
                read_only: false,
            };
            let found = is_ours(&device, Path::new("/data/pool"), there, &recorded);
            assert_eq!(found, ours, "{path}, where {there:?} is");
        }
    }
}
