//! One pass over one pod: look, plan, execute, until the plan is idle; then the status, in one write.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Failure;
use crate::{
    clock,
    core::Core,
    error::Error,
    events::{about, about_container},
    ids::ContainerId,
    journal::{Intent, PodIntent, Subject, VolumeIntent},
    observe::PodLook,
    plan::{
        Look,
        container::{RestartPolicy, State},
        pod::{Container, Goal, Plan, Source as Wanted, Step, Volume, Want, plan},
    },
    pods::{
        states::{state_of, status_of},
        status::{self, Input, back_off_message},
    },
    world::{PodFacts, Resolved, Source, Work},
};

/// Plans carried out in one pass before others get their turn.
const ROUNDS: usize = 8;
/// A pod that starts within this time costs one status write.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a pod may wait for something before an Event says so.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// What is left of the grace of a pod that the API no longer knows.
const ORPHAN_GRACE: i64 = 2;

/// What is remembered of a pod in this life of the agent.
#[derive(Debug, Default)]
pub(crate) struct PodMemory {
    /// Nothing needs remembering any more.
    pub(crate) over: bool,
    first_seen: Option<Timestamp>,
    stop_seen: Option<Timestamp>,
    asked: BTreeMap<ContainerId, bool>,
    pub(super) started: BTreeMap<ContainerId, Timestamp>,
    /// The attempt from which a container's short runs are counted.
    healthy: BTreeMap<String, u32>,
    pub(super) failures: BTreeMap<Step, Failure>,
    pub(super) images: BTreeMap<String, (String, String)>,
    waiting_since: Option<Timestamp>,
    backing_off: BTreeMap<String, u32>,
    sent: Option<Value>,
}

/// A pod as one plan sees it.
pub(super) struct View {
    pub(super) uid: String,
    pub(super) pod: Option<Arc<PodFacts>>,
    pub(super) intent: Option<PodIntent>,
    pub(super) volumes: Vec<Resolved>,
    pub(super) logs: Option<PathBuf>,
    want: Want,
    look: PodLook,
}

