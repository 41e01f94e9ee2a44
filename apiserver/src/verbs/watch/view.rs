//! What a watch tells of, where that depends on more than the object: a node's own claims and volumes.
//!
//! ```text
//!  own kind ─────┐
//!  related kinds ┴─► a change ─► which objects it touched ─► what is so now, against what was told ─► events
//! ```
//!
//! A claim becomes a node's when a pod that names it is bound there, without having changed itself: so it is told as ADDED
//! then, in the version that it has, and as DELETED when it ceases to be the node's. What is told is always the newest.
//!
//! **A connection may break after any line**, and the client comes back with the newest version that it was told. All that was
//! so at that version must have been told by then:
//!
//! - Changes are told in the order of their revisions, whichever watch they come by; of one revision, the kind's own last.
//! - An object that is newer than the change is left to the change that made it so, which is still to come. But whoever was
//!   told of it must hear that it has left before he hears of anything newer, for once he comes back from there, it counts as
//!   never shown to him: so it is told as DELETED with the change, where the change or what became of it since says so.
//!
//!   | the newer object | as this change left it, where it is its own | was told | is told |
//!   |---|---|---|---|
//!   | any | any | no | nothing: its own change tells ADDED, if it is still the node's then |
//!   | is the node's, of the same uid | is the node's | yes | nothing: its own change tells MODIFIED |
//!   | is the node's, of the same uid | is gone or not the node's | yes | DELETED; its own change tells ADDED |
//!   | is not the node's, or of another uid | any | yes | DELETED |
//!
//! - What one change comes to is told in the order of its versions. What ceases to be the node's, goes in the version before
//!   the change: told twice, it does no harm.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

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
    sources: Vec<Source>,
    /// What was told last, of what is in the view.
    told: BTreeMap<Key, Arc<Object>>,
}

/// One watch.
struct Source {
    watch: Watch,
    /// Its next change, when that is known.
    head: Option<Change>,
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
        let open = |kind| Ok(Source { watch: store.watch(kind, from.revision())?, head: None });
        let sources = kinds.map(open).collect::<Result<_, Error>>()?;
        let all = from.list(kind, filter.namespace.as_deref(), None);
        let shown = all.filter(|object| filter.matches(object) && scope.shows(from, object));
        let told = shown.map(|object| (object.key.clone(), object.clone())).collect();
        Ok(Self { store: store.clone(), scope, sources, told })
    }

    /// What is in it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.told.values()
    }

    /// The next change that may matter; `None` when one of the watches fell behind.
    pub(super) async fn next(&mut self) -> Option<Change> {
        loop {
            // A watch that had nothing may have something older by now than what another one was asked for since.
            while self.look()? {}
            let heads = self.sources.iter().enumerate();
            let heads = heads.filter_map(|(n, source)| Some((source.head.as_ref()?.revision, Reverse(n))));
            if let Some((_, Reverse(n))) = heads.min() {
                return self.sources[n].head.take();
            }
            let all = self.sources.iter_mut().map(|source| source.watch.next().boxed());
            let (change, n) = select_all(all).map(|(change, n, _)| (change, n)).await;
            self.sources[n].head = Some(change?);
        }
    }

    /// Takes the next change of each watch that has one; answers whether any has. `None` when one fell behind.
    fn look(&mut self) -> Option<bool> {
        let mut found = false;
        for source in self.sources.iter_mut().filter(|source| source.head.is_none()) {
            if let Some(change) = source.watch.next().now_or_never() {
                source.head = Some(change?);
                found = true;
            }
        }
        Some(found)
    }

    /// The revision up to which everything was told.
    pub(super) fn seen(&self) -> Revision {
        let seen =
            |source: &Source| source.head.as_ref().map_or(source.watch.seen(), |head| head.revision - 1);
        self.sources.iter().map(seen).min().unwrap_or_default()
    }

    /// What a change comes to.
    pub(super) fn events(&mut self, change: &Change, filter: &Filter) -> Vec<Event> {
        let snapshot = self.store.snapshot();
        let keys = self.scope.touched(&snapshot, change);
        let told = keys.into_iter().flat_map(|key| self.compare(&snapshot, key, change, filter));
        let mut told: Vec<Event> = told.collect();
        told.sort_by_key(|(_, object)| object.revision);
        told
    }

    /// What is so, against what was told.
    fn compare(&mut self, snapshot: &Snapshot, key: Key, change: &Change, filter: &Filter) -> Vec<Event> {
        let own = key == change.key;
        let newest = if own { change.revision } else { change.revision - 1 };
        let now = snapshot.get(&key);
        let gone = |old: &Object| ("DELETED", Arc::new(old.at(newest)));
        let is_newer = now.as_ref().is_some_and(|object| object.revision > newest);
        let shown = |object: &Arc<Object>| filter.matches(object) && self.scope.shows(snapshot, object);
        let now = now.filter(shown);
        if is_newer {
            let stayed = !own || change.new.as_ref().is_some_and(shown);
            let stays = |old: &Object| stayed && now.as_ref().is_some_and(|new| new.meta.uid == old.meta.uid);
            let left = self.told.get(&key).is_some_and(|old| !stays(old));
            return left.then(|| self.told.remove(&key)).flatten().iter().map(|old| gone(old)).collect();
        }
        let before = self.told.get(&key).cloned();
        match &now {
            Some(object) => self.told.insert(key, object.clone()),
            None => self.told.remove(&key),
        };
        match (before, now) {
            (None, Some(new)) => vec![("ADDED", new)],
            (Some(old), Some(new)) if old.meta.uid != new.meta.uid => {
                vec![("DELETED", Arc::new(old.at(new.revision - 1))), ("ADDED", new)]
            }
            (Some(old), Some(new)) if old.revision != new.revision => vec![("MODIFIED", new)],
            (Some(old), None) => vec![gone(&old)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
