//! Listing a collection: which revision, which part of it, streamed from the stored bytes.
//!
//! | `resourceVersion` | `resourceVersionMatch` | shows |
//! |---|---|---|
//! | absent or `0` | absent | the newest revision |
//! | N | absent, without `limit`; `NotOlderThan` | the newest, which must not be older than N |
//! | N | absent, with `limit`; `Exact` | exactly N, or 410 |
//! | absent, with `continue` | absent | the revision that the token names, or 410 |
//!
//! Objects come in the order of their keys; Events of one answer in the order in which they were last seen, since people
//! read them as a story.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use orlop_objects::{Cause, FieldError, Key, Object, Revision, kind};
use orlop_store::{Error, Snapshot, Store};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::{
    authorize,
    failure::Failure,
    filter::Filter,
    present::Presenter,
    query::Query,
    reply::{self, Body},
    router::Call,
};

/// Bytes per piece of a streamed list; a shorter list goes out whole.
const PIECE: usize = 128 * 1024;

/// Where a continued list goes on. Clients treat it as opaque.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    /// The revision that every page shows.
    rv: Revision,
    /// Namespace and name of the last object of the page before.
    after: (String, String),
}

impl Token {
    fn encode(&self) -> String {
        // Writing numbers and strings to memory cannot fail.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Failure> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let token = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token.ok_or_else(|| {
            Failure::bad_request("continue key is not valid: pass it on as the server gave it")
        })
    }
}

pub(crate) fn run(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let presenter = Presenter::new(call.target, call.query, call.headers)?;
    let filter = Filter::new(call.target, call.query)?;
    let limit = call.query.number::<usize>("limit")?.filter(|limit| *limit > 0);
    let token = call.query.get("continue").map(Token::decode).transpose()?;
    let snapshot = snapshot(call, limit.is_some(), token.as_ref())?;
    let page = Page::new(&snapshot, call, &filter, limit, token.as_ref());
    Ok(respond(presenter, page))
}

/// The objects of one answer.
struct Page {
    items: Vec<Arc<Object>>,
    metadata: Map<String, serde_json::Value>,
}

impl Page {
    fn new(
        snapshot: &Snapshot,
        call: &Call<'_>,
        filter: &Filter,
        limit: Option<usize>,
        token: Option<&Token>,
    ) -> Self {
        let after = token.map(|t| (t.after.0.as_str(), t.after.1.as_str()));
        let view = authorize::scope(call.who, call.target.kind);
        let shown = |object: &Object| {
            filter.matches(object) && view.as_ref().is_none_or(|view| view.shows(snapshot, object))
        };
        if let (Some(namespace), Some(name), None) = (scope(call, filter), filter.only_name(), after) {
            return Self::of_one(snapshot, &Key::new(call.target.kind, namespace, name), shown);
        }
        let all = snapshot.list(call.target.kind, filter.namespace.as_deref(), after);
        let mut matching = all.filter(|object| shown(object));
        let mut items: Vec<_> = matching.by_ref().take(limit.unwrap_or(usize::MAX)).cloned().collect();
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), snapshot.revision().to_string().into());
        if let (Some(_), Some(last)) = (matching.next(), items.last()) {
            let after = (last.key.namespace.clone(), last.key.name.clone());
            call.server.registry.store().keep(snapshot);
            metadata.insert("continue".to_owned(), Token { rv: snapshot.revision(), after }.encode().into());
            if !filter.is_selective() && view.is_none() {
                metadata.insert("remainingItemCount".to_owned(), (1 + matching.count()).into());
            }
        }
        if view.is_some() {
            // Whose an object was can only be told from all of that time: a watch from here on needs it.
            call.server.registry.store().keep(snapshot);
        }
        if *call.target.kind == kind::EVENT {
            items.sort_by_key(|event| event.revision);
        }
        Self { items, metadata }
    }

    /// The list that kubectl waits with: one name.
    fn of_one(snapshot: &Snapshot, key: &Key, shown: impl Fn(&Object) -> bool) -> Self {
        let items = snapshot.get(key).filter(|object| shown(object)).into_iter().collect();
        let version = [("resourceVersion".to_owned(), snapshot.revision().to_string().into())];
        Self { items, metadata: version.into_iter().collect() }
    }
}

/// The one namespace that a list is about; none for a namespaced kind across all of them.
fn scope<'a>(call: &Call<'_>, filter: &'a Filter) -> Option<&'a str> {
    if call.target.kind.namespaced { filter.namespace.as_deref() } else { Some("") }
}

