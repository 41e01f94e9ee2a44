//! The plan for one pod of this node.
//!
//! | goal | here | steps |
//! |---|---|---|
//! | any | a look failed | wait |
//! | Run | namespaces not pinned | Pin |
//! | Run | a volume is to be had and not there | Publish, MakeEmpty, BindHost |
//! | Run | the network is not known yet | wait, and prepare no container: it may ask for the pod's address |
//! | Run | pinned, without the cable that it is to have | Connect (Pin does it too) |
//! | Run | a volume is not to be had yet | wait with its reason |
//! | Run | a volume is not even known yet | wait, and prepare no container: its bundle names the volume's place |
//! | Run | a container is to start and is not prepared | Clean its earlier attempts, Prepare |
//! | Run | prepared, everything above is there | Launch |
//! | Run | an attempt before the last has a record | Forget it |
//! | Run | all containers are done | as Rest |
//! | Rest (finished) | anything but records and logs | Clean, Unpublish, RemoveEmpty, UnbindHost, Unpin, RemovePlace |
//! | Stop | a container runs | Signal(TERM) once; Signal(KILL) after the deadline; wait |
//! | Stop | none runs, anything is left | Clean, Unpublish, RemoveEmpty, UnbindHost, Unpin, RemovePlace, Forget, RemoveLogs |
//! | Stop | nothing is left | done |
//!
//! Steps of a plan that do not rely on each other stand in one group and may run at the same time; groups run in order.
//! A launch thus waits for a group of namespaces, volumes and root file systems, which are made side by side.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use orlop_backends::host::ContainerStatus;

use super::{
    Look,
    container::{RestartPolicy, State, Verdict, decide},
};
use crate::ids::ContainerId;

/// What is to become of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Its containers are to run.
    Run,
    /// It has ended for good: nothing of it is needed but its records and logs.
    Rest,
    /// It is to go; running containers are killed at this time.
    Stop {
        /// When its grace ends.
        deadline: Timestamp,
    },
}

/// What is wanted of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its uid.
    pub uid: String,
    /// What is to become of it.
    pub goal: Goal,
    /// Its restart policy.
    pub policy: RestartPolicy,
    /// Its containers, by name, with how many short runs preceded the latest attempt and its state.
    pub containers: Vec<Container>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// Its network.
    pub wire: Wire,
}

/// What network a pod is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// The node's, or its loopback alone.
    #[default]
    None,
    /// An address of its own.
    Cable,
    /// Not known yet, and why.
    Unknown(String),
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// It runs to its end before the pod's other containers start; these run one after another.
    pub init: bool,
    /// Short runs before the latest attempt.
    pub streak: u32,
    /// Its latest attempt.
    pub state: State,
}

/// A volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a volume of a pod comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A PersistentVolume, staged and ready to be published.
    Ready {
        /// The PersistentVolume's name.
        volume: String,
    },
    /// A directory of the pod's own.
    Empty {
        /// In memory: it has a mount too.
        memory: bool,
    },
    /// A path of the machine.
    Host,
    /// Not to be had yet, and why; where it will be is known.
    Waiting(String),
    /// Not even known yet, and why: a bundle cannot name it.
    Unknown(String),
}

/// What is there of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// All its namespaces are pinned.
    pub pinned: bool,
    /// Namespaces that are pinned.
    pub pins: BTreeSet<String>,
    /// The directory that its namespaces are pinned in exists; a death in the middle of unpinning leaves it, without pins.
    pub pin_dir: bool,
    /// It has a cable, complete or not.
    pub cable: bool,
    /// It has a complete cable with the address that it is to have.
    pub connected: bool,
    /// PersistentVolumes published to it.
    pub published: BTreeSet<String>,
    /// Its own directories: names of volumes.
    pub empty: BTreeSet<String>,
    /// Those of them that are memory and mounted.
    pub memory: BTreeSet<String>,
    /// Places for paths of the machine: names of volumes.
    pub host_places: BTreeSet<String>,
    /// Those of them at which a path is shown.
    pub host: BTreeSet<String>,
    /// What is there of its containers.
    pub attempts: BTreeMap<ContainerId, Attempt>,
    /// Its directory exists.
    pub place: bool,
    /// It has logs.
    pub logs: bool,
    /// Attempts that were asked to end in this life of the agent; true when they were killed.
    pub asked: BTreeMap<ContainerId, bool>,
}

impl Seen {
    fn has_empty(&self, name: &str, memory: bool) -> bool {
        self.empty.contains(name) && (!memory || self.memory.contains(name))
    }
}

/// What is there of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// What the runtime says; `None` when it does not know it.
    pub status: Option<ContainerStatus>,
    /// Its root file system is mounted.
    pub mounted: bool,
    /// Its bundle is complete.
    pub bundle: bool,
    /// Its directory exists.
    pub dir: bool,
    /// The kernel killed in it for want of memory.
    pub oom: bool,
}

