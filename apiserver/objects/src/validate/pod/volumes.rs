//! A pod's volumes: their names, their one source, and which of them there are to mount.

use std::collections::BTreeSet;

use crate::{
    Cause, names,
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
    if first == "persistentVolumeClaim" {
        volume.at(&[first, "claimName"]).check(names::dns_subdomain, errors);
    }
    if first == "nfs" {
        crate::validate::nfs::source(&volume.get(first), errors);
    }
}