impl Core {
    pub(crate) async fn pod_pass(self: &Arc<Self>, uid: &str, memory: &mut PodMemory) -> Option<Instant> {
        memory.first_seen.get_or_insert_with(clock::now);
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
            if plan.gone {
                return self.take_leave(&view, memory).await;
            }
            if plan.is_idle() || self.carry_out_pod(&view, &plan, memory).await {
                return self.settle(&view, &plan, memory).await;
            }
        }
        Some(Instant::now())
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
        let mut volumes = pod.as_ref().map(|pod| self.world().resolve(pod)).unwrap_or_default();
        let wanted = self.ready_volumes(&mut volumes).await?;
        let containers = pod.as_ref().map(|pod| containers(pod, &look, memory)).unwrap_or_default();
        let policy = pod.as_ref().and_then(|p| p.spec()).and_then(|s| s.restart_policy.as_deref());
        let want = Want {
            uid: uid.to_owned(),
            goal: goal(pod.as_deref(), intent.as_ref(), memory),
            policy: RestartPolicy::of(policy),
            containers,
            volumes: wanted,
        };
        Ok(View { uid: uid.to_owned(), pod, intent, volumes, logs, want, look })
    }

    /// Turns a pod's volumes into what its plan knows of them: is each ready to be shown?
    async fn ready_volumes(&self, volumes: &mut [Resolved]) -> Result<Vec<Volume>, Error> {
        let mounts = self.machine.blocking(|m| m.mounts()).await?;
        let mut all = Vec::with_capacity(volumes.len());
        for resolved in volumes {
            let source = match &resolved.source {
                Source::Volume { id, volume, .. } => {
                    let attachment = self.world().attachment(&volume.name);
                    let going = attachment.is_some_and(|a| a.terminating);
                    if mounts.is_staged(id) && !going {
                        Wanted::Ready { volume: volume.name.clone() }
                    } else {
                        self.queue.wake(Work::Volume(id.clone()));
                        Wanted::Waiting(format!("volume \"{}\" is being attached and mounted on this node", volume.name))
                    }
                }
                Source::Empty { memory, .. } => Wanted::Empty { memory: *memory },
                Source::HostPath { path, kind } => {
                    let (path, kind) = (path.clone(), kind.clone());
                    match self.machine.blocking(move |m| m.check_host_path(&path, &kind)).await {
                        Ok(()) => Wanted::Given,
                        Err(error) => Wanted::Waiting(error.chain()),
                    }
                }
                Source::Waiting(why) => Wanted::Waiting(why.clone()),
            };
            all.push(Volume { name: resolved.name.clone(), source });
        }
        Ok(all)
    }

    /// Carries out a plan; true when something failed or is held back, so that looking again at once would not help.
    async fn carry_out_pod(self: &Arc<Self>, view: &View, plan: &Plan, memory: &mut PodMemory) -> bool {
        if let Err(error) = self.record(view).await {
            tracing::error!(pod = view.uid, error = error.chain(), "nothing is done for the pod");
            let count = memory.failures.get(&Step::Pin).map_or(0, |f| f.count);
            memory.failures.insert(Step::Pin, Failure::again(count, "", error.chain()));
            return true;
        }
        let mut failed = false;
        for group in &plan.groups {
            let held = |step: &Step| memory.failures.get(step).is_some_and(|f| f.retry_at > Instant::now());
            let hopeless = |step: &Step| match step {
                Step::Launch(id) => memory.failures.contains_key(&Step::Prepare(id.clone())),
                _ => false,
            };
            let (now, later): (Vec<Step>, Vec<Step>) =
                group.iter().cloned().partition(|step| !held(step) && !hopeless(step));
            failed |= !later.is_empty();
            let run = now.into_iter().map(|step| async {
                let outcome = self.pod_step(view, &step).await;
                (step, outcome)
            });
            let mut blocked = later.iter().any(|step| !matches!(step, Step::Prepare(_)));
            for (step, outcome) in futures::future::join_all(run).await {
                if let Err(error) = &outcome {
                    failed = true;
                    blocked |= !matches!(step, Step::Prepare(_));
                    self.pod_step_failed(view, &step, error, memory);
                } else {
                    memory.failures.remove(&step);
                }
                if let Ok(done) = outcome {
                    self.pod_step_done(view, &step, done, memory);
                }
            }
            // What stands in a later group relies on this one; only a container does not rely on another's image.
            if blocked {
                return true;
            }
        }
        failed
    }

    /// What the pod may have here is in the journal before it has it.
    async fn record(&self, view: &View) -> Result<(), Error> {
        let Some(pod) = view.pod.as_ref().filter(|_| view.want.goal == Goal::Run) else { return Ok(()) };
        let volumes = view.volumes.iter().filter_map(|v| match &v.source {
            Source::Volume { id, volume, .. } => Some(VolumeIntent {
                id: id.clone(),
                name: volume.name.clone(),
                attributes: volume.attributes.clone(),
            }),
            _ => None,
        });
        let mut volumes: Vec<VolumeIntent> = volumes.collect();
        // A volume that can no longer be resolved may still be published.
        for known in view.intent.iter().flat_map(|i| &i.volumes) {
            if !volumes.iter().any(|v| v.name == known.name) {
                volumes.push(known.clone());
            }
        }
        let intent = PodIntent {
            uid: view.uid.clone(),
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            grace: pod.grace,
            volumes,
        };
        self.machine.journal.begin(Intent::Pod(intent)).await
    }

    /// The pass is over: writes the status where it changed and answers when to come back.
    async fn settle(&self, view: &View, plan: &Plan, memory: &mut PodMemory) -> Option<Instant> {
        let view = match self.view(&view.uid, memory).await {
            Ok(view) => view,
            Err(_) => return Some(Instant::now() + crate::core::retry_after(2)),
        };
        let mut again: Vec<Instant> = plan.until.map(clock::instant).into_iter().collect();
        again.extend(memory.failures.values().map(|f| f.retry_at.max(Instant::now())));
        again.extend(self.tell_of_waits(&view, plan, memory));
        if let Some(pod) = &view.pod
            && view.want.goal != Goal::Rest
        {
            match self.write_status(pod, &view, plan, memory).await {
                Ok(until) => again.extend(until),
                Err(error) => {
                    tracing::warn!(pod = %pod.key, error = error.chain(), "write the status");
                    again.push(Instant::now() + crate::core::retry_after(2));
                }
            }
        }
        if view.want.goal != Goal::Run {
            // The volumes that the pod no longer sees may go.
            view.intent.iter().flat_map(|i| &i.volumes).for_each(|v| self.queue.wake(Work::Volume(v.id.clone())));
        }
        again.into_iter().min()
    }

    /// After a while an Event says what a pod waits for.
    fn tell_of_waits(&self, view: &View, plan: &Plan, memory: &mut PodMemory) -> Option<Instant> {
        let (Some(pod), Goal::Run) = (&view.pod, &view.want.goal) else { return None };
        if plan.waits.is_empty() {
            memory.waiting_since = None;
            return None;
        }
        let since = *memory.waiting_since.get_or_insert_with(clock::now);
        let due = since + TELL_AFTER;
        if clock::now() < due {
            return Some(clock::instant(due));
        }
        self.events.warning(about(&pod.object), "FailedMount", plan.waits.join("; "));
        None
    }

    async fn write_status(
        &self,
        pod: &PodFacts,
        view: &View,
        plan: &Plan,
        memory: &mut PodMemory,
    ) -> Result<Option<Instant>, Error> {
        self.tell_of_back_off(pod, view, memory);
        let first_seen = memory.first_seen.unwrap_or_else(clock::now);
        let input = Input {
            pod,
            want: &view.want,
            seen: &view.look.seen,
            troubles: &troubles(memory),
            waits: &plan.waits,
            images: &memory.images,
            started: &memory.started,
            first_seen,
            address: &self.address,
            now: clock::now(),
        };
        let new = status::status(&input);
        let Some(patch) = status::patch(pod, &new).filter(|_| memory.sent.as_ref() != Some(&new)) else {
            return Ok(None);
        };
        // A pod that will run in a moment needs no word about waiting.
        let patient = first_seen + PATIENCE;
        let starting = view.want.goal == Goal::Run && new["phase"] == "Pending" && memory.failures.is_empty();
        if starting && clock::now() < patient {
            return Ok(Some(clock::instant(patient)));
        }
        match self.client.patch(&pod.key, Some("status"), &patch).await {
            Ok(object) => {
                memory.sent = Some(new);
                self.learn(object);
                Ok(None)
            }
            // Gone, or another pod of the same name: the mirror will say so.
            Err(error) if matches!(error.code(), Some(404 | 409 | 422)) => {
                tracing::debug!(pod = %pod.key, error = crate::error::chain(&error), "the status was refused");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn tell_of_back_off(&self, pod: &PodFacts, view: &View, memory: &mut PodMemory) {
        for container in &view.want.containers {
            let State::Ended { attempt, exit } = &container.state else { continue };
            let waits = crate::plan::container::decide(&container.state, view.want.policy, container.streak, clock::now());
            let new = memory.backing_off.get(&container.name) != Some(attempt);
            if view.want.goal == Goal::Run
                && new
                && matches!(waits, crate::plan::container::Verdict::BackOff(_))
            {
                memory.backing_off.insert(container.name.clone(), *attempt);
                let words = back_off_message(pod, &container.name, exit, container.streak);
                let short = words.split(" restarting ").nth(1).unwrap_or_default();
                let message = format!("Back-off restarting {short}");
                self.events.warning(about_container(&pod.object, &container.name), "BackOff", message);
            }
        }
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

    /// Remembers what a step changed, and says so.
    fn pod_step_done(&self, view: &View, step: &Step, done: Done, memory: &mut PodMemory) {
        let Some(pod) = &view.pod else { return };
        match (step, done) {
            (Step::Signal { id, kill }, _) => {
                if memory.asked.insert(id.clone(), *kill).is_none() {
                    let text = format!("Stopping container {}", id.container);
                    self.events.normal(about_container(&pod.object, &id.container), "Killing", text);
                }
            }
            (Step::Prepare(id), Done::Image(name, image)) => {
                memory.images.insert(id.container.clone(), (name, image));
            }
            (Step::Launch(id), Done::Launched { created, started }) => {
                let object = || about_container(&pod.object, &id.container);
                if created {
                    let name = memory.images.get(&id.container).map(|(name, _)| name.as_str()).unwrap_or_default();
                    let text = format!("Container image \"{name}\" already present on machine");
                    self.events.normal(object(), "Pulled", text);
                    self.events.normal(object(), "Created", format!("Created container: {}", id.container));
                }
                if started {
                    memory.started.insert(id.clone(), clock::now());
                    self.events.normal(object(), "Started", format!("Started container {}", id.container));
                }
            }
            _ => {}
        }
    }

    fn pod_step_failed(&self, view: &View, step: &Step, error: &Error, memory: &mut PodMemory) {
        let message = error.chain();
        tracing::warn!(pod = view.uid, ?step, message, "a step failed");
        let reason = match error {
            Error::Container { reason, .. } => reason,
            _ if matches!(step, Step::Prepare(_) | Step::Launch(_)) => "CreateContainerError",
            _ => "",
        };
        let count = memory.failures.get(step).map_or(0, |f| f.count);
        let mut failure = Failure::again(count, reason, message.clone());
        if reason.starts_with("ErrImage") {
            // Looking for an image costs nothing, and somebody is about to load it.
            failure.retry_at = failure.retry_at.min(Instant::now() + Duration::from_secs(5));
        }
        memory.failures.insert(step.clone(), failure);
        let Some(pod) = &view.pod else { return };
        let whole = about(&pod.object);
        match step {
            Step::Prepare(id) | Step::Launch(id) => {
                self.events.warning(about_container(&pod.object, &id.container), "Failed", format!("Error: {message}"));
            }
            Step::Publish(name) | Step::MakeEmpty(name) => {
                let text = format!("MountVolume.SetUp failed for volume \"{name}\" : {message}");
                self.events.warning(whole, "FailedMount", text);
            }
            Step::Pin => self.events.warning(whole, "FailedCreatePodSandBox", message),
            Step::Unpublish(_) | Step::RemoveEmpty(_) => self.events.warning(whole, "FailedUnMount", message),
            _ => self.events.warning(whole, "FailedKillPod", message),
        }
    }
}

/// What a step had to do, as far as anybody needs to know.
#[derive(Clone, Debug)]
pub(super) enum Done {
    /// Nothing to tell.
    Quiet,
    /// The name and id of a container's image.
    Image(String, String),
    /// What launching had to do.
    Launched {
        /// It was created.
        created: bool,
        /// It was started.
        started: bool,
    },
}

impl Core {
    async fn pod_step(&self, view: &View, step: &Step) -> Result<Done, Error> {
        tracing::debug!(pod = view.uid, ?step, "step");
        let uid = view.uid.clone();
        let machine = &self.machine;
        match step {
            Step::Publish(name) => {
                let (Some(pod), Some(volume)) = (&view.pod, view.volumes.iter().find(|v| v.name == *name)) else {
                    return Ok(Done::Quiet);
                };
                machine.publish(pod, &volume.source).await?;
            }
            Step::Unpublish(name) => {
                let known = view.intent.as_ref().and_then(|i| i.volumes.iter().find(|v| v.name == *name));
                machine.unpublish(&uid, name, known).await?;
            }
            Step::Prepare(_) | Step::Launch(_) | Step::Signal { .. } => return self.container_step(view, step).await,
            Step::Pin => {
                let Some(pod) = view.pod.clone() else { return Ok(Done::Quiet) };
                machine.blocking(move |m| m.pin(&pod)).await?;
            }
            Step::MakeEmpty(name) => {
                let source = view.volumes.iter().find(|v| v.name == *name).map(|v| v.source.clone());
                let (Some(Source::Empty { memory, limit }), name) = (source, name.clone()) else {
                    return Ok(Done::Quiet);
                };
                machine.blocking(move |m| m.make_empty(&uid, &name, memory, limit)).await?;
            }
            Step::Clean(_) | Step::Forget { .. } | Step::RemoveEmpty(_) | Step::Unpin | Step::RemovePlace | Step::RemoveLogs => {
                let (step, logs) = (step.clone(), view.logs.clone());
                machine.blocking(move |m| m.tear_down_step(&uid, logs.as_deref(), &step)).await?;
            }
        }
        Ok(Done::Quiet)
    }

    async fn container_step(&self, view: &View, step: &Step) -> Result<Done, Error> {
        let (pod, step, volumes) = (view.pod.clone(), step.clone(), view.volumes.clone());
        let (node, address) = (self.node.clone(), self.address.clone());
        self.machine
            .blocking(move |m| {
                let place = crate::pods::env::Place { node: &node, address: &address };
                match (&step, &pod) {
                    (Step::Signal { id, kill }, pod) => {
                        super::container::signal(m, pod.as_deref(), id, *kill)?;
                        Ok(Done::Quiet)
                    }
                    (Step::Prepare(id), Some(pod)) => {
                        let image = super::container::prepare(m, pod, &volumes, id, place)?;
                        Ok(Done::Image(image.reference, image.id))
                    }
                    (Step::Launch(id), Some(pod)) => {
                        let launched = super::container::launch(m, pod, id)?;
                        Ok(Done::Launched { created: launched.created, started: launched.started })
                    }
                    _ => Ok(Done::Quiet),
                }
            })
            .await
    }
}

impl crate::machine::Machine {
    /// Steps that take something away and need neither a driver nor the API. Blocks.
    pub(crate) fn tear_down_step(&self, uid: &str, logs: Option<&std::path::Path>, step: &Step) -> Result<(), Error> {
        match step {
            Step::Clean(id) => super::container::clean(self, id),
            Step::Forget { id, log } => {
                let file = logs.filter(|_| *log).map(|d| d.join(&id.container).join(format!("{}.log", id.attempt)));
                super::container::forget(self, file.as_deref(), id)
            }
            Step::RemoveEmpty(name) => self.remove_empty(uid, name),
            Step::Unpin => self.unpin(uid),
            Step::RemovePlace => self.remove_place(uid),
            Step::RemoveLogs => logs.map_or(Ok(()), |dir| self.remove_logs(dir)),
            _ => Ok(()),
        }
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

/// The pod's containers, init containers first, with their states.
fn containers(pod: &PodFacts, look: &PodLook, memory: &mut PodMemory) -> Vec<Container> {
    let Some(spec) = pod.spec() else { return Vec::new() };
    let inits = spec.init_containers.iter().flatten().map(|c| (c, true));
    let all = inits.chain(spec.containers.iter().map(|c| (c, false)));
    all.map(|(container, init)| {
        let told = status_of(&pod.pod, &container.name);
        let state = state_of(&pod.uid, &container.name, &look.seen.attempts, told, &memory.started);
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

/// Why containers wait, for their statuses.
fn troubles(memory: &PodMemory) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for (step, failure) in &memory.failures {
        if let Step::Prepare(id) | Step::Launch(id) = step {
            let reason = match failure.reason {
                "ErrImagePull" if failure.count > 1 => "ImagePullBackOff",
                reason => reason,
            };
            all.insert(id.container.clone(), (reason.to_owned(), failure.message.clone()));
        }
    }
    all
}
