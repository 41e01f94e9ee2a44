//! Watching a collection: changes as they are committed, one JSON document per line.
//!
//! | `resourceVersion` | begins with |
//! |---|---|
//! | absent or `0` | what there is, as ADDED, then goes on from there |
//! | N | the first change after N; a 410 event when N is no longer kept |
//!
//! | matched before | matches now | event |
//! |---|---|---|
//! | no | yes | ADDED |
//! | yes | yes | MODIFIED |
//! | yes | no, or gone | DELETED, with the last version that matched |
//! | no | no | none |
//!
//! A node sees its own objects only ([`Scope`]). Where which those are depends on other objects, a watch from a version
//! that is no longer kept as a whole begins with a 410 as well: see [`view`].

mod view;

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use http::{Response, StatusCode};
use orlop_objects::{Cause, FieldError, Kind, Object, Revision};
use orlop_store::{Change, Error, Store, Watch};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::list::resource_version;
use crate::{
    Identity,
    authorize::{self, Scope, related},
    failure::Failure,
    filter::Filter,
    join,
    present::Presenter,
    reply::{self, Body, BodyError},
    router::Call,
};
use view::View;

/// A watch that names no end gets one, so that connections do not live for ever: Kubernetes' range is 30 to 60 minutes.
const LONGEST: Duration = Duration::from_secs(45 * 60);
/// How often a watch that allows it is told the version it has reached.
const BOOKMARKS: Duration = Duration::from_secs(55);
/// Bytes per piece while there is more to say.
const PIECE: usize = 64 * 1024;

pub(crate) fn run(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let filter = Filter::new(call.target, call.query)?;
    refuse_initial_events(call)?;
    let timeout =
        call.query.number("timeoutSeconds")?.filter(|s| *s > 0).map_or(LONGEST, Duration::from_secs);
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let store = call.server.registry.store();
    let version = resource_version(call.query)?.unwrap_or(0);
    let scope = authorize::scope(call.who, call.target.kind);
    let (source, initial, failed) = match Source::open(store, call.target.kind, scope, &filter, version) {
        Ok((source, initial)) => (Some(source), initial, None),
        Err(error) => (None, VecDeque::new(), Some(Failure::from(error))),
    };
    let stream = Stream {
        presenter,
        filter,
        initial,
        failed,
        source,
        store: store.clone(),
        who: call.who.clone(),
        columns: true,
        bookmarks,
        end: Box::pin(tokio::time::sleep(timeout)),
        bookmark: Box::pin(tokio::time::sleep(BOOKMARKS)),
        closing: call.server.closing.clone(),
    };
    let pieces = futures::stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<_, BodyError>(piece), stream))
    });
    Ok(reply::typed(StatusCode::OK, presenter.content_type(), reply::streamed(pieces)))
}

/// Ignoring the parameter would make a client wait for ever; refusing makes it list and watch.
fn refuse_initial_events(call: &Call<'_>) -> Result<(), Failure> {
    let faults: Vec<_> = ["sendInitialEvents", "resourceVersionMatch"]
        .into_iter()
        .filter(|name| call.query.has(name))
        .map(|name| {
            FieldError::new(name, Cause::Forbidden, "is not supported for watch yet: list, then watch")
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::unprocessable(call.target.shown, "", &faults)) }
}

/// A watch under way.
struct Stream {
    presenter: Presenter,
    filter: Filter,
    /// What there was, not yet told.
    initial: VecDeque<Arc<Object>>,
    /// The one error event there will be.
    failed: Option<Failure>,
    /// `None` once it is over.
    source: Option<Source>,
    store: Store,
    who: Identity,
    /// Whether the next table tells its columns.
    columns: bool,
    bookmarks: bool,
    end: Pin<Box<Sleep>>,
    bookmark: Pin<Box<Sleep>>,
    closing: CancellationToken,
}

/// Where the changes come from.
enum Source {
    /// The kind itself; a node's scope is told from the object alone.
    Changes(Watch, Option<Scope>),
    /// The kind and what decides whose its objects are.
    View(Box<View>),
}

impl Source {
    /// The changes after `version`, with what there is where none is given.
    fn open(
        store: &Store,
        kind: &'static Kind,
        scope: Option<Scope>,
        filter: &Filter,
        version: Revision,
    ) -> Result<(Self, VecDeque<Arc<Object>>), Error> {
        let whole = |version| if version == 0 { Ok(store.snapshot()) } else { store.snapshot_at(version) };
        let depends = !related(kind).is_empty();
        if let Some(scope) = scope.clone().filter(|_| depends) {
            let from = whole(version)?;
            let view = View::open(store, kind, scope, filter, &from)?;
            let initial = if version == 0 { view.all().cloned().collect() } else { VecDeque::new() };
            return Ok((Self::View(Box::new(view)), initial));
        }
        if version > 0 {
            return Ok((Self::Changes(store.watch(kind, version)?, scope), VecDeque::new()));
        }
        let snapshot = store.snapshot();
        let shown = |object: &&Arc<Object>| {
            filter.matches(object) && scope.as_ref().is_none_or(|scope| scope.shows(&snapshot, object))
        };
        let initial = snapshot.list(kind, filter.namespace.as_deref(), None).filter(shown).cloned().collect();
        Ok((Self::Changes(store.watch(kind, snapshot.revision())?, scope), initial))
    }

