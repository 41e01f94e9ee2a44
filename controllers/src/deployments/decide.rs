//! The one step of a deployment towards its newest template. Pure.
//!
//! | deployment | its sets | verdict |
//! |---|---|---|
//! | any | some to adopt or to release | Move them |
//! | is going | any | status alone |
//! | paused, or another number is wanted than when the active sets were last changed | some | Change: `share` |
//! | RollingUpdate | none of the template | Make it, as large as the surge leaves room |
//! | RollingUpdate | the new one may grow, or is too large | Change it |
//! | RollingUpdate | the old ones may shrink | Change them: `rolling` |
//! | Recreate | old ones want pods | Change them to want none |
//! | Recreate | old ones have pods, or some that are on their way out | wait for these; after [`PATIENCE`] say so |
//! | Recreate | no old pods; none of the template, or not whole | Make, Change |
//! | any | one is to be made, and its name is taken | none: the next look has another name |
//! | done, or paused | more old ones than the history has room for | Drop the oldest of those that are empty |
//!
//! Each verdict also has the status that the sets make as they were seen. A set is changed only in the version that was
//! seen; what one pass changes, the next sees.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use orlop_objects::Key;

use super::{
    history,
    progress::{self, Status},
    rolling::{Bounds, Size},
    share::{self, Part},
    view::{Facts, Set, View},
};
use crate::{events::Said, worker::Seen, workloads::family::Moves};

/// How long old pods may take to be gone before a deployment that recreates says that it waits for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do about one deployment.
pub(crate) struct Verdict {
    /// The deployment as it was seen.
    pub(crate) deployment: Arc<Seen<Deployment>>,
    /// The one step.
    pub(crate) act: Act,
    /// What its status is to say, where that is not what it says.
    pub(crate) status: Option<Status>,
    /// The number of its template, where its annotation says another.
    pub(crate) revision: Option<String>,
    /// What it waits for, where that takes long.
    pub(crate) said: Option<Said>,
    /// When its deadline, or its patience, will have passed.
    pub(crate) until: Option<Instant>,
}

/// The one step of a pass.
pub(crate) enum Act {
    /// Adopt and release.
    Move(Moves),
    /// Make the set of the newest template.
    Make(Made),
    /// Change these sets.
    Change(Vec<Change>),
    /// Delete these old sets.
    Drop(Vec<Arc<Set>>),
    /// Nothing, or wait for what the sets do.
    Nothing,
}

/// A set to be made.
pub(crate) struct Made {
    /// Its name.
    pub(crate) name: String,
    /// The hash in it.
    pub(crate) hash: String,
    /// How many pods it wants.
    pub(crate) size: i32,
    /// Its annotations.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A set to be changed.
pub(crate) struct Change {
    /// The set as it was seen.
    pub(crate) set: Arc<Set>,
    /// How many pods it is to want.
    pub(crate) size: i32,
    /// What it is to be annotated with.
    pub(crate) annotations: BTreeMap<String, String>,
    /// How long its pods must be ready to count.
    pub(crate) least_ready: Option<i32>,
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.act {
            Act::Move(moves) => write!(f, "move {} {}", moves.adopt.len(), moves.release.len()),
            Act::Make(made) => write!(f, "make {} of {}", made.name, made.size),
            Act::Change(changes) => {
                let change = |c: &Change| format!("{} {}->{}", c.set.set.name(), c.set.wants(), c.size);
                write!(f, "change {}", changes.iter().map(change).collect::<Vec<_>>().join(", "))
            }
            Act::Drop(sets) => write!(f, "drop {}", sets.len()),
            Act::Nothing => f.write_str("nothing"),
        }
    }
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    view.decide(decide_one)
}

/// A deployment's sets, told apart.
struct Sets<'a> {
    /// That of the newest template: the oldest, should there be several.
    new: Option<&'a Arc<Set>>,
    /// All others.
    old: Vec<&'a Arc<Set>>,
    /// What they want together.
    all: i32,
}

impl<'a> Sets<'a> {
    fn of(facts: &'a Facts) -> Self {
        let new = facts.sets.iter().find(|set| set.template == facts.template);
        let is_old = |set: &&Arc<Set>| new.is_none_or(|new| !Arc::ptr_eq(new, set));
        let all = facts.sets.iter().map(|set| set.wants()).sum();
        Self { new, old: facts.sets.iter().filter(is_old).collect(), all }
    }
}

