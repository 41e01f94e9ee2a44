//! PersistentVolumeClaims: what one asks for, and what of it may still change.
//!
//! | rule | source |
//! |---|---|
//! | access modes: at least one, known, ReadWriteOncePod alone | API reference of PersistentVolumeClaimSpec |
//! | size: given, above 0 | the same |
//! | size of an unbound claim: fixed | `ValidatePersistentVolumeClaimUpdate` |
//! | size of a bound claim: may grow, never shrink | the same |
//! | data source: a claim or snapshot | the same; neither is built yet and both are refused |

use serde_json::Value;

use super::at::{At, Errors};
use crate::{Cause, Quantity, names, selector::LabelSelector};

pub(super) fn check(old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    access_modes(&spec.get("accessModes"), errors);
    size(&spec, errors);
    spec.get("storageClassName").check(names::dns_subdomain, errors);
    spec.get("volumeName").check(names::dns_subdomain, errors);
    let selector = spec.get("selector");
    if !selector.value.is_null()
        && let Err(found) = LabelSelector::from_object(&selector.path, selector.value)
    {
        errors.extend(found);
    }
    match old {
        Some(old) => {
            same_class(old, &spec, errors);
            resize(old, &spec, errors);
        }
        None => sources(&spec, errors),
    }
}

/// Of claims and volumes alike.
pub(super) fn access_modes(modes: &At<'_>, errors: &mut Errors) {
    modes.require_with("at least 1 access mode is required", errors);
    let once = modes.items().any(|m| m.text() == "ReadWriteOncePod");
    if once && modes.items().count() > 1 {
        errors.push(modes.fault(Cause::Forbidden, "may not use ReadWriteOncePod with other access modes"));
    }
}

fn size(spec: &At<'_>, errors: &mut Errors) {
    let size = spec.at(&["resources", "requests"]).key("storage");
    if !size.require(errors) {
        return;
    }
    // What is no quantity has been refused by the schema's rules.
    if let Ok(quantity) = Quantity::from_value(size.value)
        && (quantity.is_zero() || quantity.is_negative())
    {
        errors.push(size.invalid("must be greater than zero"));
    }
}

/// A volume filled from elsewhere must not come empty instead.
fn sources(spec: &At<'_>, errors: &mut Errors) {
    for field in ["dataSource", "dataSourceRef"] {
        let source = spec.get(field);
        if !source.value.is_null() {
            errors.push(source.fault(
                Cause::Forbidden,
                "volumes made from snapshots or other claims are not built yet; make an empty one and copy the data",
            ));
        }
    }
}

/// `""` is a choice: no class. Only a claim that names none at all may be given one later.
fn same_class(old: &Value, spec: &At<'_>, errors: &mut Errors) {
    let class = spec.get("storageClassName");
    if old["spec"]["storageClassName"] == "" && *class.value != "" {
        let detail = "spec is immutable after creation: \"\" asks for a volume without class";
        errors.push(class.fault(Cause::Forbidden, detail));
    }
}

fn resize(old: &Value, spec: &At<'_>, errors: &mut Errors) {
    let before = &old["spec"]["resources"];
    let resources = spec.get("resources");
    if before == resources.value {
        return;
    }
    let size = resources.get("requests").key("storage");
    let read = |v: &Value| Quantity::from_value(v).ok();
    let (Some(was), Some(is)) = (read(&before["requests"]["storage"]), read(size.value)) else {
        return;
    };
    let bound = old["status"]["phase"] == "Bound";
    if is < was {
        errors.push(size.fault(Cause::Forbidden, "field can not be less than previous value"));
    } else if !bound && is != was {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                      claims; wait until the claim is bound, or delete it and create it anew";
        errors.push(size.fault(Cause::Forbidden, detail));
    }
}