impl Attempt {
    /// Whether its process may run.
    pub fn is_alive(&self) -> bool {
        matches!(self.status, Some(ContainerStatus::Running))
    }

    fn is_prepared(&self) -> bool {
        self.mounted && self.bundle
    }

    fn needs_cleaning(&self) -> bool {
        let is_there = |status| !matches!(status, ContainerStatus::Exited { .. });
        self.mounted || self.dir || self.status.is_some_and(is_there)
    }
}

/// One step. Every one reaches a fact and may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Send a container's process a signal.
    Signal {
        /// The container.
        id: ContainerId,
        /// Kill it instead of asking it to end.
        kill: bool,
    },
    /// Remove all of a container but its exit record and its log.
    Clean(ContainerId),
    /// Remove an attempt's exit record, and with `log` its log.
    Forget {
        /// The attempt.
        id: ContainerId,
        /// Its log too.
        log: bool,
    },
    /// Take a PersistentVolume away from the pod.
    Unpublish(String),
    /// Remove a directory of the pod's own, with what is in it.
    RemoveEmpty(String),
    /// Take a path of the machine away from the pod, and its place.
    UnbindHost(String),
    /// Remove its cable and unpin its namespaces.
    Unpin,
    /// Remove the pod's directory.
    RemovePlace,
    /// Remove its logs.
    RemoveLogs,
    /// Pin its namespaces, and connect them where they are to be.
    Pin,
    /// Connect its namespaces to the node's pods.
    Connect,
    /// Show the volume of this name to the pod.
    Publish(String),
    /// Make the pod's own directory of this name.
    MakeEmpty(String),
    /// Show the path of the machine that the volume of this name is.
    BindHost(String),
    /// Find the image, mount the root file system, write the bundle.
    Prepare(ContainerId),
    /// Create and start.
    Launch(ContainerId),
}

/// Groups of steps, and what must happen elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Groups run in order; the steps of one may run at the same time.
    pub groups: Vec<Vec<Step>>,
    /// What must happen elsewhere first, in words for the pod's Events.
    pub waits: Vec<String>,
    /// When to plan again, at the latest.
    pub until: Option<Timestamp>,
    /// A pod to be stopped has left nothing behind.
    pub gone: bool,
}

impl Plan {
    /// Whether there is nothing to do now.
    pub fn is_idle(&self) -> bool {
        self.steps().next().is_none()
    }

    /// All its steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.groups.iter().flatten()
    }

    fn push(&mut self, group: Vec<Step>) {
        if !group.is_empty() {
            self.groups.push(group);
        }
    }
}

/// What to do about a pod.
pub fn plan(want: &Want, seen: &Look<Seen>, now: Timestamp) -> Plan {
    let seen = match seen {
        Look::Seen(seen) => seen,
        Look::Unknown(why) => return Plan { waits: vec![why.clone()], ..Plan::default() },
    };
    match want.goal {
        Goal::Run if all_done(want) => rest(seen, false),
        Goal::Run => run(want, seen, now),
        Goal::Rest => rest(seen, false),
        Goal::Stop { deadline } => stop(seen, deadline, now),
    }
}

/// Whether no container of the pod will ever run again.
pub fn all_done(want: &Want) -> bool {
    let done = |c: &Container| match policy_of(c, want.policy) {
        RestartPolicy::Never => matches!(c.state, State::Ended { .. }),
        RestartPolicy::OnFailure => c.state.succeeded(),
        RestartPolicy::Always => false,
    };
    let failed_init = |c: &Container| c.init && done(c) && !c.state.succeeded();
    want.containers.iter().any(failed_init)
        || want.containers.iter().any(|c| !c.init) && want.containers.iter().filter(|c| !c.init).all(done)
}

/// An init container runs until it succeeds, or once when nothing is to be restarted.
pub fn policy_of(container: &Container, policy: RestartPolicy) -> RestartPolicy {
    match policy {
        RestartPolicy::Always if container.init => RestartPolicy::OnFailure,
        policy => policy,
    }
}