fn decide_one(facts: &Facts, view: &View) -> Verdict {
    let deployment = facts.deployment.clone();
    if !facts.moves.is_empty() {
        let act = Act::Move(facts.moves.clone());
        return Verdict { deployment, act, status: None, revision: None, said: None, until: None };
    }
    let spec = deployment.spec.as_ref();
    let (bounds, sets) = (Bounds::of(spec), Sets::of(facts));
    let new = sets.new.map(AsRef::as_ref);
    let mut status = Status::of(facts, new, bounds, view.clock);
    let (mut act, mut until) = (Act::Nothing, None);
    if !deployment.is_terminating() {
        act = step(facts, &sets, bounds);
        progress::pausing(&mut status, &deployment, view.clock);
        if let Act::Make(made) = &act {
            if facts.taken {
                status.collisions += 1;
            } else {
                progress::begun(&mut status, &deployment, &made.name, true, view.clock);
            }
        } else if let Some(new) = new {
            progress::begun(&mut status, &deployment, new.set.name(), false, view.clock);
        }
        if !is_paused(spec) && !is_resized(facts, bounds) {
            until = progress::follow(&mut status, facts, new, bounds.wanted, (view.now, view.clock));
        }
    }
    if facts.taken && matches!(act, Act::Make(_)) {
        // The next look has another name.
        act = Act::Nothing;
    }
    let (said, patience) = waiting(facts, &sets, &act, view.now);
    until = until.into_iter().chain(patience).min();
    let revision = revision(facts, &sets, &act);
    let status = (status != Status::told(&deployment)).then_some(status);
    Verdict { deployment, act, status, revision, said, until }
}

fn step(facts: &Facts, sets: &Sets<'_>, bounds: Bounds) -> Act {
    let spec = facts.deployment.spec.as_ref();
    let told = Status::told(&facts.deployment);
    let paused = is_paused(spec);
    let act = if paused || is_resized(facts, bounds) {
        resize(facts, sets, bounds, told.replicas)
    } else if recreates(spec) {
        recreate(facts, sets, bounds)
    } else {
        roll(facts, sets, bounds)
    };
    let done = paused || told.is_complete(bounds.wanted, facts.deployment.object.meta.generation);
    let limit = spec.and_then(|spec| spec.revision_history_limit).filter(|_| done);
    match (act, limit) {
        (Act::Nothing, Some(limit)) => match history::surplus(&sets.old, limit) {
            surplus if surplus.is_empty() => Act::Nothing,
            surplus => Act::Drop(surplus),
        },
        (act, _) => act,
    }
}

fn is_paused(spec: Option<&DeploymentSpec>) -> bool {
    spec.and_then(|spec| spec.paused).unwrap_or(false)
}

fn recreates(spec: Option<&DeploymentSpec>) -> bool {
    let strategy = spec.and_then(|spec| spec.strategy.as_ref()?.type_.as_deref());
    strategy == Some("Recreate")
}

/// Whether the number wanted has changed since the active sets were.
fn is_resized(facts: &Facts, bounds: Bounds) -> bool {
    let desired = |set: &Set| set.annotation(history::DESIRED).and_then(|n| n.parse::<i32>().ok());
    let active = facts.sets.iter().filter(|set| set.wants() > 0);
    active.filter_map(|set| desired(set)).any(|desired| desired != bounds.wanted)
}

fn resize(facts: &Facts, sets: &Sets<'_>, bounds: Bounds, told: i32) -> Act {
    let number = |set: &Set, name: &str| set.annotation(name).and_then(|n| n.parse().ok());
    let part = |set: &Arc<Set>| Part {
        wants: set.wants(),
        available: set.told().available,
        desired: number(set, history::DESIRED),
        most: number(set, history::MAX),
    };
    let parts: Vec<Part> = facts.sets.iter().map(part).collect();
    let new = sets.new.and_then(|new| facts.sets.iter().position(|set| Arc::ptr_eq(set, new)));
    let rolling = !recreates(facts.deployment.spec.as_ref());
    let sizes = share::sizes(&parts, new, bounds, told, rolling);
    let changes = facts.sets.iter().zip(sizes).filter_map(|(set, size)| {
        let is_new = sets.new.is_some_and(|new| Arc::ptr_eq(new, set));
        let marked = size > 0 && number(set, history::DESIRED) != Some(bounds.wanted);
        change(facts, sets, set, is_new, (size, marked), bounds)
    });
    changed(changes.collect())
}

fn roll(facts: &Facts, sets: &Sets<'_>, bounds: Bounds) -> Act {
    let Some(new) = sets.new else { return make(facts, sets, bounds.new_size(0, sets.all)) };
    let size = bounds.new_size(new.wants(), sets.all);
    if let Some(change) = change(facts, sets, new, true, (size, false), bounds) {
        return Act::Change(vec![change]);
    }
    let measure = |set: &Arc<Set>| Size { wants: set.wants(), available: set.told().available };
    let old: Vec<Size> = sets.old.iter().map(|set| measure(set)).collect();
    let sizes = bounds.old_sizes(measure(new), &old);
    let changes = sets.old.iter().zip(sizes);
    changed(
        changes.filter_map(|(set, size)| change(facts, sets, set, false, (size, false), bounds)).collect(),
    )
}

