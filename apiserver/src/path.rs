//! The path: which of the few things that the server serves it names.
//!
//! | path | meaning |
//! |---|---|
//! | `/version`, `/readyz[/…]`, `/livez[/…]`, `/healthz[/…]` | the server itself |
//! | `/api`, `/apis`, `/apis/G`, `/api/v1`, `/apis/G/V` | discovery |
//! | `/openapi/v3[/…]`, `/openapi/v2` | schemas |
//! | `/orlop/v1/join`, `/orlop/v1/renew` | how machines become nodes |
//! | `PREFIX/PLURAL[/NAME[/SUB]]` | cluster-scoped objects, or a namespaced kind across all namespaces |
//! | `PREFIX/namespaces/NS/PLURAL[/NAME[/SUB]]` | namespaced objects |

use std::borrow::Cow;

use orlop_objects::{Key, Kind, join, kind};

use crate::{events, failure::Failure, query::decode};

/// What a path names.
#[derive(Debug)]
pub(crate) enum Route<'a> {
    Version,
    Health(&'a str),
    OpenApi(&'a str),
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/G`.
    Group(Cow<'a, str>),
    /// `/api/v1` or `/apis/G/V`.
    Resources {
        group: Cow<'a, str>,
        version: Cow<'a, str>,
    },
    Objects(Target<'a>),
    Review(Review),
    Join(Joining),
}

/// What a machine wants that is to be a node, or is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Its first certificate, for a token.
    Join,
    /// The next one, for the one that it has.
    Renew,
}

/// What takes a POST and stores nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// May I do this?
    Access,
    /// Who am I?
    Subject,
}

impl Review {
    /// Group, version, plural and kind of each.
    pub(crate) const ALL: [(Self, &'static str, &'static str, &'static str); 2] = [
        (Self::Access, "authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        (Self::Subject, "authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ];

    fn at(group: &str, version: &str, plural: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, g, p, _)| *g == group && *p == plural && version == "v1");
        found.map(|(review, ..)| review)
    }
}

/// An object, or a collection of them.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// The kind that is stored.
    pub(crate) kind: &'static Kind,
    /// The kind that the client sees; another one only for `events.k8s.io`.
    pub(crate) shown: &'static Kind,
    pub(crate) namespace: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) subresource: Option<Cow<'a, str>>,
}

impl Target<'_> {
    /// The key, where the path names one object.
    pub(crate) fn key(&self) -> Option<Key> {
        let name = self.name.as_deref()?;
        Some(Key::new(self.kind, self.namespace.as_deref().unwrap_or_default(), name))
    }

    /// The subresource, or nothing.
    pub(crate) fn sub(&self) -> &str {
        self.subresource.as_deref().unwrap_or_default()
    }
}

/// Reads a path.
pub(crate) fn parse(path: &str) -> Result<Route<'_>, Failure> {
    match path {
        join::JOIN => return Ok(Route::Join(Joining::Join)),
        join::RENEW => return Ok(Route::Join(Joining::Renew)),
        _ => {}
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "version" if rest.is_empty() => Ok(Route::Version),
        "readyz" | "livez" | "healthz" => Ok(Route::Health(path)),
        "openapi" => Ok(Route::OpenApi(rest)),
        "api" | "apis" => objects(first, rest),
        _ => Err(Failure::no_such_path()),
    }
}

fn objects<'a>(first: &str, rest: &'a str) -> Result<Route<'a>, Failure> {
    let mut parts = Vec::with_capacity(7);
    for part in rest.split('/').filter(|_| !rest.is_empty()) {
        parts.push(decode(part, false)?);
    }
    let mut parts = parts.into_iter();
    let group = match first {
        "api" => Cow::Borrowed(""),
        _ => match parts.next() {
            None => return Ok(Route::Groups),
            Some(group) => group,
        },
    };
    let Some(version) = parts.next() else {
        return Ok(if first == "api" { Route::CoreVersions } else { Route::Group(group) });
    };
    let rest: Vec<_> = parts.collect();
    if rest.is_empty() {
        return Ok(Route::Resources { group, version });
    }
    target(&group, &version, rest)
}

fn target<'a>(group: &str, version: &str, mut rest: Vec<Cow<'a, str>>) -> Result<Route<'a>, Failure> {
    if rest.len() > 5 || rest.iter().any(|part| part.is_empty()) {
        return Err(Failure::no_such_path());
    }
    // `namespaces/x/status` is the status of a namespace, `namespaces/x/pods` a collection in it.
    let within = rest.len() > 2 && rest[0] == "namespaces" && !kind::NAMESPACE.has(&rest[2]);
    let namespace = within.then(|| rest.drain(..2).nth(1)).flatten();
    let mut parts = rest.into_iter();
    let plural = parts.next().ok_or_else(Failure::no_such_path)?;
    let (name, subresource) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(Failure::no_such_path());
    }
    let Some((kind, shown)) = served(group, version, &plural) else {
        let review = Review::at(group, version, &plural).filter(|_| name.is_none() && namespace.is_none());
        return review.map(Route::Review).ok_or_else(Failure::no_such_path);
    };
    let wrong_scope = kind.namespaced && namespace.is_none() && name.is_some();
    if wrong_scope || (!kind.namespaced && namespace.is_some()) {
        return Err(Failure::no_such_path());
    }
    if let Some(unknown) = subresource.as_deref().filter(|sub| !kind.has(sub)) {
        return Err(Failure::no_such_subresource(kind, unknown));
    }
    Ok(Route::Objects(Target { kind, shown, namespace, name, subresource }))
}

/// The kind stored and the kind shown at a path.
fn served(group: &str, version: &str, plural: &str) -> Option<(&'static Kind, &'static Kind)> {
    let shown = match kind::by_plural(group, plural) {
        Some(kind) => kind,
        None if group == events::SHOWN.group && plural == events::SHOWN.plural => &events::SHOWN,
        None => return None,
    };
    let stored = if *shown == events::SHOWN { &kind::EVENT } else { shown };
    (shown.version == version).then_some((stored, shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One word per path.
    fn check(path: &str) -> String {
        match parse(path) {
            Err(failure) => failure.code.as_u16().to_string(),
            Ok(Route::Objects(t)) => format!(
                "{} ns={} name={} sub={}",
                t.shown.qualified(),
                t.namespace.as_deref().unwrap_or("-"),
                t.name.as_deref().unwrap_or("-"),
                t.sub()
            ),
            Ok(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn paths() {
        let rows = [
            ("/version", "Version"),
            ("/readyz/store", "Health(\"readyz/store\")"),
            ("/api", "CoreVersions"),
            ("/apis", "Groups"),
            ("/apis/", "Groups"),
            ("/apis/apps", "Group(\"apps\")"),
            ("/api/v1", "Resources { group: \"\", version: \"v1\" }"),
            ("/apis/apps/v1", "Resources { group: \"apps\", version: \"v1\" }"),
            ("/openapi/v3/api/v1", "OpenApi(\"v3/api/v1\")"),
            ("/api/v1/pods", "pods ns=- name=- sub="),
            ("/api/v1/namespaces", "namespaces ns=- name=- sub="),
            ("/api/v1/namespaces/a", "namespaces ns=- name=a sub="),
            ("/api/v1/namespaces/a/finalize", "namespaces ns=- name=a sub=finalize"),
            ("/api/v1/namespaces/a/pods", "pods ns=a name=- sub="),
            ("/api/v1/namespaces/a/pods/p", "pods ns=a name=p sub="),
            ("/api/v1/namespaces/a/pods/p/log", "pods ns=a name=p sub=log"),
            ("/api/v1/persistentvolumes/pv%2D1", "persistentvolumes ns=- name=pv-1 sub="),
            (
                "/apis/storage.k8s.io/v1/volumeattachments/x/status",
                "volumeattachments.storage.k8s.io ns=- name=x sub=status",
            ),
            ("/apis/events.k8s.io/v1/namespaces/a/events", "events.events.k8s.io ns=a name=- sub="),
            ("/apis/authentication.k8s.io/v1/selfsubjectreviews", "Review(Subject)"),
            ("/api/v1/pods/p", "404"),
            ("/api/v1/namespaces/a/nodes", "404"),
            ("/api/v1/namespaces/a/pods/p/other", "404"),
            ("/api/v1/namespaces/a/pods/p/log/more", "404"),
            ("/api/v1/namespaces//pods", "404"),
            ("/api/v2/pods", "404"),
            ("/apis/storage.k8s.io/v1beta1/storageclasses/x", "404"),
            ("/nothing", "404"),
            ("/orlop/v1/join", "Join(Join)"),
            ("/orlop/v1/renew", "Join(Renew)"),
            ("/orlop/v1", "404"),
        ];
        for (path, expected) in rows {
            assert_eq!(check(path), expected, "{path}");
        }
    }
}
