//! The newer form: everything in one `APIGroupDiscoveryList`.

use orlop_objects::Kind;
use serde_json::{Value, json};

use super::{VERBS, groups, shown, subresources};
use crate::path::Review;

/// `/api` (the core group alone) or `/apis` (all others).
pub(super) fn document(core: bool, version: &str) -> Value {
    let groups = if core { vec![("", "v1")] } else { groups() };
    let items: Vec<_> = groups.into_iter().map(|(group, version)| item(group, version)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items})
}

fn item(group: &str, version: &str) -> Value {
    let kinds = shown().filter(|kind| kind.group == group && kind.version == version);
    let reviews = Review::ALL.into_iter().filter(|(_, g, ..)| *g == group);
    let resources: Vec<_> = kinds
        .map(of_kind)
        .chain(reviews.map(|(_, group, plural, kind)| {
            json!({"resource": plural, "responseKind": {"group": group, "version": "v1", "kind": kind},
            "scope": "Cluster", "singularResource": kind.to_lowercase(), "verbs": ["create"]})
        }))
        .collect();
    let mut metadata = json!({"creationTimestamp": null});
    if !group.is_empty() {
        metadata["name"] = group.into();
    }
    json!({"metadata": metadata,
        "versions": [{"version": version, "freshness": "Current", "resources": resources}]})
}

fn of_kind(kind: &'static Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": VERBS,
    });
    if !kind.short.is_empty() {
        resource["shortNames"] = kind.short.into();
    }
    if !kind.categories.is_empty() {
        resource["categories"] = kind.categories.into();
    }
    let subs: Vec<_> = subresources(kind)
        .map(|sub| {
            let (group, version, kind) = sub.kind;
            json!({"subresource": sub.name, "verbs": sub.verbs,
                "responseKind": {"group": group, "version": version, "kind": kind}})
        })
        .collect();
    if !subs.is_empty() {
        resource["subresources"] = subs.into();
    }
    resource
}
