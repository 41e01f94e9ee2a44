//! One version of one object: canonical bytes, with the parsed metadata beside them.
//!
//! The bytes are what disk and wire see: UTF-8 JSON, keys sorted, no blanks, no `resourceVersion` (it is the revision
//! that wrote the object, and is put in on the way out), `managedFields` last in the metadata. Lists and watch events
//! are these bytes, spliced; nothing is parsed and printed again per client.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{Key, Kind, Meta, Typed, canonical};

/// The number of one commit, and the `resourceVersion` of what it wrote.
pub type Revision = u64;

/// An object that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("decode {kind} {name}")]
pub struct DecodeError {
    kind: &'static str,
    name: String,
    source: serde_json::Error,
}

/// One version of one object. Cheap to clone, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Where it lives.
    pub key: Key,
    /// The commit that wrote this version; 0 before it is committed.
    pub revision: Revision,
    /// Canonical JSON without `resourceVersion`.
    pub bytes: Arc<[u8]>,
    /// Parsed metadata.
    pub meta: Arc<Meta>,
    /// Offset just behind the metadata's opening brace, where the version is put in.
    splice: usize,
}

impl Object {
    /// Encodes a complete value (registry or test made it); a `resourceVersion` in it is dropped.
    pub fn from_value(kind: &'static Kind, value: &Value) -> Result<Self, DecodeError> {
        Self::from_bytes(kind, 0, canonical::to_bytes(value).into())
    }

    /// Wraps canonical bytes as read from disk.
    pub fn from_bytes(
        kind: &'static Kind,
        revision: Revision,
        bytes: Arc<[u8]>,
    ) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Sections<'a> {
            #[serde(borrow)]
            metadata: &'a RawValue,
        }
        let failed = |name: &str, source| DecodeError { kind: kind.kind, name: name.to_owned(), source };
        let sections: Sections<'_> = serde_json::from_slice(&bytes).map_err(|e| failed("", e))?;
        let raw = sections.metadata.get();
        let splice = raw.as_ptr() as usize - bytes.as_ptr() as usize + 1;
        let meta: Meta = serde_json::from_str(raw).map_err(|e| failed("", e))?;
        let key = Key::new(kind, meta.namespace.clone(), meta.name.clone());
        Ok(Self { key, revision, bytes, meta: Arc::new(meta), splice })
    }

    /// The same version under the revision that committed it.
    pub fn at(&self, revision: Revision) -> Self {
        Self { revision, ..self.clone() }
    }

    /// The parsed object without `resourceVersion`.
    pub fn value(&self) -> Value {
        // The bytes were parsed when the object was made; they cannot have become wrong since.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The parsed object as clients see it, with `resourceVersion`.
    pub fn versioned(&self) -> Value {
        let mut value = self.value();
        if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert("resourceVersion".to_owned(), self.revision.to_string().into());
        }
        value
    }

    /// Appends the object as clients see it: the stored bytes with the version spliced in.
    pub fn write_versioned(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.splice]);
        out.extend_from_slice(format!("\"resourceVersion\":\"{}\"", self.revision).as_bytes());
        if self.bytes.get(self.splice) != Some(&b'}') {
            out.push(b',');
        }
        out.extend_from_slice(&self.bytes[self.splice..]);
    }

    /// The typed view. Made anew on every call: hold it for one pass, not longer.
    pub fn typed<T: Typed>(&self) -> Result<T, DecodeError> {
        decode(&self.value()).map_err(|source| DecodeError {
            kind: T::KIND.kind,
            name: self.meta.name.clone(),
            source,
        })
    }
}

/// The one place where a typed view is made from a value, so that each type's decoder is compiled once.
pub fn decode<T: Typed>(value: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(value)
}
