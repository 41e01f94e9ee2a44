//! Which loop devices without a mount or an attachment are this Orlop's. Pure.
//!
//! All Orlops of a machine share its loop devices, also those in containers, and the kernel names a backing file as its
//! opener saw it: two nodes in containers have the same `/var/lib/orlop/pool`. So a name proves nothing.
//!
//! | the device's file, by its name | by that name this Orlop sees | the device is |
//! |---|---|---|
//! | not in the pool | – | another's |
//! | in the pool | that very file | ours |
//! | in the pool | another file, or none: it is in another's pool of the same name | another's |
//! | in the pool, and which file it is cannot be known | none | another's |
//! | in the pool, and which file it is cannot be known | a file, which may be that one | anybody's |
//! | in the pool | nothing, as the pool does not answer | anybody's |
//! | in the pool, unlinked | the journal has the volume | ours |
//! | in the pool, unlinked | the journal has it not | another's |
//!
//! What is ours goes. What may be anybody's is left alone, and told: its data may be in use.

use std::{collections::BTreeSet, path::Path};

use orlop_backends::host::{FileId, LoopDevice};

/// What the kernel appends to the name of a file that was unlinked.
const DELETED: &str = " (deleted)";
/// How files of volumes end.
const ENDING: &str = ".img";

/// What this Orlop sees by the name of a device's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// This file.
    File(FileId),
    /// There is none.
    Nothing,
    /// It cannot be looked at.
    Unknown,
}

/// Whose a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Others,
    Anybodys,
}

/// The table. `recorded` are the volumes of the journal.
pub(super) fn whose(device: &LoopDevice, pool: &Path, seen: Seen, recorded: &BTreeSet<String>) -> Whose {
    let Ok(name) = device.path.strip_prefix(pool) else { return Whose::Others };
    let name = name.to_string_lossy();
    if let Some(volume) = name.strip_suffix(DELETED).and_then(|name| name.strip_suffix(ENDING)) {
        return if recorded.contains(volume) { Whose::Ours } else { Whose::Others };
    }
    match (&device.backing, seen) {
        (_, Seen::Unknown) | (Err(_), Seen::File(_)) => Whose::Anybodys,
        (Ok(held), Seen::File(there)) if *held == there => Whose::Ours,
        _ => Whose::Others,
    }
}

#[cfg(test)]
mod tests {
    use orlop_backends::host::Untold;

    use super::*;

    /// The rows of the table.
    #[test]
    fn a_name_proves_nothing() {
        let (mine, other) = (FileId { device: 1, inode: 2 }, FileId { device: 9, inode: 2 });
        let recorded = BTreeSet::from(["pvc-known".to_owned()]);
        let (of, untold) = (Ok(mine), Err(Untold::Silent));
        for (path, backing, seen, wanted) in [
            ("/elsewhere/pvc-a.img", of.clone(), Seen::File(mine), Whose::Others),
            ("/data/pool/pvc-a.img", of.clone(), Seen::File(mine), Whose::Ours),
            ("/data/pool/pvc-a.img", of.clone(), Seen::File(other), Whose::Others),
            ("/data/pool/pvc-a.img", of.clone(), Seen::Nothing, Whose::Others),
            ("/data/pool/pvc-known.img", of.clone(), Seen::Nothing, Whose::Others),
            ("/data/pool/pvc-a.img", untold.clone(), Seen::Nothing, Whose::Others),
            ("/data/pool/pvc-a.img", untold.clone(), Seen::File(mine), Whose::Anybodys),
            ("/data/pool/pvc-a.img", of.clone(), Seen::Unknown, Whose::Anybodys),
            ("/data/pool/pvc-a.img", untold.clone(), Seen::Unknown, Whose::Anybodys),
            ("/elsewhere/pvc-a.img", untold.clone(), Seen::Unknown, Whose::Others),
            ("/data/pool/pvc-known.img (deleted)", of.clone(), Seen::Nothing, Whose::Ours),
            ("/data/pool/pvc-known.img (deleted)", untold.clone(), Seen::Unknown, Whose::Ours),
            ("/data/pool/pvc-a.img (deleted)", of.clone(), Seen::Nothing, Whose::Others),
        ] {
            let held = format!("{backing:?}");
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
            let found = whose(&device, Path::new("/data/pool"), seen, &recorded);
            assert_eq!(found, wanted, "{path} with {held}, where {seen:?} is");
        }
    }
}
