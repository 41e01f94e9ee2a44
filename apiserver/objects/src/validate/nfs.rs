//! What names an NFS server, wherever it stands: of a PersistentVolume, of a pod, of a class.

use super::at::{At, Errors};
use crate::nfs;

/// A server and a path on it.
pub(super) fn source(source: &At<'_>, errors: &mut Errors) {
    for (field, problem) in [("server", nfs::server as fn(&str) -> Option<&'static str>), ("path", nfs::path)]
    {
        let field = source.get(field);
        if field.require(errors)
            && let Some(problem) = problem(field.text())
        {
            errors.push(field.invalid(problem));
        }
    }
}

/// Mount options, each of which must be known to be safe.
pub(super) fn mount_options(options: &At<'_>, errors: &mut Errors) {
    for option in options.items() {
        if let Err(problem) = nfs::options(&[option.text().to_owned()]) {
            errors.push(option.invalid(problem));
        }
    }
}
