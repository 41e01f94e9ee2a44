//! All objects as of one revision: one structure-sharing ordered map per kind, and one over all index entries.
//!
//! Owns: order, lookup, and keeping the indexes in step. Must not know: who reads, who commits.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use imbl::OrdMap;
use orlop_objects::{
    Key, Kind, Object, Revision,
    index::{self, Index},
};

/// An object's place among those of its kind: `namespace\0name`, which sorts as (namespace, name) does.
type Path = Arc<str>;

/// One index entry's place: the entry, then the object it leads to (`group/plural\0path`).
type IndexKey = (Index, Arc<str>, Arc<str>);

/// The index entries of one object; most have none.
type Entries = Option<Arc<[(Index, Arc<str>)]>>;

/// One object with the index entries that lead to it, so that they can be taken out again without a parse.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) object: Arc<Object>,
    entries: Entries,
}

impl Row {
    /// Computes the index entries, which parses the object: done by the writer's task, not by the committer.
    pub(crate) fn new(object: Arc<Object>) -> Self {
        let entries = index::entries(object.key.kind, &object.value());
        let entries: Vec<_> = entries.into_iter().map(|(index, entry)| (index, Arc::from(entry))).collect();
        Self { object, entries: (!entries.is_empty()).then(|| entries.into()) }
    }

    fn entries(&self) -> &[(Index, Arc<str>)] {
        self.entries.as_deref().unwrap_or_default()
    }
}

/// All objects as of one revision. Cloning shares everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    tables: BTreeMap<&'static Kind, OrdMap<Path, Row>>,
    index: OrdMap<IndexKey, Arc<Object>>,
}

impl State {
    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.tables.get(key.kind)?.get(path(&key.namespace, &key.name).as_str()).map(|row| &row.object)
    }

    /// The revision that wrote the object at `key`; 0 when there is none.
    pub(crate) fn revision_of(&self, key: &Key) -> Revision {
        self.get(key).map_or(0, |object| object.revision)
    }

    /// Puts an object in place, and answers the one that was there.
    pub(crate) fn put(&mut self, row: &Row) -> Option<Arc<Object>> {
        let key = &row.object.key;
        let path: Path = path(&key.namespace, &key.name).into();
        let place = place(key);
        let old = self.tables.entry(key.kind).or_default().insert(path, row.clone());
        if let Some(old) = &old {
            self.unindex(old, &place);
        }
        for (index, entry) in row.entries() {
            self.index.insert((*index, entry.clone(), place.clone()), row.object.clone());
        }
        old.map(|row| row.object)
    }

    /// Takes an object away, and answers it.
    pub(crate) fn delete(&mut self, key: &Key) -> Option<Arc<Object>> {
        let old = self.tables.get_mut(key.kind)?.remove(path(&key.namespace, &key.name).as_str())?;
        self.unindex(&old, &place(key));
        Some(old.object)
    }

    fn unindex(&mut self, row: &Row, place: &Arc<str>) {
        for (index, entry) in row.entries() {
            self.index.remove(&(*index, entry.clone(), place.clone()));
        }
    }

    /// The objects of a kind in key order, of one namespace where given, after `after` where given.
    pub(crate) fn list<'a>(
        &'a self,
        kind: &'static Kind,
        namespace: Option<&'a str>,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let first = namespace.map(|n| path(n, "")).unwrap_or_default();
        let from = match after.map(|(namespace, name)| path(namespace, name)) {
            Some(after) if after >= first => Bound::Excluded(after),
            _ => Bound::Included(first),
        };
        let range = (from.as_ref().map(String::as_str), Bound::Unbounded);
        let rows = self.tables.get(kind).map(|table| table.range::<_, str>(range));
        rows.into_iter()
            .flatten()
            .map(|(_, row)| &row.object)
            .take_while(move |object| namespace.is_none_or(|n| object.key.namespace == n))
    }

    /// The objects whose entry in `index` is exactly `entry`, in the order of their keys.
    pub(crate) fn having<'a>(
        &'a self,
        index: Index,
        entry: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let entry: Arc<str> = entry.into();
        let from = self.entries_from(index, entry.clone());
        from.take_while(move |(found, _)| ***found == *entry).map(|(_, object)| object)
    }

    /// The objects whose entry in `index` begins with `prefix`, in the order of the entries.
    pub(crate) fn indexed<'a>(
        &'a self,
        index: Index,
        prefix: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let prefix: Arc<str> = prefix.into();
        let from = self.entries_from(index, prefix.clone());
        from.take_while(move |(entry, _)| entry.starts_with(&*prefix)).map(|(_, object)| object)
    }

    fn entries_from(
        &self,
        index: Index,
        entry: Arc<str>,
    ) -> impl Iterator<Item = (&Arc<str>, &Arc<Object>)> + use<'_> {
        let from: IndexKey = (index, entry, "".into());
        let all = self.index.range(from..).take_while(move |((i, _, _), _)| *i == index);
        all.map(|((_, entry, _), object)| (entry, object))
    }
}

/// `namespace\0name`: no name holds a NUL, which sorts before every other byte.
fn path(namespace: &str, name: &str) -> String {
    [namespace, "\0", name].concat()
}

fn place(key: &Key) -> Arc<str> {
    [key.kind.group, "/", key.kind.plural, "\0", &key.namespace, "\0", &key.name].concat().into()
}
