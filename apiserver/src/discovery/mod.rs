//! What is served, in both forms of discovery: the lists per group and version, and the one aggregated document.
//!
//! Clients cache these for hours; the `ETag` is a hash of the document, so that they notice a change cheaply.

mod aggregated;
mod lists;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use orlop_objects::{Kind, kind};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    accept::{self, Range},
    events,
    failure::Failure,
    path::{Review, Route},
    reply::{self, Body},
};

/// A subresource as discovery tells it.
struct Subresource {
    name: &'static str,
    /// Group, version and kind of what goes in and out.
    kind: (&'static str, &'static str, &'static str),
    verbs: &'static [&'static str],
}

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Every kind shown.
fn shown() -> impl Iterator<Item = &'static Kind> {
    kind::ALL.iter().copied().chain([&events::SHOWN])
}

/// Groups beside the core with their one version, in the order in which they are listed.
fn groups() -> Vec<(&'static str, &'static str)> {
    let reviews = Review::ALL.into_iter().map(|(_, group, ..)| (group, "v1"));
    let mut groups = Vec::new();
    for group in shown().map(|kind| (kind.group, kind.version)).chain(reviews) {
        if !group.0.is_empty() && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn subresources(kind: &'static Kind) -> impl Iterator<Item = Subresource> {
    kind.subresources.iter().map(|name| {
        let own = (kind.group, kind.version, kind.kind);
        let (kind, verbs): (_, &[&str]) = match *name {
            "status" => (own, &["get", "patch", "update"]),
            "finalize" => (own, &["update"]),
            "log" => (own, &["get"]),
            "scale" => (("autoscaling", "v1", "Scale"), &["get", "patch", "update"]),
            "binding" => (("", "v1", "Binding"), &["create"]),
            "eviction" => (("policy", "v1", "Eviction"), &["create"]),
            _ => (own, &["get", "patch", "update"]),
        };
        Subresource { name, kind, verbs }
    })
}

/// Answers a discovery request.
pub(crate) fn respond(route: &Route<'_>, headers: &HeaderMap) -> Result<Response<Body>, Failure> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let ranges = accept::ranges(accept);
    let (document, content_type) = match route {
        Route::CoreVersions | Route::Groups => {
            let core = matches!(route, Route::CoreVersions);
            match aggregated_version(&ranges) {
                Some(version) => (
                    aggregated::document(core, version),
                    format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"),
                ),
                None => (if core { lists::versions() } else { lists::groups() }, reply::JSON.to_owned()),
            }
        }
        Route::Group(group) => {
            (lists::group(group).ok_or_else(Failure::no_such_path)?, reply::JSON.to_owned())
        }
        Route::Resources { group, version } => {
            (lists::resources(group, version).ok_or_else(Failure::no_such_path)?, reply::JSON.to_owned())
        }
        _ => return Err(Failure::no_such_path()),
    };
    Ok(cached(&document, &content_type, headers))
}

/// The first form that the client wants and we have; `None` for the lists.
fn aggregated_version(ranges: &[Range<'_>]) -> Option<&'static str> {
    ranges.iter().filter(|range| range.takes_json()).find_map(|range| {
        match (range.get("g"), range.get("v"), range.get("as")) {
            ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Some(Some("v2")),
            ("apidiscovery.k8s.io", "v2beta1", "APIGroupDiscoveryList") => Some(Some("v2beta1")),
            ("", ..) => Some(None),
            _ => None,
        }
    })?
}

/// A document with its hash, or 304 for a client that has it.
fn cached(document: &Value, content_type: &str, headers: &HeaderMap) -> Response<Body> {
    let text = document.to_string();
    let hash: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
    let tag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let mut response = match known {
        Some(known) if known.contains(&tag) => {
            let mut response = Response::new(reply::full(""));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        _ => reply::typed(StatusCode::OK, content_type, reply::full(text)),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}
