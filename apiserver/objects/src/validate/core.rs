//! The small kinds of the core group, and Lease: Node, Service, ConfigMap, Secret, Event.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::at::{At, Errors};
use crate::{Cause, names};

/// Most bytes of data in a ConfigMap or Secret.
const DATA_SIZE: usize = 1024 * 1024;
/// Longest message, and longest reason, of an Event.
const MESSAGE: usize = 1024;
const REASON: usize = 128;
/// Longest key of a ConfigMap or Secret.
const KEY_LENGTH: usize = 253;

pub(super) fn node(new: &At<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for taint in new.at(&["spec", "taints"]).items() {
        let (key, effect) = (taint.get("key"), taint.get("effect"));
        key.check(names::label_key, errors);
        taint.get("value").check(names::label_value, errors);
        if !seen.insert((key.text(), effect.text())) {
            errors.push(taint.quoted(Cause::Duplicate, "taints must be unique by key and effect pair"));
        }
    }
    for cidr in new.at(&["spec", "podCIDRs"]).items() {
        let (address, length) = cidr.text().split_once('/').unwrap_or_default();
        let most = if address.contains(':') { 128 } else { 32 };
        let good =
            address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok_and(|n| n <= most);
        if !good {
            errors.push(cidr.invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"));
        }
    }
}

pub(super) fn service(new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    let kind = spec.get("type").text();
    let ports = spec.get("ports");
    let headless = spec.get("clusterIP").text() == "None";
    if kind == "ExternalName" {
        let name = spec.get("externalName");
        if name.require(errors) {
            name.check(|text| names::dns_subdomain(text.trim_end_matches('.')), errors);
        }
    } else if !headless {
        ports.require(errors);
    }
    for (key, value) in spec.get("selector").entries() {
        errors.extend(names::label_key(key).map(|p| spec.get("selector").invalid(p)));
        value.check(names::label_value, errors);
    }
    service_ports(&ports, errors);
    let address = spec.get("clusterIP");
    if !address.is_empty() && !headless && address.text().parse::<std::net::IpAddr>().is_err() {
        errors.push(address.invalid("must be empty, 'None', or a valid IP address"));
    }
}

fn service_ports(ports: &At<'_>, errors: &mut Errors) {
    let several = ports.items().count() > 1;
    let (mut named, mut numbered) = (BTreeSet::new(), BTreeSet::new());
    for port in ports.items() {
        let (name, number) = (port.get("name"), port.get("port"));
        if several {
            name.require(errors);
        }
        name.check(names::dns_label, errors);
        if !name.is_empty() && !named.insert(name.text()) {
            errors.push(name.quoted(Cause::Duplicate, ""));
        }
        number.range(1, 65535, errors);
        port.get("nodePort").range(0, 65535, errors);
        port.get("targetPort").range(1, 65535, errors);
        if !numbered.insert((number.number(), port.get("protocol").text())) {
            errors.push(port.quoted(Cause::Duplicate, ""));
        }
    }
}

pub(super) fn config_map(old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    let (data, binary) = (new.get("data"), new.get("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries().chain(binary.entries()) {
        // The value is not shown: it may be a secret.
        errors.extend(data_key(key).map(|problem| value.fault(Cause::Invalid, problem)));
        size += value.text().len();
    }
    for (key, value) in binary.entries() {
        if !data.value[key].is_null() {
            let detail = "duplicate of key present in data";
            errors.push(value.fault(Cause::Invalid, detail));
        }
    }
    if size > DATA_SIZE {
        errors.push(data.fault(Cause::TooLong, format!("may not be more than {DATA_SIZE} bytes")));
    }
    stays_immutable(old, new, &["data", "binaryData"], errors);
}

pub(super) fn secret(old: Option<&Value>, new: &At<'_>, errors: &mut Errors) {
    let data = new.get("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        // The value is not shown: it may be a secret.
        errors.extend(data_key(key).map(|problem| value.fault(Cause::Invalid, problem)));
        size += value.text().len() / 4 * 3;
    }
    if size > DATA_SIZE {
        errors.push(data.fault(Cause::TooLong, format!("may not be more than {DATA_SIZE} bytes")));
    }
    let needed: &[&str] = match new.get("type").text() {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    };
    for key in needed {
        let value = data.key(key);
        if value.value.is_null() {
            errors.push(value.fault(Cause::Required, ""));
        } else if key.starts_with(".docker") && !is_json(value.text()) {
            errors.push(value.fault(Cause::Invalid, "must be JSON in base64"));
        }
    }
    stays_immutable(old, new, &["data"], errors);
}

fn is_json(base64: &str) -> bool {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok()
}

fn data_key(key: &str) -> names::Problem {
    if key.len() > KEY_LENGTH {
        return Some(format!("must be no more than {KEY_LENGTH} characters"));
    }
    if key == "." || key == ".." || key.starts_with("..") {
        return Some("must not start with '..'".to_owned());
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (key.is_empty() || !key.chars().all(good)).then(|| {
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  \
         or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            .to_owned()
    })
}

/// `immutable: true` holds for the data and for itself.
fn stays_immutable(old: Option<&Value>, new: &At<'_>, fields: &[&str], errors: &mut Errors) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else {
        return;
    };
    let detail = "field is immutable when `immutable` is set; delete the object and create it anew";
    if !new.get("immutable").is_true() {
        errors.push(new.get("immutable").fault(Cause::Forbidden, detail));
    }
    for field in fields.iter().filter(|field| old[**field] != *new.get(field).value) {
        errors.push(new.get(field).fault(Cause::Forbidden, detail));
    }
}

pub(super) fn lease(new: &At<'_>, errors: &mut Errors) {
    let spec = new.get("spec");
    let duration = spec.get("leaseDurationSeconds");
    if duration.number().is_some_and(|n| n <= 0) {
        errors.push(duration.invalid("must be greater than 0"));
    }
    spec.get("leaseTransitions").not_negative(errors);
}

pub(super) fn event(new: &At<'_>, errors: &mut Errors) {
    let namespace = new.at(&["metadata", "namespace"]).text();
    let about = new.at(&["involvedObject", "namespace"]);
    let cluster = about.is_empty() && matches!(namespace, "default" | "kube-system");
    if about.text() != namespace && !cluster {
        errors.push(about.invalid("does not match event.namespace"));
    }
    for (field, most) in [("message", MESSAGE), ("reason", REASON)] {
        let at = new.get(field);
        if at.text().len() > most {
            errors.push(at.fault(Cause::TooLong, format!("may not be more than {most} bytes")));
        }
    }
}
