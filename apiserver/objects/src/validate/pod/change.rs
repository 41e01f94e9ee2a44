//! What may change of a pod beyond what the schema table frees: tolerations are only added, deadlines only shortened.

use std::collections::HashSet;

use serde_json::Value;

use crate::{
    Cause,
    validate::at::{At, Errors},
};

pub(super) fn check(old: &Value, spec: &At<'_>, errors: &mut Errors) {
    let before = At::root(&old["spec"]);
    tolerations(&before, spec, errors);
    deadline(&before, spec, errors);
    grace(&before, spec, errors);
    for container in spec.get("containers").items().chain(spec.get("initContainers").items()) {
        // An image may change, but not vanish.
        container.get("image").require(errors);
    }
}

fn tolerations(before: &At<'_>, spec: &At<'_>, errors: &mut Errors) {
    let now = spec.get("tolerations");
    let left: HashSet<_> = now.items().map(|new| taint_of(new.value)).collect();
    let lost = before.get("tolerations").items().any(|old| !left.contains(&taint_of(old.value)));
    if lost {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(now.fault(Cause::Forbidden, detail));
    }
}

/// What of a toleration may not change.
fn taint_of(toleration: &Value) -> [&Value; 4] {
    ["key", "operator", "value", "effect"].map(|field| &toleration[field])
}

fn deadline(before: &At<'_>, spec: &At<'_>, errors: &mut Errors) {
    let (was, is) = (before.get("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds"));
    match (was.number(), is.number()) {
        (Some(was), Some(now)) if now > was => {
            errors.push(is.invalid("must be less than or equal to previous value"));
        }
        (Some(_), None) => {
            errors.push(is.fault(Cause::Invalid, "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
}

fn grace(before: &At<'_>, spec: &At<'_>, errors: &mut Errors) {
    let (was, is) = (before.get("terminationGracePeriodSeconds"), spec.get("terminationGracePeriodSeconds"));
    let rescued = was.number().is_some_and(|n| n < 0) && is.number() == Some(1);
    if was.value != is.value && !rescued {
        let detail =
            "may not change; give another grace when the pod is deleted (kubectl delete --grace-period)";
        errors.push(is.fault(Cause::Forbidden, detail));
    }
}
