//! One pass over one pod: look, plan, execute, until the plan is idle; then the status, in one write.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use orlop_backends::host::ContainerStatus;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Failure, pod_steps::is_pinned};
use crate::{
    clock,
    core::Core,
    error::Error,
    ids::ContainerId,
    journal::{PodIntent, Subject},
    network,
    observe::{Mounts, PodLook},
    plan::{
        Look,
        container::{RestartPolicy, State},
        pod::{Attempt, Container, Goal, Plan, Source as Wanted, Step, Volume, Want, Wire, plan},
    },
    pods::states::{state_of, status_of},
    world::{PodFacts, Resolved, Source, Work},
};

/// Plans carried out in one pass before others get their turn.
const ROUNDS: usize = 8;
/// What is left of the grace of a pod that the API no longer knows.
const ORPHAN_GRACE: i64 = 2;

/// What is remembered of a pod in this life of the agent.
#[derive(Debug, Default)]
pub(crate) struct PodMemory {
    /// Nothing needs remembering any more.
    pub(crate) over: bool,
    pub(super) first_seen: Option<Timestamp>,
    stop_seen: Option<Timestamp>,
    pub(super) asked: BTreeMap<ContainerId, bool>,
    pub(super) started: BTreeMap<ContainerId, Timestamp>,
    /// The attempt from which a container's short runs are counted.
    healthy: BTreeMap<String, u32>,
    /// Attempts seen ended: their records are gone before the last status is written.
    pub(super) ended: BTreeMap<ContainerId, Attempt>,
    pub(super) failures: BTreeMap<Step, Failure>,
    /// Why the pod's intent is not in the journal.
    pub(super) unrecorded: Option<Failure>,
    pub(super) images: BTreeMap<String, (String, String)>,
    pub(super) waiting_since: Option<Timestamp>,
    pub(super) backing_off: BTreeMap<String, u32>,
    pub(super) sent: Option<Value>,
}

/// A pod as one plan sees it.
pub(super) struct View {
    pub(super) uid: String,
    pub(super) pod: Option<Arc<PodFacts>>,
    pub(super) intent: Option<PodIntent>,
    pub(super) volumes: Vec<Resolved>,
    pub(super) logs: Option<PathBuf>,
    pub(super) want: Want,
    pub(super) look: PodLook,
}

impl Core {
    pub(crate) async fn pod_pass(self: &Arc<Self>, uid: &str, memory: &mut PodMemory) -> Option<Instant> {
        memory.first_seen.get_or_insert_with(clock::now);
        if self.world().is_unreadable(uid) {
            return None;
        }
        for _ in 0..ROUNDS {
            let view = match self.view(uid, memory).await {
                Ok(view) => view,
                Err(error) => {
                    tracing::warn!(pod = uid, error = error.chain(), "look at a pod");
                    return Some(Instant::now() + crate::core::retry_after(2));
                }
            };
            let plan = plan(&view.want, &Look::Seen(view.look.seen.clone()), clock::now());
            tracing::debug!(pod = uid, groups = ?plan.groups, waits = ?plan.waits, "plan");
            // What failed and is not wanted any more is nothing to come back for.
            memory.failures.retain(|step, _| plan.steps().any(|wanted| wanted == step));
            if plan.gone {
                return self.take_leave(&view, memory).await;
            }
            if plan.is_idle() {
                memory.unrecorded = None;
                return self.settle(&view, &plan, memory).await;
            }
            if self.carry_out_pod(&view, &plan, memory).await {
                let view = self.view(uid, memory).await.unwrap_or(view);
                return self.settle(&view, &plan, memory).await;
            }
        }
        // Steps that succeed and change nothing must not keep a processor busy.
        Some(Instant::now() + crate::core::retry_after(1))
    }

