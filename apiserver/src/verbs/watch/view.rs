//! What a watch tells of, where that depends on more than the object: a node's own claims and volumes.
//!
//! ```text
//!  own kind ─────┐
//!  related kinds ┴─► a change ─► which objects it touched ─► what is so now, against what was told ─► events
//! ```
//!
//! A claim becomes a node's when a pod that names it is bound there, without having changed itself: so it is told as ADDED
//! then, in the version that it has, and as DELETED when it ceases to be the node's. What is told is always the newest; a
//! change that was told with another one tells nothing more.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt, future::select_all};
use orlop_objects::{Key, Kind, Object, Revision};
use orlop_store::{Change, Error, Snapshot, Store, Watch};

use crate::{
    authorize::{Scope, related},
    filter::Filter,
};

/// One event to tell.
pub(super) type Event = (&'static str, Arc<Object>);

/// A node's view of one kind.
pub(super) struct View {
    store: Store,
    scope: Scope,
    /// Of the kind itself, and of those that its relation comes from.
    watches: Vec<Watch>,
    /// What was told last, of what is in the view.
    told: BTreeMap<Key, Arc<Object>>,
}

impl View {
    /// The view from `from` on, as whoever listed then has it.
    pub(super) fn open(
        store: &Store,
        kind: &'static Kind,
        scope: Scope,
        filter: &Filter,
        from: &Snapshot,
    ) -> Result<Self, Error> {
        let kinds = std::iter::once(kind).chain(related(kind).iter().copied());
        let watches = kinds.map(|kind| store.watch(kind, from.revision())).collect::<Result<_, _>>()?;
        let all = from.list(kind, filter.namespace.as_deref(), None);
        let shown = all.filter(|object| filter.matches(object) && scope.shows(from, object));
        let told = shown.map(|object| (object.key.clone(), object.clone())).collect();
        Ok(Self { store: store.clone(), scope, watches, told })
    }

    /// What is in it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.told.values()
    }

    /// The next change that may matter; `None` when one of the watches fell behind.
    pub(super) async fn next(&mut self) -> Option<Change> {
        let all = self.watches.iter_mut().map(|watch| watch.next().boxed());
        select_all(all).await.0
    }

    /// The revision up to which everything was told.
    pub(super) fn seen(&self) -> Revision {
        self.watches.iter().map(Watch::seen).min().unwrap_or_default()
    }

    /// What a change comes to.
    pub(super) fn events(&mut self, change: &Change, filter: &Filter) -> Vec<Event> {
        let snapshot = self.store.snapshot();
        let keys = self.scope.touched(&snapshot, change);
        keys.into_iter().flat_map(|key| self.compare(&snapshot, key, change.revision, filter)).collect()
    }

    /// What is so, against what was told.
    fn compare(&mut self, snapshot: &Snapshot, key: Key, at: Revision, filter: &Filter) -> Vec<Event> {
        let shown = |object: &Arc<Object>| filter.matches(object) && self.scope.shows(snapshot, object);
        let now = snapshot.get(&key).filter(shown);
        let before = self.told.get(&key).cloned();
        match &now {
            Some(object) => self.told.insert(key, object.clone()),
            None => self.told.remove(&key),
        };
        let gone = |old: &Object| ("DELETED", Arc::new(old.at(at)));
        match (before, now) {
            (None, Some(new)) => vec![("ADDED", new)],
            (Some(old), Some(new)) if old.meta.uid != new.meta.uid => vec![gone(&old), ("ADDED", new)],
            (Some(old), Some(new)) if old.revision != new.revision => vec![("MODIFIED", new)],
            (Some(old), None) => vec![gone(&old)],
            _ => Vec::new(),
        }
    }
}