    async fn next(&mut self) -> Option<Change> {
        match self {
            Self::Changes(watch, _) => watch.next().await,
            Self::View(view) => view.next().await,
        }
    }

    fn seen(&self) -> Revision {
        match self {
            Self::Changes(watch, _) => watch.seen(),
            Self::View(view) => view.seen(),
        }
    }

    /// What a change comes to, for who sees no more than `filter` and the scope show.
    fn events(&mut self, change: &Change, filter: &Filter, store: &Store) -> Vec<view::Event> {
        let scope = match self {
            Self::View(view) => return view.events(change, filter),
            Self::Changes(_, scope) => scope,
        };
        if filter.namespace.as_ref().is_some_and(|ns| *ns != change.key.namespace) {
            return Vec::new();
        }
        let matching = |object: &&Arc<Object>| {
            filter.matches(object)
                && scope.as_ref().is_none_or(|scope| scope.shows(&store.snapshot(), object))
        };
        let (old, new) = (change.old.as_ref().filter(matching), change.new.as_ref().filter(matching));
        match (old, new) {
            (None, Some(new)) => vec![("ADDED", new.clone())],
            (Some(_), Some(new)) => vec![("MODIFIED", new.clone())],
            (Some(old), None) => vec![("DELETED", Arc::new(old.at(change.revision)))],
            (None, None) => Vec::new(),
        }
    }
}

/// What a watch waits for.
enum Next {
    Change(Option<Change>),
    Bookmark,
    End,
}

impl Stream {
    /// The next piece: at least one line, or none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        if let Some(failure) = self.failed.take() {
            write_error(&mut out, &failure);
            return Some(out.into());
        }
        while let Some(object) = self.initial.pop_front() {
            self.write(&mut out, "ADDED", &object);
            if out.len() >= PIECE {
                break;
            }
        }
        while out.is_empty() {
            let next = self.wait().await?;
            // A node that was removed meanwhile is told nothing more.
            if let Err(failure) = join::still_a_node(&self.store.snapshot(), &self.who) {
                self.source = None;
                write_error(&mut out, &failure);
                break;
            }
            match next {
                Next::Change(Some(change)) => self.drain(&mut out, &change),
                Next::Change(None) => {
                    self.source = None;
                    let failure = Failure::expired("the watch fell too far behind: list again");
                    write_error(&mut out, &failure);
                }
                Next::Bookmark => self.write_bookmark(&mut out),
                Next::End => {
                    self.write_bookmark(&mut out);
                    self.source = None;
                }
            }
            if self.source.is_none() && out.is_empty() {
                return None;
            }
        }
        Some(out.into())
    }

    async fn wait(&mut self) -> Option<Next> {
        let source = self.source.as_mut()?;
        Some(tokio::select! {
            biased;
            () = self.closing.cancelled() => Next::End,
            () = self.end.as_mut() => Next::End,
            change = source.next() => Next::Change(change),
            () = self.bookmark.as_mut(), if self.bookmarks => Next::Bookmark,
        })
    }

    /// Writes a change, and those that are there already, as one piece.
    fn drain(&mut self, out: &mut Vec<u8>, first: &Change) {
        self.write_change(out, first);
        while out.len() < PIECE
            && let Some(Some(change)) = self.source.as_mut().and_then(|source| source.next().now_or_never())
        {
            self.write_change(out, &change);
        }
    }

    fn write_change(&mut self, out: &mut Vec<u8>, change: &Change) {
        let Some(source) = self.source.as_mut() else { return };
        for (event, object) in source.events(change, &self.filter, &self.store) {
            self.write(out, event, &object);
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, event: &str, object: &Object) {
        open(out, event);
        self.presenter.write(out, object, std::mem::take(&mut self.columns));
        out.extend_from_slice(b"}\n");
    }

    fn write_bookmark(&mut self, out: &mut Vec<u8>) {
        self.bookmark.as_mut().reset(Instant::now() + BOOKMARKS);
        if let Some(source) = self.source.as_ref().filter(|_| self.bookmarks) {
            open(out, "BOOKMARK");
            self.presenter.write_bookmark(out, source.seen());
            out.extend_from_slice(b"}\n");
        }
    }
}

fn open(out: &mut Vec<u8>, event: &str) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

fn write_error(out: &mut Vec<u8>, failure: &Failure) {
    open(out, "ERROR");
    out.extend_from_slice(failure.status().to_string().as_bytes());
    out.extend_from_slice(b"}\n");
}