fn run(want: &Want, seen: &Seen, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut build = Vec::new();
    if !seen.pinned {
        build.push(Step::Pin);
    } else if want.wire == Wire::Cable && !seen.connected {
        build.push(Step::Connect);
    }
    if let Wire::Unknown(why) = &want.wire {
        plan.waits.push(why.clone());
    }
    for volume in &want.volumes {
        match &volume.source {
            Source::Ready { volume: name } if seen.published.contains(name) => {}
            Source::Ready { .. } => build.push(Step::Publish(volume.name.clone())),
            Source::Empty { memory } if seen.has_empty(&volume.name, *memory) => {}
            Source::Empty { .. } => build.push(Step::MakeEmpty(volume.name.clone())),
            Source::Host if seen.host.contains(&volume.name) => {}
            Source::Host => build.push(Step::BindHost(volume.name.clone())),
            Source::Waiting(why) | Source::Unknown(why) => plan.waits.push(why.clone()),
        }
    }
    let (start, clean) = containers(want, seen, now, &mut plan);
    let unprepared = |id: &&ContainerId| !seen.attempts.get(*id).is_some_and(Attempt::is_prepared);
    let unknown = matches!(want.wire, Wire::Unknown(_))
        || want.volumes.iter().any(|v| matches!(v.source, Source::Unknown(_)));
    if !unknown {
        build.extend(start.iter().filter(unprepared).cloned().map(Step::Prepare));
    }
    plan.push(clean);
    plan.push(build);
    if plan.waits.is_empty() {
        plan.push(start.into_iter().map(Step::Launch).collect());
    }
    plan
}

/// Which attempts are to start now, and what must be cleaned first.
fn containers(want: &Want, seen: &Seen, now: Timestamp, plan: &mut Plan) -> (Vec<ContainerId>, Vec<Step>) {
    let (mut start, mut clean) = (Vec::new(), Vec::new());
    for container in want.containers.iter().filter(|c| may_run(want, c)) {
        let latest = container.state.attempt();
        for (id, attempt) in seen.attempts.iter().filter(|(id, _)| id.container == container.name) {
            if attempt.needs_cleaning() && (id.attempt < latest || has_ended(&container.state)) {
                clean.push(Step::Clean(id.clone()));
            }
            // One earlier attempt stays on record, for `lastState` and `logs --previous`.
            if id.attempt + 1 < latest && attempt.status.is_some() {
                clean.push(Step::Forget { id: id.clone(), log: true });
            }
        }
        match decide(&container.state, policy_of(container, want.policy), container.streak, now) {
            Verdict::Start(attempt) => start.push(ContainerId::new(&want.uid, &container.name, attempt)),
            Verdict::BackOff(until) => plan.until = Some(plan.until.map_or(until, |u| u.min(until))),
            Verdict::Keep | Verdict::Done { .. } => {}
        }
    }
    (start, clean)
}

fn has_ended(state: &State) -> bool {
    matches!(state, State::Ended { .. })
}

/// Init containers run one after another, the others when all of them succeeded.
fn may_run(want: &Want, container: &Container) -> bool {
    let before = want.containers.iter().filter(|c| c.init).take_while(|c| c.name != container.name);
    let mut before = before.filter(|c| !c.state.succeeded());
    // A container that was started stays started, whatever became of the record of those before it.
    container.state.was_started() || before.next().is_none()
}

fn stop(seen: &Seen, deadline: Timestamp, now: Timestamp) -> Plan {
    let alive: Vec<&ContainerId> =
        seen.attempts.iter().filter(|(_, a)| a.is_alive()).map(|(id, _)| id).collect();
    if alive.is_empty() {
        let mut plan = rest(seen, true);
        plan.gone = plan.is_idle();
        return plan;
    }
    let kill = now >= deadline;
    let asked = |id: &ContainerId| seen.asked.get(id).is_some_and(|killed| *killed || !kill);
    let signals = alive.into_iter().filter(|id| !asked(id)).map(|id| Step::Signal { id: id.clone(), kill });
    Plan {
        groups: vec![signals.collect()],
        waits: vec!["its containers have not ended yet".to_owned()],
        until: (!kill).then_some(deadline),
        gone: false,
    }
}

/// Removes everything; `records` too when nobody needs them any more.
fn rest(seen: &Seen, records: bool) -> Plan {
    let mut plan = Plan::default();
    let cleaned =
        seen.attempts.iter().filter(|(_, a)| a.needs_cleaning()).map(|(id, _)| Step::Clean(id.clone()));
    plan.push(cleaned.collect());
    let volumes = seen.published.iter().cloned().map(Step::Unpublish);
    let places = seen.host_places.iter().cloned().map(Step::UnbindHost);
    plan.push(volumes.chain(seen.empty.iter().cloned().map(Step::RemoveEmpty)).chain(places).collect());
    let mut last = Vec::new();
    if seen.cable || seen.pin_dir || !seen.pins.is_empty() {
        last.push(Step::Unpin);
    }
    if seen.place {
        last.push(Step::RemovePlace);
    }
    if records {
        let recorded = seen.attempts.iter().filter(|(_, a)| a.status.is_some());
        last.extend(recorded.map(|(id, _)| Step::Forget { id: id.clone(), log: false }));
        if seen.logs {
            last.push(Step::RemoveLogs);
        }
    }
    plan.push(last);
    plan
}

#[cfg(test)]
mod tests;
