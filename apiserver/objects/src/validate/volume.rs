//! PersistentVolumes: capacity, one source, and for our own drivers that a volume is what its name says.

use serde_json::Value;

use super::{
    at::{At, Errors},
    claim,
    pod::volumes::host_path,
};
use crate::{Cause, Quantity, loop_file, names, nfs, schema::table, selector};

/// Drivers whose volumes Orlop makes, and only under the name of the claim's uid.
const OUR_DRIVERS: [&str; 2] = [loop_file::DRIVER, nfs::DRIVER];
/// Everything in a PersistentVolumeSpec that is no source.
const NO_SOURCE: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

pub(super) fn check(old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    claim::access_modes(&spec.get("accessModes"), errors);
    capacity(&spec.get("capacity"), errors);
    source(&spec, errors);
    claim_ref(&spec.get("claimRef"), errors);
    spec.get("storageClassName").check(names::dns_subdomain, errors);
    node_affinity(&spec, errors);
    if spec.get("persistentVolumeReclaimPolicy").text() == "Recycle" && recycles_root(&spec) {
        errors.push(
            spec.get("persistentVolumeReclaimPolicy")
                .fault(Cause::Forbidden, "may not be 'recycle' for a hostPath mount of '/'"),
        );
    }
    ours(old.is_none(), new, &spec, errors);
    if let Some(old) = old {
        same_class(old, &spec, errors);
    }
}

fn capacity(capacity: &At<'_>, errors: &mut Errors) {
    if !capacity.require(errors) {
        return;
    }
    for (resource, amount) in capacity.entries() {
        if resource != "storage" {
            errors.push(amount.quoted(Cause::NotSupported, "supported values: \"storage\""));
        }
        if let Ok(quantity) = Quantity::from_value(amount.value)
            && (quantity.is_zero() || quantity.is_negative())
        {
            errors.push(amount.invalid("must be greater than zero"));
        }
    }
}

/// The sources that the schema knows.
fn source_names() -> impl Iterator<Item = &'static str> {
    let spec = table::short("core.v1.PersistentVolumeSpec");
    spec.into_iter().flat_map(|ty| &ty.fields).map(|f| f.name).filter(|f| !NO_SOURCE.contains(f))
}

fn source(spec: &At<'_>, errors: &mut Errors) {
    let mut found = source_names().map(|name| spec.get(name)).filter(|source| !source.value.is_null());
    let Some(first) = found.next() else {
        errors.push(
            spec.fault(Cause::Required, "must specify a volume type, for example csi, hostPath or nfs"),
        );
        return;
    };
    for other in found {
        errors.push(other.fault(Cause::Forbidden, "may not specify more than 1 volume type"));
    }
    match first.path.as_str() {
        "spec.csi" => {
            first.get("driver").check(names::dns_subdomain, errors);
        }
        "spec.hostPath" => host_path(&first, errors),
        "spec.local" => {
            let path = first.get("path");
            if path.require(errors) && path.text().split('/').any(|part| part == "..") {
                errors.push(path.invalid("must not contain '..'"));
            }
        }
        "spec.nfs" => {
            super::nfs::source(&first, errors);
            super::nfs::mount_options(&spec.get("mountOptions"), errors);
        }
        _ => {}
    }
    if first.path == "spec.local" && spec.get("nodeAffinity").is_empty() {
        let affinity = spec.get("nodeAffinity");
        errors.push(affinity.fault(Cause::Required, "Local volume requires node affinity"));
    }
}

fn recycles_root(spec: &At<'_>) -> bool {
    spec.at(&["hostPath", "path"]).text() == "/"
}

fn claim_ref(claim: &At<'_>, errors: &mut Errors) {
    if claim.value.is_null() {
        return;
    }
    for field in ["namespace", "name"] {
        claim.get(field).require_with("must name the claim that the volume is for", errors);
    }
    claim.get("namespace").check(names::dns_label, errors);
    claim.get("name").check(names::dns_subdomain, errors);
    claim.get("kind").one_of(&["PersistentVolumeClaim"], errors);
}

fn node_affinity(spec: &At<'_>, errors: &mut Errors) {
    let affinity = spec.get("nodeAffinity");
    if affinity.value.is_null() {
        return;
    }
    let required = affinity.get("required");
    if required.value.is_null() {
        errors.push(required.fault(Cause::Required, "must specify required node constraints"));
        return;
    }
    let terms = required.get("nodeSelectorTerms");
    terms.require_with("must have at least one node selector term", errors);
    for term in terms.items() {
        for expression in term.get("matchExpressions").items() {
            errors.extend(selector::check_node_requirement(&expression.path, expression.value));
        }
    }
}

/// A volume of ours is made for one claim and named by its uid. Any other handle would let whoever writes a volume
/// reach the data of another claim. Only a new volume must be for that claim: one that is retained and released may be
/// given to another by whoever may edit volumes, as Kubernetes documents it. A loop file that does not lie in the pool
/// `default` has its pool's name before that, and a slash.
fn ours(is_new: bool, volume: &At<'_>, spec: &At<'_>, errors: &mut Errors) {
    let csi = spec.get("csi");
    let driver = csi.get("driver").text();
    if !OUR_DRIVERS.contains(&driver) {
        return;
    }
    let handle = csi.get("volumeHandle");
    let name = volume.at(&["metadata", "name"]).text();
    let uid = spec.at(&["claimRef", "uid"]);
    let is_uuid =
        |text: &str| uuid::Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == text);
    let made = match handle.text().split_once('/') {
        Some((pool, made))
            if driver == loop_file::DRIVER && pool != "default" && names::dns_label(pool).is_none() =>
        {
            made
        }
        _ => handle.text(),
    };
    if !made.strip_prefix("pvc-").is_some_and(is_uuid) {
        let detail = format!(
            "volumes of {driver} have the handle pvc-<uid of the claim>; let a claim of its class make one"
        );
        errors.push(handle.invalid(detail));
    } else if made != name {
        let detail =
            format!("must be the volume's own name, {name}: a volume of {driver} is known by one name only");
        errors.push(handle.invalid(detail));
    } else if is_new && !uid.is_empty() && made != format!("pvc-{}", uid.text()) {
        let detail = format!(
            "volume {name} was made for the claim with uid {} and holds its data",
            &made["pvc-".len()..]
        );
        errors.push(uid.invalid(detail));
    }
}

/// A bound volume's class is part of the binding.
fn same_class(old: &Value, spec: &At<'_>, errors: &mut Errors) {
    let class = spec.get("storageClassName");
    let mode = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    if mode(&old["spec"]["storageClassName"]) != class.text() && !old["spec"]["claimRef"].is_null() {
        errors.push(class.fault(Cause::Forbidden, "may not be changed while a claim holds the volume"));
    }
}
