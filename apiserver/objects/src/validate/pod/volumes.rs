//! A pod's volumes: their names, their one source, and which of them there are to mount.

use std::collections::BTreeSet;

use crate::{
    Cause, Quantity, names,
    validate::at::{At, Errors},
};

/// Checks the volumes; answers their names.
pub(super) fn check<'v>(spec: &At<'v>, errors: &mut Errors) -> BTreeSet<&'v str> {
    let mut found = BTreeSet::new();
    for volume in spec.get("volumes").items() {
        let name = volume.get("name");
        name.check(names::dns_label, errors);
        found.insert(name.text());
        source(&volume, errors);
    }
    found
}

fn source(volume: &At<'_>, errors: &mut Errors) {
    let fields = volume.value.as_object().into_iter().flatten();
    let mut sources = fields.filter(|(field, value)| *field != "name" && !value.is_null());
    let Some((first, _)) = sources.next() else {
        errors.push(volume.fault(Cause::Required, "must specify a volume type"));
        return;
    };
    for (other, _) in sources {
        errors.push(volume.get(other).fault(Cause::Forbidden, "may not specify more than 1 volume type"));
    }
    match first.as_str() {
        "persistentVolumeClaim" => volume.at(&[first, "claimName"]).check(names::dns_subdomain, errors),
        "emptyDir" => empty_dir(&volume.get(first), errors),
        "hostPath" => host_path(&volume.get(first), errors),
        _ => {}
    }
    if first == "nfs" {
        crate::validate::nfs::source(&volume.get(first), errors);
    }
}

fn empty_dir(source: &At<'_>, errors: &mut Errors) {
    let limit = source.get("sizeLimit");
    if Quantity::from_value(limit.value).is_ok_and(|size| size.is_negative()) {
        errors
            .push(limit.fault(Cause::Forbidden, "size limit must be a valid quantity that is not negative"));
    }
}

/// The kinds of file that a host path may be asked to be; empty asks nothing.
const HOST_PATH_TYPES: [&str; 7] =
    ["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

/// A path of the node, in a pod or a PersistentVolume. Whether it may be shown is known on the node alone.
pub(in crate::validate) fn host_path(source: &At<'_>, errors: &mut Errors) {
    let path = source.get("path");
    if path.require(errors) {
        if path.text().split('/').any(|part| part == "..") {
            errors.push(path.invalid("must not contain '..'"));
        }
        if !path.text().starts_with('/') {
            errors.push(path.invalid("must be an absolute path"));
        }
    }
    source.get("type").one_of(&HOST_PATH_TYPES, errors);
}
