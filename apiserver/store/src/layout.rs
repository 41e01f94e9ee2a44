//! How objects and the store's own facts lie in an engine: `o/<group>/<resource>/<namespace or empty>/<name>` holds the
//! revision (8 bytes, big endian) and the object's bytes; `m/revision` holds the newest revision and the ceiling.

use std::sync::Arc;

use orlop_objects::{Key, Object, Revision, kind};

use crate::{Error, engine::Op};

/// Where the newest revision is kept.
pub(crate) const REVISION: &str = "m/revision";
/// What every object's key begins with.
pub(crate) const OBJECTS: &str = "o/";

/// The engine's key for an object.
pub(crate) fn key(key: &Key) -> String {
    let Key { kind, namespace, name } = key;
    [OBJECTS, kind.group, "/", kind.plural, "/", namespace, "/", name].concat()
}

/// The engine's value for an object.
pub(crate) fn encode(object: &Object) -> Vec<u8> {
    [&object.revision.to_be_bytes(), &*object.bytes].concat()
}

/// The object at an engine's key; `None` when its kind is not served by this build.
pub(crate) fn decode(key: &str, value: &[u8]) -> Result<Option<Object>, Error> {
    let damaged = || Error::engine("read", format!("the record {key} is damaged"));
    let mut parts = key.strip_prefix(OBJECTS).ok_or_else(damaged)?.splitn(4, '/');
    let mut part = || parts.next().ok_or_else(damaged);
    let (group, plural, namespace, name) = (part()?, part()?, part()?, part()?);
    let Some(kind) = kind::by_plural(group, plural) else {
        return Ok(None);
    };
    let (revision, bytes) = value.split_first_chunk().ok_or_else(damaged)?;
    let object = Object::from_bytes(kind, Revision::from_be_bytes(*revision), Arc::from(bytes))
        .map_err(|e| Error::engine("read", e))?;
    if object.key.namespace != namespace || object.key.name != name {
        return Err(damaged());
    }
    Ok(Some(object))
}

/// How far revisions have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The newest revision that is in the engine.
    pub(crate) revision: Revision,
    /// No revision above this one has been given away: what lies between was given to lazy transactions, which a
    /// power cut may have taken, and must not be given again.
    pub(crate) ceiling: Revision,
}

impl Progress {
    /// The write that records it.
    pub(crate) fn op(self) -> Op {
        let value = [self.revision.to_be_bytes(), self.ceiling.to_be_bytes()].concat();
        Op { key: REVISION.to_owned(), value: Some(value) }
    }

    /// Reads it back.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let (revision, rest) = value.split_first_chunk()?;
        let ceiling = rest.try_into().ok()?;
        Some(Self { revision: u64::from_be_bytes(*revision), ceiling: u64::from_be_bytes(ceiling) })
    }
}
