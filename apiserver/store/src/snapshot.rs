//! What readers hold: all objects as of one revision.

use std::sync::Arc;

use orlop_objects::{Key, Kind, Object, Revision, index::Index};

use crate::state::State;

/// All objects as of one revision. Cheap to clone; taking one is a pointer load.
#[derive(Clone, Debug)]
pub struct Snapshot(pub(crate) Arc<State>);

impl Snapshot {
    /// The revision it shows.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.0.get(key).cloned()
    }

    /// All objects of `kind` in key order, of one namespace where given, after `after` (namespace, name) where given.
    pub fn list<'a>(
        &'a self,
        kind: &'static Kind,
        namespace: Option<&'a str>,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        self.0.list(kind, namespace, after)
    }

    /// Objects with exactly this index entry, in the order of their keys.
    pub fn having<'a>(
        &'a self,
        index: Index,
        entry: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        self.0.having(index, entry)
    }

    /// Objects whose index entry begins with `prefix`, in the order of the entries. An object with several such
    /// entries comes once for each.
    pub fn indexed<'a>(
        &'a self,
        index: Index,
        prefix: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        self.0.indexed(index, prefix)
    }
}
