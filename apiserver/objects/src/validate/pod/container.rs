//! One container: image, mounts, ports, resources, security context.

use std::collections::BTreeSet;

use super::environment;
use crate::{
    Cause, Quantity, names,
    validate::at::{At, Errors},
};

/// Checks one container of the pod with this `spec`; `volumes` are what it may mount.
pub(super) fn check(spec: &At<'_>, container: &At<'_>, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    container.get("name").check(names::dns_label, errors);
    let image = container.get("image");
    if image.require(errors) && image.text().trim() != image.text() {
        errors.push(image.invalid("must not have leading or trailing whitespace"));
    }
    environment::check(container, errors);
    mounts(container, volumes, errors);
    ports(spec, container, errors);
    resources(&container.get("resources"), errors);
    security(&container.get("securityContext"), errors);
}

/// What holds for init containers beside: they end, so that nothing watches them, and have names that none of the `others`
/// has.
pub(super) fn check_init(container: &At<'_>, others: &BTreeSet<&str>, errors: &mut Errors) {
    let name = container.get("name");
    if others.contains(name.text()) {
        errors.push(name.quoted(Cause::Duplicate, ""));
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        let field = container.get(field);
        if !field.value.is_null() {
            let detail = "must not be set for init containers without restartPolicy=Always";
            errors.push(field.fault(Cause::Forbidden, detail));
        }
    }
}

fn mounts(container: &At<'_>, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    for mount in container.get("volumeMounts").items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        if !name.is_empty() && !volumes.contains(name.text()) {
            errors.push(name.quoted(Cause::NotFound, ""));
        }
        if path.is_empty() {
            continue;
        }
        if !path.text().starts_with('/') {
            errors.push(path.invalid("must be an absolute path"));
        } else if path.text().trim_matches('/').is_empty() {
            errors.push(path.invalid("must not be the root of the container's file system; mount below it"));
        } else if path.text().split('/').any(|part| part == "..") {
            errors.push(path.invalid("must not contain '..'"));
        }
        if path.text().contains(':') {
            errors.push(path.invalid("must not contain ':'"));
        }
    }
}

fn ports(spec: &At<'_>, container: &At<'_>, errors: &mut Errors) {
    let host_network = spec.get("hostNetwork").is_true();
    let mut named = BTreeSet::new();
    for port in container.get("ports").items() {
        let (name, number, host) = (port.get("name"), port.get("containerPort"), port.get("hostPort"));
        number.range(1, 65535, errors);
        // 0 is Go's way to write none.
        host.range(0, 65535, errors);
        name.check(port_name, errors);
        if !name.is_empty() && !named.insert(name.text()) {
            errors.push(name.quoted(Cause::Duplicate, ""));
        }
        if host_network && host.number().unwrap_or(0) != 0 && host.value != number.value {
            errors.push(host.invalid("must match `containerPort` when `hostNetwork` is true"));
        }
    }
}

/// A service name by RFC 6335.
fn port_name(name: &str) -> names::Problem {
    let good = name.len() <= 15
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.contains("--")
        && names::dns_label(name).is_none();
    (!good).then(|| {
        "must be at most 15 lower case letters, digits and '-', with at least one letter and no '-' at an end or beside \
         another"
            .to_owned()
    })
}

fn resources(resources: &At<'_>, errors: &mut Errors) {
    let (limits, requests) = (resources.get("limits"), resources.get("requests"));
    for (name, amount) in limits.entries().chain(requests.entries()) {
        errors.extend(names::label_key(name).map(|problem| amount.invalid(problem)));
        if Quantity::from_value(amount.value).is_ok_and(|q| q.is_negative()) {
            errors.push(amount.invalid("must be greater than or equal to 0"));
        }
    }
    for (name, request) in requests.entries() {
        let read = |at: &At<'_>| Quantity::from_value(at.value).ok();
        let (Some(wanted), Some(most)) = (read(&request), read(&limits.key(name))) else {
            continue;
        };
        if wanted > most {
            let detail = format!("must be less than or equal to {name} limit of {most}");
            errors.push(At { path: requests.path.clone(), ..request }.invalid(detail));
        }
    }
}

fn security(context: &At<'_>, errors: &mut Errors) {
    super::security(context, errors);
    let escalation = context.get("allowPrivilegeEscalation");
    if *escalation.value != false {
        return;
    }
    if context.get("privileged").is_true() {
        errors.push(
            escalation.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
        );
    }
    let added = context.at(&["capabilities", "add"]);
    if added.items().any(|c| matches!(c.text(), "SYS_ADMIN" | "CAP_SYS_ADMIN")) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` to CAP_SYS_ADMIN";
        errors.push(escalation.invalid(detail));
    }
}
