//! StorageClass, VolumeAttachment, CSIDriver, CSINode.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Errors};
use crate::{Cause, names};

/// Most parameters of a class, and the size of them all (storage validation of Kubernetes).
const PARAMETERS: usize = 512;
const PARAMETERS_SIZE: usize = 256 * 1024;
/// A driver's name must fit a label.
const DRIVER_NAME: usize = 63;
/// A driver's id of a node.
const NODE_ID: usize = 256;

pub(super) fn class(new: &At<'_>, errors: &mut Errors) {
    let provisioner = new.get("provisioner");
    if !provisioner.is_empty()
        && let Some(problem) = names::label_key(&provisioner.text().to_lowercase())
    {
        errors.push(provisioner.invalid(problem));
    }
    if crate::nfs::driver_of(provisioner.text()) == crate::nfs::DRIVER {
        super::nfs::mount_options(&new.get("mountOptions"), errors);
    }
    let parameters = new.get("parameters");
    let mut size = 0;
    for (key, value) in parameters.entries() {
        if key.is_empty() {
            errors.push(parameters.invalid("field must not be empty."));
        }
        size += key.len() + value.text().len();
    }
    if parameters.entries().count() > PARAMETERS {
        let detail = format!("may not have more than {PARAMETERS} entries");
        errors.push(parameters.fault(Cause::TooLong, detail));
    }
    if size > PARAMETERS_SIZE {
        let detail = format!("may not be more than {PARAMETERS_SIZE} bytes");
        errors.push(parameters.fault(Cause::TooLong, detail));
    }
    if new.get("reclaimPolicy").text() == "Recycle" {
        let policy = new.get("reclaimPolicy");
        errors.push(policy.quoted(Cause::NotSupported, "supported values: \"Delete\", \"Retain\""));
    }
}

pub(super) fn attachment(new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    driver_name(&spec.get("attacher"), errors);
    spec.get("nodeName").check(names::dns_subdomain, errors);
    let source = spec.get("source");
    let (named, inline) = (source.get("persistentVolumeName"), source.get("inlineVolumeSpec"));
    match (named.is_empty(), inline.value.is_null()) {
        (true, true) => errors.push(source.fault(
            Cause::Required,
            "must specify exactly one of inlineVolumeSpec and \
             persistentVolumeName",
        )),
        (false, false) => errors.push(source.fault(
            Cause::Forbidden,
            "must specify exactly one of inlineVolumeSpec and \
             persistentVolumeName",
        )),
        _ => named.check(names::dns_subdomain, errors),
    }
}

pub(super) fn driver(new: &At<'_>, errors: &mut Errors) {
    driver_name(&new.at(&["metadata", "name"]), errors);
    let mut audiences = BTreeSet::new();
    for request in new.at(&["spec", "tokenRequests"]).items() {
        let audience = request.get("audience");
        if !audiences.insert(audience.text()) {
            errors.push(audience.quoted(Cause::Duplicate, ""));
        }
        let expiration = request.get("expirationSeconds");
        if expiration.number().is_some_and(|n| n < 600) {
            errors.push(expiration.invalid("may not specify a duration less than 10 minutes"));
        }
    }
}

pub(super) fn node(old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    for driver in new.at(&["spec", "drivers"]).items() {
        let name = driver.get("name");
        driver_name(&name, errors);
        let id = driver.get("nodeID");
        if id.text().len() > NODE_ID {
            errors.push(id.fault(Cause::TooLong, format!("must be {NODE_ID} characters or less")));
        }
        let count = driver.at(&["allocatable", "count"]);
        count.not_negative(errors);
        let mut keys = BTreeSet::new();
        for key in driver.get("topologyKeys").items() {
            key.check(names::label_key, errors);
            if !keys.insert(key.text()) {
                errors.push(key.quoted(Cause::Duplicate, ""));
            }
        }
        same_driver(old, &driver, errors);
    }
}

/// What a driver once said about a node holds; it may go and come back, but not change under the same name.
fn same_driver(old: Option<&Value>, driver: &At<'_>, errors: &mut Errors) {
    let drivers = old.and_then(|o| o["spec"]["drivers"].as_array()).into_iter().flatten();
    let before = drivers.into_iter().find(|d| d["name"] == driver.value["name"]);
    let same = |b: &Value| {
        b["nodeID"] == driver.value["nodeID"] && b["topologyKeys"] == driver.value["topologyKeys"]
    };
    if before.is_some_and(|before| !same(before)) {
        errors.push(
            driver.fault(Cause::Invalid, "field is immutable; remove the driver first and add it again"),
        );
    }
}

fn driver_name(name: &At<'_>, errors: &mut Errors) {
    if name.text().len() > DRIVER_NAME {
        errors.push(name.fault(Cause::TooLong, format!("must be {DRIVER_NAME} characters or less")));
    }
    if !name.is_empty()
        && let Some(problem) = names::dns_subdomain(&name.text().to_lowercase())
    {
        errors.push(name.invalid(problem));
    }
}
