//! Workloads: their selector fits their template, their template is a pod that can be made, and their numbers make sense.
//!
//! | rule | source |
//! |---|---|
//! | selector: given, not empty, fits the template | `ValidateDeploymentSpec` and its siblings |
//! | template: a valid pod that restarts always | the same; the pod's own rules, with what Orlop cannot honour yet |
//! | surge and unavailable: numbers or percentages, not both nothing | `ValidateRollingUpdateDeployment`, `…DaemonSet` |
//! | deadline above minReadySeconds | `ValidateDeploymentSpec` |
//! | partition, first number: not negative | `ValidateStatefulSetSpec` |
//! | claim templates: valid claims with names of their own | the rules of claims, asked before the first pod is |
//!
//! A template that has not changed since it was accepted is not asked again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    at::{At, Errors},
    claim, pod,
};
use crate::{Cause, Kind, names, selector::LabelSelector};

/// Longest name of a stateful set: a label holds 63 characters, of which a hash and its hyphen take eleven.
const LONGEST_SET: usize = 52;

pub(super) fn check(kind: &Kind, old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    for count in ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        spec.get(count).not_negative(errors);
    }
    let wanted = spec.get("template");
    fits(&spec.get("selector"), &wanted, errors);
    let before = old.map(|old| &old["spec"]["template"]);
    if before != Some(wanted.value) {
        template(before, &spec, errors);
    }
    match kind.kind {
        "Deployment" => deployment(&spec, errors),
        "StatefulSet" => stateful_set(new, errors),
        "DaemonSet" => daemon_set(&spec, errors),
        _ => {}
    }
}

/// What is stored of a workload and not (yet) honoured.
pub(super) fn warnings(new: &Value) -> Vec<String> {
    pod::unbuilt::warnings_at(&At::root(new).at(&["spec", "template"]))
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

/// The pod's own rules, on a pod that has the volumes of the claim templates as well.
fn template(before: Option<&Value>, spec: &At<'_>, errors: &mut Errors) {
    let template = spec.get("template");
    let policy = template.at(&["spec", "restartPolicy"]);
    if !policy.is_empty() && policy.text() != "Always" {
        errors.push(policy.quoted(Cause::NotSupported, "supported values: \"Always\""));
    }
    let templates = spec.get("volumeClaimTemplates");
    let names: BTreeSet<&str> =
        templates.items().map(|claim| claim.at(&["metadata", "name"]).text()).collect();
    let mut whole = template.value.clone();
    if !names.is_empty() {
        // Behind the template's own, so that these keep their places; one of the same name is hidden by the claim.
        let own = template.at(&["spec", "volumes"]);
        let own = own.items().filter(|volume| !names.contains(volume.get("name").text()));
        let claims = templates.items().map(|claim| {
            let name = claim.at(&["metadata", "name"]);
            json!({"name": name.text(), "persistentVolumeClaim": {"claimName": "x"}})
        });
        whole["spec"]["volumes"] = own.map(|volume| volume.value.clone()).chain(claims).collect();
    }
    let at = At { path: template.path, value: &whole };
    pod::check_template(before, &at, errors);
}

fn deployment(spec: &At<'_>, errors: &mut Errors) {
    let (deadline, ready) = (spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds"));
    if deadline.number().is_some_and(|n| n <= ready.number().unwrap_or(0)) {
        errors.push(deadline.invalid("must be greater than minReadySeconds"));
    }
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    if strategy.get("type").text() == "Recreate" && !rolling.is_empty() {
        errors
            .push(rolling.fault(Cause::Forbidden, "may not be specified when strategy `type` is 'Recreate'"));
    }
    let (surge, unavailable) = (rolling.get("maxSurge"), rolling.get("maxUnavailable"));
    portion(&surge, None, errors);
    portion(&unavailable, Some(100), errors);
    if is_nothing(&surge) && is_nothing(&unavailable) {
        errors.push(unavailable.invalid("may not be 0 when `maxSurge` is 0"));
    }
}

fn daemon_set(spec: &At<'_>, errors: &mut Errors) {
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    if strategy.get("type").text() == "OnDelete" {
        return;
    }
    let (surge, unavailable) = (rolling.get("maxSurge"), rolling.get("maxUnavailable"));
    portion(&surge, Some(100), errors);
    portion(&unavailable, Some(100), errors);
    if !surge.value.is_null() && !is_nothing(&surge) {
        let detail = "two pods of a set on one node are not built yet; use maxUnavailable";
        errors.push(surge.fault(Cause::Forbidden, detail));
    } else if is_nothing(&unavailable) {
        errors.push(unavailable.fault(Cause::Required, "cannot be 0 when maxSurge is 0"));
    }
}

fn stateful_set(set: &At<'_>, errors: &mut Errors) {
    let (spec, name) = (set.get("spec"), set.at(&["metadata", "name"]));
    // Its pods' host names are made of it, and their labels of it and a revision's hash.
    name.check(names::dns_label, errors);
    if name.text().len() > LONGEST_SET {
        errors.push(name.invalid(format!("must be no more than {LONGEST_SET} characters")));
    }
    spec.get("serviceName").check(names::dns_label, errors);
    spec.at(&["ordinals", "start"]).not_negative(errors);
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    if strategy.get("type").text() == "OnDelete" && !rolling.value.is_null() {
        errors.push(rolling.invalid("only allowed for updateStrategy 'RollingUpdate'"));
    }
    rolling.get("partition").not_negative(errors);
    let unavailable = rolling.get("maxUnavailable");
    portion(&unavailable, Some(100), errors);
    if is_nothing(&unavailable) {
        errors.push(unavailable.invalid("cannot be 0"));
    }
    let mut seen = BTreeSet::new();
    for template in spec.get("volumeClaimTemplates").items() {
        let name = template.at(&["metadata", "name"]);
        if name.require(errors) {
            name.check(names::dns_label, errors);
        }
        if !name.is_empty() && !seen.insert(name.text()) {
            errors.push(name.quoted(Cause::Duplicate, ""));
        }
        claim::check(None, &template, errors);
    }
}

/// A number that is not negative, or a percentage of at most so many hundredths.
fn portion(at: &At<'_>, most: Option<u32>, errors: &mut Errors) {
    if at.value.is_null() {
        return;
    }
    if at.value.is_number() {
        at.not_negative(errors);
        return;
    }
    let digits = at.text().strip_suffix('%').filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse::<u32>().ok()) {
        None => errors.push(at.invalid(
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
             for validation is '[0-9]+%')",
        )),
        Some(percent) if most.is_some_and(|most| percent > most) => {
            errors.push(at.invalid("must not be greater than 100%"));
        }
        Some(_) => {}
    }
}

fn is_nothing(at: &At<'_>) -> bool {
    at.number() == Some(0)
        || (at.text().ends_with('%') && at.text().trim_end_matches('%').parse() == Ok(0_u32))
}
