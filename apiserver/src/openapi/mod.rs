//! OpenAPI v3 out of the schema table, as kubectl reads it for apply, create, replace and explain.
//!
//! One document for each group and version: [`paths`] says which requests there are, [`schemas`] what objects look like.
//! Must not know: requests, stored objects; it is the same in every Orlop of one build.

mod leaves;
mod operation;
mod parameters;
mod paths;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, LazyLock, OnceLock};

use orlop_objects::{kind, schema::table};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// An OpenAPI v2 document in protobuf that says `swagger: "2.0"` (field 1, of 3 bytes) and nothing else.
pub(crate) const EMPTY_V2: &[u8] = b"\x0a\x032.0";

/// Documents by path, each built when it is first asked for.
static DOCUMENTS: LazyLock<BTreeMap<String, OnceLock<Arc<[u8]>>>> =
    LazyLock::new(|| resources().map(|r| (r.document(), OnceLock::new())).collect());

/// The table and this build decide what the documents say, so their hash stands for the documents'.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::new().chain_update(env!("CARGO_PKG_VERSION")).chain_update(table::text()).finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
});

/// `/openapi/v3`: the documents there are, with a hash in each address.
pub fn index() -> Value {
    let address = |path: &String| json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={}", *HASH)});
    let paths: Map<String, Value> = DOCUMENTS.keys().map(|path| (path.clone(), address(path))).collect();
    json!({"paths": paths})
}

/// One document by its path (`api/v1`, `apis/storage.k8s.io/v1`); built on first use, then kept.
pub fn document(path: &str) -> Option<Arc<[u8]>> {
    let document = DOCUMENTS.get(path)?;
    Some(Arc::clone(document.get_or_init(|| build(path).to_string().into_bytes().into())))
}

fn build(path: &str) -> Value {
    let here: Vec<Resource> = resources().filter(|r| r.document() == path).collect();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Orlop", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths::all(&here),
        "components": {
            "schemas": schemas::all(&here),
            "securitySchemes": {},
        },
    })
}

/// A resource as the documents need it.
#[derive(Clone, Copy, Debug)]
struct Resource {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    subresources: &'static [&'static str],
    schema: &'static str,
    /// Whether it is only a question: it can be created, which answers it, and nothing is stored.
    review: bool,
}

/// Every kind served, events as their second group shows them, and the questions about oneself.
fn resources() -> impl Iterator<Item = Resource> {
    let of = |k: &&'static kind::Kind| Resource {
        group: k.group,
        version: k.version,
        kind: k.kind,
        plural: k.plural,
        namespaced: k.namespaced,
        subresources: k.subresources,
        schema: k.schema,
        review: false,
    };
    let events = Resource {
        group: "events.k8s.io",
        version: "v1",
        kind: "Event",
        plural: "events",
        namespaced: true,
        subresources: &[],
        schema: "io.k8s.api.events.v1.Event",
        review: false,
    };
    let again = kind::ALL.iter().any(|k| k.group == events.group);
    kind::ALL.iter().map(of).chain((!again).then_some(events)).chain(REVIEWS)
}

const REVIEWS: [Resource; 2] = [
    Resource {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        namespaced: false,
        subresources: &[],
        schema: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        review: true,
    },
    Resource {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        namespaced: false,
        subresources: &[],
        schema: "io.k8s.api.authentication.v1.SelfSubjectReview",
        review: true,
    },
];

impl Resource {
    /// `api/v1` or `apis/group/version`.
    fn document(&self) -> String {
        if self.group.is_empty() {
            format!("api/{}", self.version)
        } else {
            format!("apis/{}/{}", self.group, self.version)
        }
    }

    /// The extension by which clients know which kind a path or schema is about.
    fn gvk(&self, kind: &str) -> Value {
        json!({"group": self.group, "version": self.version, "kind": kind})
    }

    /// `CoreV1`, `StorageV1`: the group and version within names of operations.
    fn title(&self) -> String {
        let group = self.group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core");
        format!("{}{}", capital(group), capital(self.version))
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
