//! Telling of a pod: its status, in one write for all that changed, and its Events.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{
    Failure,
    pod::{PodMemory, View, with_ended},
    pod_run::Done,
};
use crate::{
    clock,
    core::Core,
    error::Error,
    events::{about, about_container},
    journal::VolumeIntent,
    plan::{
        container::{State, Verdict, decide},
        pod::{Goal, Plan, Step, policy_of},
    },
    pods::status::{self, Input, back_off_message},
    world::PodFacts,
};

/// A pod that starts within this time costs one status write.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a pod may wait for something before an Event says so.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// How long at most until an image that was not there is looked for again.
const IMAGE_RETRY: Duration = Duration::from_secs(5);

impl Core {
    /// After a while an Event says what a pod waits for.
    pub(super) fn tell_of_waits(&self, view: &View, plan: &Plan, memory: &mut PodMemory) -> Option<Instant> {
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

    /// A pod is not held up by a file server that is gone, and what it wrote may be on its way there for ever.
    pub(super) fn tell_silent_server(&self, view: &View, volume: &VolumeIntent, why: &str) {
        let Some(pod) = &view.pod else { return };
        let shown =
            self.world().volume(&volume.id).map_or_else(|| volume.name.clone(), |known| known.shown());
        let text = format!(
            "volume \"{shown}\" was unmounted while its file server did not answer ({why}). What was written to it and has not \
             reached the server is kept by this node and sent when the server answers; it is lost if the node goes down before"
        );
        self.events.warning(about(&pod.object), "VolumeServerSilent", text);
    }

    pub(super) async fn write_status(
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
            attempts: &with_ended(&view.look.seen.attempts, memory),
            troubles: &troubles(memory),
            waits: &plan.waits,
            images: &memory.images,
            started: &memory.started,
            first_seen,
            address: &self.address,
            own: self.pod_address(&view.uid).map(|a| a.to_string()),
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
                self.learn_of(object, &pod.uid);
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
            let policy = policy_of(container, view.want.policy);
            let waits = decide(&container.state, policy, container.streak, clock::now());
            let new = memory.backing_off.get(&container.name) != Some(attempt);
            if view.want.goal == Goal::Run && new && matches!(waits, Verdict::BackOff(_)) {
                memory.backing_off.insert(container.name.clone(), *attempt);
                let words = back_off_message(pod, &container.name, exit, container.streak);
                let short = words.split(" restarting ").nth(1).unwrap_or_default();
                let message = format!("Back-off restarting {short}");
                self.events.warning(about_container(&pod.object, &container.name), "BackOff", message);
            }
        }
    }

    /// Remembers what a step changed, and says so.
    pub(super) fn pod_step_done(&self, view: &View, step: &Step, done: Done, memory: &mut PodMemory) {
        let first = match step {
            Step::Signal { id, kill } => memory.asked.insert(id.clone(), *kill).is_none(),
            _ => true,
        };
        if let Step::Unpublish(name) = step {
            // Another pod may wait for it to be free. The world is let go first: waking locks it again.
            let volume = self.world().volume_named(name);
            volume.iter().for_each(|volume| self.wake_users(volume));
        }
        let Some(pod) = &view.pod else { return };
        match (step, done) {
            (Step::Signal { id, .. }, _) if first => {
                let text = format!("Stopping container {}", id.container);
                self.events.normal(about_container(&pod.object, &id.container), "Killing", text);
            }
            (Step::Forget { id, log: true }, _) => {
                memory.ended.remove(id);
                memory.started.remove(id);
            }
            (Step::Prepare(id), Done::Image(name, image)) => {
                memory.images.insert(id.container.clone(), (name, image));
            }
            (Step::Launch(id), Done::Launched { created, started }) => {
                let object = || about_container(&pod.object, &id.container);
                if created {
                    let name =
                        memory.images.get(&id.container).map(|(name, _)| name.as_str()).unwrap_or_default();
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

    pub(super) fn pod_step_failed(&self, view: &View, step: &Step, error: &Error, memory: &mut PodMemory) {
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
            failure.retry_at = failure.retry_at.min(Instant::now() + IMAGE_RETRY);
        }
        memory.failures.insert(step.clone(), failure);
        let Some(pod) = &view.pod else { return };
        let whole = about(&pod.object);
        match step {
            Step::Prepare(id) | Step::Launch(id) => {
                self.events.warning(
                    about_container(&pod.object, &id.container),
                    "Failed",
                    format!("Error: {message}"),
                );
            }
            Step::Publish(name) | Step::MakeEmpty(name) | Step::BindHost(name) => {
                let text = format!("MountVolume.SetUp failed for volume \"{name}\" : {message}");
                self.events.warning(whole, "FailedMount", text);
            }
            Step::Pin | Step::Connect => self.events.warning(whole, "FailedCreatePodSandBox", message),
            Step::Unpublish(_) | Step::RemoveEmpty(_) | Step::UnbindHost(_) => {
                self.events.warning(whole, "FailedUnMount", message);
            }
            _ => self.events.warning(whole, "FailedKillPod", message),
        }
    }
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