fn recreate(facts: &Facts, sets: &Sets<'_>, bounds: Bounds) -> Act {
    let shrink = sets.old.iter().filter_map(|set| change(facts, sets, set, false, (0, false), bounds));
    let shrink: Vec<Change> = shrink.collect();
    if !shrink.is_empty() {
        return Act::Change(shrink);
    }
    let empty = |set: &&Arc<Set>| {
        let told = set.told();
        set.is_observed() && told.replicas == 0 && told.terminating == 0
    };
    if !sets.old.iter().all(empty) {
        return Act::Nothing;
    }
    match sets.new {
        None => make(facts, sets, bounds.wanted),
        Some(new) => {
            changed(change(facts, sets, new, true, (bounds.wanted, false), bounds).into_iter().collect())
        }
    }
}

/// What is said about old pods that are not gone yet, or when it will be.
fn waiting(facts: &Facts, sets: &Sets<'_>, act: &Act, now: Instant) -> (Option<Said>, Option<Instant>) {
    let pods: i32 = sets.old.iter().map(|set| set.told().replicas + set.told().terminating).sum();
    let spec = facts.deployment.spec.as_ref();
    let waits = recreates(spec) && !is_paused(spec) && !facts.deployment.is_terminating();
    if !waits || !matches!(act, Act::Nothing) || pods == 0 {
        return (None, None);
    }
    let patience = facts.waiting_since.unwrap_or(now) + PATIENCE;
    if patience > now {
        return (None, Some(patience));
    }
    let text = format!(
        "strategy Recreate waits for {pods} older pods to be gone; one on a node that does not answer is gone when the node \
         is back, or taken for lost (kubectl get pods -o wide shows where they are)"
    );
    (Some(Said::normal("WaitingForOldPods", text)), None)
}

fn changed(changes: Vec<Change>) -> Act {
    if changes.is_empty() { Act::Nothing } else { Act::Change(changes) }
}

fn make(facts: &Facts, sets: &Sets<'_>, size: i32) -> Act {
    if facts.namespace_going {
        return Act::Nothing;
    }
    let next = history::next(sets.old.iter().copied());
    let mut annotations = history::annotations(&facts.deployment, None, next);
    annotations.extend(marks(Bounds::of(facts.deployment.spec.as_ref())));
    Act::Make(Made { name: facts.name.clone(), hash: facts.hash.clone(), size, annotations })
}

/// How a set is to change; `None` when it is as it should be. `marked`: also when only its marks are old.
fn change(
    facts: &Facts,
    sets: &Sets<'_>,
    set: &Arc<Set>,
    is_new: bool,
    (size, marked): (i32, bool),
    bounds: Bounds,
) -> Option<Change> {
    let next = history::next(sets.old.iter().copied());
    let mut annotations =
        if is_new { history::annotations(&facts.deployment, Some(set), next) } else { BTreeMap::new() };
    let wanted = facts.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    let has = set.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    let least_ready = (is_new && wanted.unwrap_or(0) != has.unwrap_or(0)).then(|| wanted.unwrap_or(0));
    if size == set.wants() && annotations.is_empty() && least_ready.is_none() && !marked {
        return None;
    }
    if size != set.wants() || marked {
        annotations.extend(marks(bounds));
    }
    Some(Change { set: set.clone(), size, annotations, least_ready })
}

/// By these, a later look sees that another number is wanted, and shares it out.
fn marks(bounds: Bounds) -> [(String, String); 2] {
    [
        (history::DESIRED.to_owned(), bounds.wanted.to_string()),
        (history::MAX.to_owned(), bounds.most().to_string()),
    ]
}

/// The number that the deployment's own annotation is to have.
fn revision(facts: &Facts, sets: &Sets<'_>, act: &Act) -> Option<String> {
    let next = history::next(sets.old.iter().copied());
    let wanted = match (sets.new, act) {
        (Some(new), _) => history::revision(new).max(next),
        (None, Act::Make(_)) => next,
        (None, _) => return None,
    };
    let wanted = wanted.to_string();
    let annotations = facts.deployment.metadata.annotations.as_ref();
    let has = annotations.and_then(|annotations| annotations.get(history::REVISION));
    (has != Some(&wanted)).then_some(wanted)
}
