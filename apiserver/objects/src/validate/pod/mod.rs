//! Pods: what Kubernetes demands of a pod (`pod`, `container`, `environment`, `volumes`), what may change (`change`),
//! and what Orlop cannot honour yet (`unbuilt`).

mod change;
mod container;
mod environment;
pub mod unbuilt;
pub(super) mod volumes;

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::at::{At, Errors};
use crate::{Cause, names, selector};

/// The largest user or group id.
const LARGEST_ID: i64 = i32::MAX as i64;

pub(super) fn check(old: Option<&Value>, pod: &At<'_>, errors: &mut Errors) {
    let spec = pod.get("spec");
    form(&spec, errors);
    if let Some(old) = old {
        change::check(old, &spec, errors);
    }
    honoured(old, pod, errors);
}

/// A workload's template: a pod that may be another than before. A container without an image is a mistake in it, since
/// nobody gives it one later.
pub(super) fn check_template(old: Option<&Value>, template: &At<'_>, errors: &mut Errors) {
    form(&template.get("spec"), errors);
    honoured(old, template, errors);
}

/// What the old one had may stay: it was accepted when nothing stood against it.
fn honoured(old: Option<&Value>, pod: &At<'_>, errors: &mut Errors) {
    let refusals = |value| unbuilt::refusals_at(&At { path: pod.path.clone(), value });
    let known: HashSet<_> = old.map(refusals).into_iter().flatten().collect();
    errors.extend(refusals(pod.value).into_iter().filter(|error| !known.contains(error)));
}

fn form(spec: &At<'_>, errors: &mut Errors) {
    let mounted = volumes::check(spec, errors);
    spec.get("containers").require(errors);
    for container in spec.get("containers").items() {
        container::check(spec, &container, &mounted, errors);
    }
    let names: BTreeSet<&str> = spec.get("containers").items().map(|one| one.get("name").text()).collect();
    for container in spec.get("initContainers").items() {
        container::check(spec, &container, &mounted, errors);
        container::check_init(&container, &names, errors);
    }
    spec.get("terminationGracePeriodSeconds").not_negative(errors);
    spec.get("activeDeadlineSeconds").range(1, i64::from(i32::MAX), errors);
    spec.get("nodeName").check(names::dns_subdomain, errors);
    spec.get("hostname").check(names::dns_label, errors);
    spec.get("subdomain").check(names::dns_label, errors);
    spec.get("serviceAccountName").check(names::dns_subdomain, errors);
    security(&spec.get("securityContext"), errors);
    placement(spec, errors);
}

/// Ids in the pod's and in a container's security context.
fn security(context: &At<'_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        context.get(field).range(0, LARGEST_ID, errors);
    }
    for group in context.get("supplementalGroups").items() {
        group.range(0, LARGEST_ID, errors);
    }
}

fn placement(spec: &At<'_>, errors: &mut Errors) {
    let selector = spec.get("nodeSelector");
    for (key, value) in selector.entries() {
        errors.extend(names::label_key(key).map(|problem| selector.invalid(problem)));
        value.check(names::label_value, errors);
    }
    let terms = spec.at(&["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]);
    if !terms.value.is_null() {
        let terms = terms.get("nodeSelectorTerms");
        terms.require_with("must have at least one node selector term", errors);
        for expression in terms.items().flat_map(|term| term.get("matchExpressions").items()) {
            errors.extend(selector::check_node_requirement(&expression.path, expression.value));
        }
    }
    for toleration in spec.get("tolerations").items() {
        check_toleration(&toleration, errors);
    }
}

fn check_toleration(toleration: &At<'_>, errors: &mut Errors) {
    let [key, operator, value, effect, seconds] =
        ["key", "operator", "value", "effect", "tolerationSeconds"].map(|field| toleration.get(field));
    key.check(names::label_key, errors);
    if key.is_empty() && operator.text() != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(operator.invalid(detail));
    }
    if operator.text() == "Exists" && !value.is_empty() {
        errors.push(operator.invalid("value must be empty when `operator` is 'Exists'"));
    }
    if !seconds.value.is_null() && effect.text() != "NoExecute" {
        errors
            .push(effect.fault(Cause::Invalid, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
}
