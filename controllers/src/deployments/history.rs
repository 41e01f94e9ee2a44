//! Revisions: which template came when, told by annotations, as `kubectl rollout history` and `undo` read them. Pure.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::apps::v1::Deployment;

use super::view::Set;

/// The number of a template, on its set and on the deployment.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The numbers that a set had before it was gone back to.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many pods the deployment wanted when the set was last changed.
pub(crate) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// How many there may have been.
pub(crate) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a deployment that its sets do not get.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// A set's number; 0 where it has none.
pub(crate) fn revision(set: &Set) -> i64 {
    set.annotation(REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The number that the newest template has, given the sets of the older ones.
pub(crate) fn next<'a>(old: impl IntoIterator<Item = &'a Arc<Set>>) -> i64 {
    old.into_iter().map(|set| revision(set)).max().unwrap_or(0) + 1
}

/// What the set of the newest template is to be annotated with, and is not.
pub(crate) fn annotations(deployment: &Deployment, set: Option<&Set>, next: i64) -> BTreeMap<String, String> {
    let mut wanted: BTreeMap<String, String> = deployment.metadata.annotations.clone().unwrap_or_default();
    wanted.retain(|name, _| !OWN.contains(&name.as_str()));
    match set {
        None => {
            wanted.insert(REVISION.to_owned(), next.to_string());
        }
        Some(set) if revision(set) < next => {
            wanted.insert(REVISION.to_owned(), next.to_string());
            let before = revision(set);
            if before > 0 {
                let history = set.annotation(HISTORY).filter(|history| !history.is_empty());
                let history =
                    history.map_or_else(|| before.to_string(), |history| format!("{history},{before}"));
                wanted.insert(HISTORY.to_owned(), history);
            }
        }
        Some(_) => {}
    }
    wanted.retain(|name, value| set.is_none_or(|set| set.annotation(name) != Some(value)));
    wanted
}

/// Old sets that the history has no room for: the oldest numbers first, and only what has no pods and wants none.
pub(crate) fn surplus(old: &[&Arc<Set>], limit: i32) -> Vec<Arc<Set>> {
    let mut kept: Vec<&&Arc<Set>> = old.iter().filter(|set| !set.set.is_terminating()).collect();
    kept.sort_by_key(|set| revision(set));
    let over = kept.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let empty = |set: &&&&Arc<Set>| set.wants() == 0 && set.told().replicas == 0 && set.is_observed();
    kept.iter().take(over).filter(empty).map(|set| Arc::clone(set)).collect()
}