/// The revision to show.
fn snapshot(call: &Call<'_>, limited: bool, token: Option<&Token>) -> Result<Snapshot, Failure> {
    let store = call.server.registry.store();
    let (version, exact) = version(call, limited, token.is_some())?;
    if let Some(token) = token {
        return at(store, token.rv).map_err(|error| match error {
            Error::Expired { .. } => Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a \
                 new list without the continue parameter.",
            ),
            error => error.into(),
        });
    }
    if exact {
        return Ok(at(store, version)?);
    }
    let snapshot = store.snapshot();
    if version > snapshot.revision() {
        return Err(Error::Future { asked: version, newest: snapshot.revision() }.into());
    }
    Ok(snapshot)
}

fn at(store: &Store, revision: Revision) -> Result<Snapshot, Error> {
    store.snapshot_at(revision)
}

/// The version asked for (0 for any) and whether it must be exactly that one.
fn version(call: &Call<'_>, limited: bool, continued: bool) -> Result<(Revision, bool), Failure> {
    let version = resource_version(call.query)?;
    let refuse = |detail: &str| {
        let field = FieldError::new("resourceVersionMatch", Cause::Forbidden, detail);
        Err(Failure::unprocessable(call.target.shown, "", &[field]))
    };
    let given = version.unwrap_or(0);
    match call.query.get("resourceVersionMatch") {
        Some(_) if continued => refuse("resourceVersionMatch is forbidden when continue is provided"),
        _ if continued && given > 0 => {
            Err(Failure::bad_request("specifying resource version is not allowed when using continue"))
        }
        Some(_) if version.is_none() => {
            refuse("resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        Some("Exact") if given == 0 => {
            refuse("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"")
        }
        Some("Exact") => Ok((given, true)),
        Some("NotOlderThan") => Ok((given, false)),
        None => Ok((given, limited && given > 0)),
        Some(_) => refuse("the values are Exact and NotOlderThan"),
    }
}

/// `?resourceVersion=` as a number.
pub(super) fn resource_version(query: &Query<'_>) -> Result<Option<Revision>, Failure> {
    let read = |text: &str| {
        text.parse().map_err(|_| {
            Failure::bad_request(format!(
                "resourceVersion: Invalid value: \"{text}\": pass it on as the server gave it"
            ))
        })
    };
    query.get("resourceVersion").map(read).transpose()
}

/// A list of just these objects.
pub(super) fn whole(presenter: Presenter, revision: Revision, items: Vec<Arc<Object>>) -> Response<Body> {
    let version = [("resourceVersion".to_owned(), revision.to_string().into())];
    respond(presenter, Page { items, metadata: version.into_iter().collect() })
}

fn respond(presenter: Presenter, page: Page) -> Response<Body> {
    let mut first =
        Vec::with_capacity(PIECE.min(256 + page.items.iter().map(|o| o.bytes.len() + 40).sum::<usize>()));
    presenter.write_head(&mut first, page.metadata);
    let mut rest = Rest { presenter, items: page.items, next: 0 };
    let done = rest.fill(&mut first);
    let first = Bytes::from(first);
    let body = if done {
        reply::full(first)
    } else {
        let more = futures::stream::iter(rest.map(Ok));
        reply::streamed(futures::StreamExt::chain(futures::stream::iter([Ok(first)]), more))
    };
    reply::typed(StatusCode::OK, presenter.content_type(), body)
}

/// What has not been written yet.
struct Rest {
    presenter: Presenter,
    items: Vec<Arc<Object>>,
    next: usize,
}

impl Rest {
    /// Appends items until the piece is full; true once the list is closed.
    fn fill(&mut self, piece: &mut Vec<u8>) -> bool {
        while let Some(object) = self.items.get(self.next) {
            if piece.len() >= PIECE {
                return false;
            }
            if self.next > 0 {
                piece.push(b',');
            }
            self.presenter.write_item(piece, object);
            self.next += 1;
        }
        piece.extend_from_slice(b"]}");
        self.next += 1;
        true
    }
}

impl Iterator for Rest {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.next > self.items.len() {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + 4096);
        self.fill(&mut piece);
        Some(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way() {
        let token = Token { rv: 1007, after: ("a".to_owned(), "b".to_owned()) };
        assert_eq!(Token::decode(&token.encode()).expect("is our own"), token);
        assert!(Token::decode("nonsense").is_err());
    }
}
