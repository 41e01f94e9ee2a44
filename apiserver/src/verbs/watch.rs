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

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use http::{Response, StatusCode};
use orlop_objects::{Cause, FieldError, Object};
use orlop_store::{Change, Watch};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::list::resource_version;
use crate::{
    failure::Failure,
    filter::Filter,
    present::Presenter,
    reply::{self, Body, BodyError},
    router::Call,
};

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
    let bookmarks = call.query.flag("allowWatchBookmarks")?;
    let store = call.server.registry.store();
    let (initial, from) = match resource_version(call.query)?.unwrap_or(0) {
        0 => {
            let snapshot = store.snapshot();
            let all = snapshot.list(call.target.kind, filter.namespace.as_deref(), None);
            (all.filter(|o| filter.matches(o)).cloned().collect(), snapshot.revision())
        }
        version => (VecDeque::new(), version),
    };
    let (watch, failed) = match store.watch(call.target.kind, from) {
        Ok(watch) => (Some(watch), None),
        Err(error) => (None, Some(Failure::from(error))),
    };
    let stream = Stream {
        presenter,
        filter,
        initial,
        failed,
        watch,
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
    watch: Option<Watch>,
    /// Whether the next table tells its columns.
    columns: bool,
    bookmarks: bool,
    end: Pin<Box<Sleep>>,
    bookmark: Pin<Box<Sleep>>,
    closing: CancellationToken,
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
            match self.wait().await? {
                Next::Change(Some(change)) => self.drain(&mut out, &change),
                Next::Change(None) => {
                    self.watch = None;
                    let failure = Failure::expired("the watch fell too far behind: list again");
                    write_error(&mut out, &failure);
                }
                Next::Bookmark => self.write_bookmark(&mut out),
                Next::End => {
                    self.write_bookmark(&mut out);
                    self.watch = None;
                }
            }
            if self.watch.is_none() && out.is_empty() {
                return None;
            }
        }
        Some(out.into())
    }

    async fn wait(&mut self) -> Option<Next> {
        let watch = self.watch.as_mut()?;
        Some(tokio::select! {
            biased;
            () = self.closing.cancelled() => Next::End,
            () = self.end.as_mut() => Next::End,
            change = watch.next() => Next::Change(change),
            () = self.bookmark.as_mut(), if self.bookmarks => Next::Bookmark,
        })
    }

    /// Writes a change, and those that are there already, as one piece.
    fn drain(&mut self, out: &mut Vec<u8>, first: &Change) {
        self.write_change(out, first);
        while out.len() < PIECE
            && let Some(Some(change)) = self.watch.as_mut().and_then(|watch| watch.next().now_or_never())
        {
            self.write_change(out, &change);
        }
    }

    fn write_change(&mut self, out: &mut Vec<u8>, change: &Change) {
        if self.filter.namespace.as_ref().is_some_and(|ns| *ns != change.key.namespace) {
            return;
        }
        let matching = |object: &&Arc<Object>| self.filter.matches(object);
        let (old, new) = (change.old.as_ref().filter(matching), change.new.as_ref().filter(matching));
        match (old, new) {
            (None, Some(new)) => self.write(out, "ADDED", new),
            (Some(_), Some(new)) => self.write(out, "MODIFIED", new),
            (Some(old), None) => self.write(out, "DELETED", &old.at(change.revision)),
            (None, None) => {}
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, event: &str, object: &Object) {
        open(out, event);
        self.presenter.write(out, object, std::mem::take(&mut self.columns));
        out.extend_from_slice(b"}\n");
    }

    fn write_bookmark(&mut self, out: &mut Vec<u8>) {
        self.bookmark.as_mut().reset(Instant::now() + BOOKMARKS);
        if let Some(watch) = self.watch.as_ref().filter(|_| self.bookmarks) {
            open(out, "BOOKMARK");
            self.presenter.write_bookmark(out, watch.seen());
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