    async fn view(&self, uid: &str, memory: &mut PodMemory) -> Result<View, Error> {
        let pod = self.world().pod(uid);
        let intent = self.machine.journal.pod(uid);
        let logs = match (&pod, &intent) {
            (Some(pod), _) => Some(self.machine.layout.pod_logs(&pod.key.namespace, &pod.key.name, uid)),
            (None, Some(intent)) => Some(self.machine.layout.pod_logs(&intent.namespace, &intent.name, uid)),
            (None, None) => None,
        };
        let (name, dir) = (uid.to_owned(), logs.clone());
        let mut look = self.machine.blocking(move |m| m.look_at_pod(&name, dir.as_deref())).await?;
        look.seen.asked = memory.asked.clone();
        for (id, process) in &look.processes {
            // Started in an earlier life of the agent, which may not have lived to report it.
            memory.started.entry(id.clone()).or_insert_with(|| clock::start_of(*process));
        }
        look.seen.pinned = pod.as_ref().is_some_and(|pod| is_pinned(pod, &look.seen.pins));
        remember_ends(&mut look.seen.attempts, memory);
        let volumes = pod.as_ref().map(|pod| self.world().resolve(pod)).unwrap_or_default();
        let wanted = self.ready_volumes(uid, &volumes, &look.mounts).await;
        let containers = pod.as_ref().map(|pod| containers(pod, &look, memory)).unwrap_or_default();
        let policy = pod.as_ref().and_then(|p| p.spec()).and_then(|s| s.restart_policy.as_deref());
        let want = Want {
            uid: uid.to_owned(),
            goal: goal(pod.as_deref(), intent.as_ref(), memory),
            policy: RestartPolicy::of(policy),
            containers,
            volumes: wanted,
            wire: pod.as_ref().map(|pod| self.wire(pod)).unwrap_or_default(),
        };
        Ok(View { uid: uid.to_owned(), pod, intent, volumes, logs, want, look })
    }

    fn wire(&self, pod: &PodFacts) -> Wire {
        if crate::pods::spec::host_network(pod) {
            return Wire::None;
        }
        match self.leases.state() {
            network::State::Unknown(why) => Wire::Unknown(why),
            network::State::Off(_) => Wire::None,
            network::State::On(_) => Wire::Cable,
        }
    }

    /// Turns a pod's volumes into what its plan knows of them: is each ready to be shown?
    async fn ready_volumes(&self, uid: &str, volumes: &[Resolved], mounts: &Mounts) -> Vec<Volume> {
        let mut all = Vec::with_capacity(volumes.len());
        for resolved in volumes {
            let source = match &resolved.source {
                Source::Volume { volume, one_pod: true, .. }
                    if mounts.published_elsewhere(uid, &volume.name).is_some() =>
                {
                    Wanted::Waiting(in_use(&volume.name))
                }
                Source::Volume { id, volume, .. } => {
                    if mounts.is_staged(id) && self.is_given(id, &volume.name) {
                        Wanted::Ready { volume: volume.name.clone() }
                    } else {
                        self.queue.wake(Work::Volume(id.clone()));
                        Wanted::Waiting(format!(
                            "volume \"{}\" is being attached and mounted on this node",
                            volume.shown()
                        ))
                    }
                }
                Source::Empty { memory, .. } => Wanted::Empty { memory: *memory },
                Source::HostPath { .. } => Wanted::Host,
                Source::Waiting(why) => Wanted::Unknown(why.clone()),
            };
            all.push(Volume { name: resolved.name.clone(), source });
        }
        all
    }

    /// The pass is over: writes the status where it changed and answers when to come back.
    async fn settle(&self, view: &View, plan: &Plan, memory: &mut PodMemory) -> Option<Instant> {
        let mut again: Vec<Instant> = plan.until.map(clock::instant).into_iter().collect();
        let failures = memory.failures.values().chain(&memory.unrecorded);
        again.extend(failures.map(|f| f.retry_at.max(Instant::now())));
        again.extend(self.tell_of_waits(view, plan, memory));
        if let Some(pod) = &view.pod
            && view.want.goal != Goal::Rest
        {
            match self.write_status(pod, view, plan, memory).await {
                Ok(until) => again.extend(until),
                Err(error) => {
                    tracing::warn!(pod = %pod.key, error = error.chain(), "write the status");
                    again.push(Instant::now() + crate::core::retry_after(2));
                }
            }
        }
        if view.want.goal != Goal::Run {
            // The volumes that the pod no longer sees may go.
            view.intent
                .iter()
                .flat_map(|i| &i.volumes)
                .for_each(|v| self.queue.wake(Work::Volume(v.id.clone())));
        }
        again.into_iter().min()
    }

