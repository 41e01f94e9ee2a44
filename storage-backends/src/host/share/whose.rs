//! Whether a directory is the volume's that it is to be shown to, by its marker alone: one small file is read.
//!
//! | the marker | the directory is shown |
//! |---|---|
//! | names the volume | yes |
//! | names another volume | no: foreign |
//! | is not there | no: unmarked |
//! | holds something else, or is no file | no: damaged |
//! | cannot be read by this node's root | yes |
//! | could not be looked for | the server's error: it is tried again |
//!
//! A server may squash root of this node and not of the one that made the directory, or not have done so then. What such a
//! server keeps from this node cannot be shown by it either, unless its modes let everybody in. A server that was restarted
//! keeps whoever opens a file waiting until its grace period is over: this look as well as the pod.

use std::io;

use super::{
    Kept, Marker, Refusal, Root, marker_path,
    visit::{Step, Stop, is_no_way, parts, read_marker},
};

/// Why a directory is not the volume's; `None` where nothing says so.
pub fn check(root: &dyn Root, kept: &Kept) -> io::Result<Option<Refusal>> {
    judge(read_marker(root, &parts(&kept.directory)), kept)
}

/// The table.
fn judge(marker: Step<Option<Marker>>, kept: &Kept) -> io::Result<Option<Refusal>> {
    match marker {
        Ok(Some(marker)) if marker.volume == kept.volume => Ok(None),
        Ok(Some(marker)) => Ok(Some(Refusal::Foreign(marker))),
        Ok(None) => Ok(Some(Refusal::Unmarked)),
        Err(Stop::Refused(why)) => Ok(Some(why)),
        Err(Stop::Failed(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(Stop::Failed(error)) if is_no_way(&error) => {
            Ok(Some(Refusal::Damaged(marker_path(&kept.directory))))
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    /// The rows of the table.
    #[test]
    fn only_what_its_marker_calls_another_ones_or_nobodys_is_kept_from_a_volume() {
        let kept = Kept { directory: vec!["ns".into(), "a".into()], volume: "v".into() };
        let marker = |volume: &str| Marker {
            volume: volume.into(),
            claim: "ns/a".into(),
            directory: "ns/a".into(),
            adopted: false,
        };
        let failed = |errno: Errno| Err(Stop::Failed(errno.into()));
        let damaged = || Refusal::Damaged(".orlop/volumes/ns+a".into());
        for (found, wanted) in [
            (Ok(Some(marker("v"))), Ok(None)),
            (Ok(Some(marker("w"))), Ok(Some(Refusal::Foreign(marker("w"))))),
            (Ok(None), Ok(Some(Refusal::Unmarked))),
            (Err(Stop::Refused(damaged())), Ok(Some(damaged()))),
            (failed(Errno::ELOOP), Ok(Some(damaged()))),
            (failed(Errno::EACCES), Ok(None)),
            (failed(Errno::EPERM), Ok(None)),
            (failed(Errno::ESTALE), Err(Errno::ESTALE as i32)),
            (failed(Errno::EIO), Err(Errno::EIO as i32)),
        ] {
            let judged = judge(found, &kept).map_err(|error| error.raw_os_error().unwrap_or_default());
            assert_eq!(judged, wanted);
        }
    }
}
