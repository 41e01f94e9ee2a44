//! The older form: `APIVersions`, `APIGroupList`, `APIGroup`, `APIResourceList`.

use orlop_objects::Kind;
use serde_json::{Value, json};

use super::{VERBS, groups as all_groups, shown, subresources};
use crate::path::Review;

/// `/api`.
pub(super) fn versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub(super) fn groups() -> Value {
    let groups: Vec<_> = all_groups().into_iter().map(|(group, version)| entry(group, version)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/G`.
pub(super) fn group(name: &str) -> Option<Value> {
    let (group, version) = all_groups().into_iter().find(|(group, _)| *group == name)?;
    let mut entry = entry(group, version);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    Some(entry)
}

fn entry(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `/api/v1`, `/apis/G/V`.
pub(super) fn resources(group: &str, version: &str) -> Option<Value> {
    let kinds = shown().filter(|kind| kind.group == group && kind.version == version);
    let mut resources: Vec<_> = kinds.flat_map(of_kind).collect();
    let reviews = Review::ALL.into_iter().filter(|(_, g, ..)| *g == group && version == "v1");
    resources.extend(reviews.map(|(_, _, plural, kind)| {
        json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind,
            "verbs": ["create"]})
    }));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!resources.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
    })
}

fn of_kind(kind: &'static Kind) -> Vec<Value> {
    let mut own = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": VERBS});
    if !kind.short.is_empty() {
        own["shortNames"] = kind.short.into();
    }
    if !kind.categories.is_empty() {
        own["categories"] = kind.categories.into();
    }
    let subs = subresources(kind).map(|sub| {
        let mut entry = json!({"name": format!("{}/{}", kind.plural, sub.name), "singularName": "",
            "namespaced": kind.namespaced, "kind": sub.kind.2, "verbs": sub.verbs});
        if (sub.kind.0, sub.kind.1) != (kind.group, kind.version) {
            entry["group"] = sub.kind.0.into();
            entry["version"] = sub.kind.1.into();
        }
        entry
    });
    std::iter::once(own).chain(subs).collect()
}