    /// Nothing of a pod is left here: its object may go, and its record with it.
    async fn take_leave(&self, view: &View, memory: &mut PodMemory) -> Option<Instant> {
        if let Some(pod) = &view.pod {
            if let Err(error) = self.write_status(pod, view, &Plan::default(), memory).await {
                tracing::warn!(pod = %pod.key, error = error.chain(), "write the last status");
            }
            let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}});
            match self.client.delete(&pod.key, &options).await {
                Ok(()) => {}
                // Another pod of the same name is not ours to delete.
                Err(error) if error.code() == Some(409) => {}
                Err(error) => {
                    tracing::warn!(pod = %pod.key, error = crate::error::chain(&error), "delete a pod that is gone here");
                    return Some(Instant::now() + crate::core::retry_after(2));
                }
            }
        }
        self.machine.journal.end(&Subject::Pod(view.uid.clone()));
        view.intent.iter().flat_map(|i| &i.volumes).for_each(|v| self.queue.wake(Work::Volume(v.id.clone())));
        memory.over = true;
        None
    }
}

fn goal(pod: Option<&PodFacts>, intent: Option<&PodIntent>, memory: &mut PodMemory) -> Goal {
    let now = clock::now();
    let mut stop = |grace: i64, end: Option<Timestamp>| {
        let begun = *memory.stop_seen.get_or_insert(now);
        let deadline = begun + Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        // The server's time has no fractions of a second: give the one that it cut off.
        let end = end.map(|end| end + Duration::from_secs(1));
        Goal::Stop { deadline: end.map_or(deadline, |end| end.min(deadline)) }
    };
    match (pod, intent) {
        (Some(pod), _) if pod.deleted_at.is_some() => stop(pod.grace, pod.deleted_at),
        (Some(pod), _) if pod.finished => Goal::Rest,
        (Some(_), _) => Goal::Run,
        (None, intent) => stop(intent.map_or(ORPHAN_GRACE, |i| i.grace.min(ORPHAN_GRACE)), None),
    }
}

/// Why a second pod does not get a volume whose claim is for one.
pub(super) fn in_use(volume: &str) -> String {
    format!(
        "volume \"{volume}\" is used by another pod, and its claim has access mode ReadWriteOncePod; \
         it comes when that pod is gone"
    )
}

/// Keeps how attempts ended, and gives those back whose bundle, with the word of a memory kill, is gone.
fn remember_ends(attempts: &mut BTreeMap<ContainerId, Attempt>, memory: &mut PodMemory) {
    for (id, attempt) in attempts {
        if matches!(attempt.status, Some(ContainerStatus::Exited { .. })) {
            attempt.oom |= memory.ended.get(id).is_some_and(|before| before.oom);
            let end = Attempt { status: attempt.status, oom: attempt.oom, ..Attempt::default() };
            memory.ended.insert(id.clone(), end);
        }
    }
}

/// The pod's containers, init containers first, with their states.
fn containers(pod: &PodFacts, look: &PodLook, memory: &mut PodMemory) -> Vec<Container> {
    let Some(spec) = pod.spec() else { return Vec::new() };
    let attempts = with_ended(&look.seen.attempts, memory);
    let inits = spec.init_containers.iter().flatten().map(|c| (c, true));
    let all = inits.chain(spec.containers.iter().map(|c| (c, false)));
    all.map(|(container, init)| {
        let told = status_of(&pod.pod, &container.name);
        let state = state_of(&pod.uid, &container.name, &attempts, told, &memory.started);
        if let State::Ended { attempt, exit } = &state
            && crate::plan::container::was_healthy(exit)
        {
            memory.healthy.insert(container.name.clone(), *attempt);
        }
        let from = memory.healthy.get(&container.name).copied().unwrap_or_default();
        Container { name: container.name.clone(), init, streak: state.attempt().saturating_sub(from), state }
    })
    .collect()
}

/// What is here, and what was here and has ended.
pub(super) fn with_ended(
    here: &BTreeMap<ContainerId, Attempt>,
    memory: &PodMemory,
) -> BTreeMap<ContainerId, Attempt> {
    let mut all = memory.ended.clone();
    all.extend(here.iter().map(|(id, attempt)| (id.clone(), attempt.clone())));
    all
}
