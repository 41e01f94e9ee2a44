//! OpenAPI v3 out of the schema table, as kubectl reads it for apply, create, replace and explain.

use std::sync::Arc;

use serde_json::{Value, json};

/// `/openapi/v3`: the documents there are, with a hash in each address.
pub fn index() -> Value {
    json!({"paths": {}})
}

/// One document by its path (`api/v1`, `apis/storage.k8s.io/v1`); built on first use.
pub fn document(_path: &str) -> Option<Arc<[u8]>> {
    None
}
