//! Workloads, so far only kept as data: their selector fits their template, and counts are counts.

use super::at::{At, Errors};
use crate::{Cause, Kind, selector::LabelSelector};

pub(super) fn check(kind: &Kind, new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    for count in ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        spec.get(count).not_negative(errors);
    }
    let template = spec.get("template");
    fits(&spec.get("selector"), &template, errors);
    let containers = template.at(&["spec", "containers"]);
    containers.require(errors);
    for container in containers.items() {
        container.get("image").require(errors);
    }
    let policy = template.at(&["spec", "restartPolicy"]);
    if !policy.is_empty() && policy.text() != "Always" {
        errors.push(policy.quoted(Cause::NotSupported, "supported values: \"Always\""));
    }
    if kind.kind == "Deployment" {
        strategy(&spec, errors);
    }
}

fn fits(selector: &At<'_>, template: &At<'_>, errors: &mut Errors) {
    if selector.value.is_null() {
        // Said by the schema's rules.
        return;
    }
    match LabelSelector::from_object(&selector.path, selector.value) {
        Err(found) => errors.extend(found),
        Ok(parsed) if parsed.is_empty() => {
            errors.push(
                selector.invalid("empty selector is invalid: it would take every pod of the namespace"),
            );
        }
        Ok(parsed) => {
            let labels = template.at(&["metadata", "labels"]);
            let own = labels.entries().map(|(k, v)| (k.to_owned(), v.text().to_owned())).collect();
            if !parsed.matches(&own) {
                errors.push(labels.invalid("`selector` does not match template `labels`"));
            }
        }
    }
}

fn strategy(spec: &At<'_>, errors: &mut Errors) {
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    if strategy.get("type").text() == "Recreate" && !rolling.is_empty() {
        errors
            .push(rolling.fault(Cause::Forbidden, "may not be specified when strategy `type` is 'Recreate'"));
    }
}
