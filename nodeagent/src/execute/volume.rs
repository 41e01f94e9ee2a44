//! One pass over one volume: attach, report, stage and back. Making and removing are in `making`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use orlop_backends::driver::{Attach, Stage};
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};

use super::Failure;
use crate::{
    core::{Core, volume_key, without_finalizer},
    error::Error,
    events::about,
    ids::VolumeId,
    journal::{Intent, Subject, VolumeIntent},
    machine::{DEADLINE, Machine, volume_ref},
    plan::{
        Look,
        volume::{Attachment, SHUT_OUT, Step, Want, is_given, plan},
    },
    world::{AttachmentFacts, ExportFacts, VolumeFacts, Work},
};

/// Plans carried out in one pass before others get their turn.
const ROUNDS: usize = 8;

/// What is remembered of a volume in this life of the agent.
#[derive(Debug, Default)]
pub(crate) struct VolumeMemory {
    /// What attaching answered.
    pub(super) device: Option<Option<PathBuf>>,
    /// The report of the attachment that is under way.
    reporting: Option<JoinHandle<()>>,
    /// The step that failed last.
    pub(super) failure: Option<(Step, Failure)>,
}

/// A volume as the API and, failing that, the journal know it.
pub(super) struct Known {
    pub(super) id: VolumeId,
    pub(super) volume: Option<Arc<VolumeFacts>>,
    pub(super) attachment: Option<Arc<AttachmentFacts>>,
    journaled: Option<VolumeIntent>,
}

impl Known {
    /// The PersistentVolume's name.
    pub(super) fn name(&self) -> &str {
        match (&self.volume, &self.journaled) {
            (Some(volume), _) => &volume.name,
            (None, Some(intent)) => &intent.name,
            (None, None) => &self.id.handle,
        }
    }

    /// Neither the API nor the journal says anything of it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.volume.is_none() && self.journaled.is_none()
    }

    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        match (&self.volume, &self.journaled) {
            (Some(volume), _) => volume.attributes.clone(),
            (None, Some(intent)) => intent.attributes.clone(),
            (None, None) => BTreeMap::new(),
        }
    }
}

impl Core {
    pub(crate) async fn volume_pass(
        self: &Arc<Self>,
        id: &VolumeId,
        memory: &mut VolumeMemory,
    ) -> Option<Instant> {
        if self.world().has_unreadable_volumes() {
            return None;
        }
        for _ in 0..ROUNDS {
            let known = self.known(id);
            let want = self.want_of(&known);
            let (name, device, of) = (known.name().to_owned(), memory.device.clone(), id.clone());
            let look = match self.look_at_serving(&known).await {
                Ok(served) => {
                    let look = move |m: &Machine| m.look_at_volume(&of, &name, device.as_ref(), served);
                    self.machine.blocking(look).await
                }
                Err(error) => Err(error),
            };
            let look = Look::of(look);
            if let Look::Unknown(why) = &look {
                tracing::warn!(volume = %id, why, "look at a volume");
                return Some(Instant::now() + crate::core::retry_after(2));
            }
            let plan = plan(&want, &look);
            tracing::debug!(volume = %id, steps = ?plan.steps, wait = plan.wait, "plan");
            if plan.wait == Some(SHUT_OUT) {
                self.tell_shut_out(&known);
            }
            if plan.steps.is_empty() {
                return None;
            }
            if let Err(again) = self.carry_out(&known, &plan.steps, memory).await {
                return again;
            }
        }
        // Steps that succeed and change nothing must not keep a processor busy.
        Some(Instant::now() + crate::core::retry_after(1))
    }

    fn known(&self, id: &VolumeId) -> Known {
        let world = self.world();
        let volume = world.volume(id);
        let journaled = self.machine.journal.volume(id);
        let name =
            volume.as_ref().map(|v| v.name.clone()).or_else(|| journaled.as_ref().map(|j| j.name.clone()));
        let attachment = name.and_then(|name| world.attachment(&name));
        Known { id: id.clone(), volume, attachment, journaled }
    }

    fn want_of(&self, known: &Known) -> Want {
        let world = self.world();
        let attachment = known.attachment.as_deref().map(of_facts);
        Want {
            attach: self.attaches(&known.id),
            // A volume that the API no longer knows cannot be attached, whatever is left of its attachment.
            attachment: attachment
                .filter(|a| known.volume.is_some() || matches!(a, Attachment::Deleted { .. })),
            users: known.volume.as_ref().map_or(0, |v| world.users(v).len()),
            making: world.making(&known.id).is_some(),
            // While it is being made it is known by its name, whatever handle its driver gives it.
            exists: known.volume.is_some() || world.is_made(&known.id),
            to_delete: known.volume.as_ref().is_some_and(|v| v.to_delete),
            keep: self.kept(known).is_some_and(|v| !v.to_delete),
            told: self.kept(known).and_then(|v| v.export.as_ref()).is_some_and(ExportFacts::is_told),
            shut_out: self.shut_out(known).is_some(),
        }
    }

    /// Where the volume's driver attaches.
    fn attaches(&self, id: &VolumeId) -> Option<Attach> {
        self.machine.driver(&id.driver).ok().map(|driver| driver.capabilities().attach)
    }

    /// Whether the volume, a PersistentVolume of this name, may be shown to one more pod.
    pub(super) fn is_given(&self, id: &VolumeId, name: &str) -> bool {
        let attachment = self.world().attachment(name);
        is_given(self.attaches(id), attachment.as_deref().map(of_facts))
    }

    /// Runs the steps in order. `Err` says when to come back, where coming back helps.
    async fn carry_out(
        self: &Arc<Self>,
        known: &Known,
        steps: &[Step],
        memory: &mut VolumeMemory,
    ) -> Result<(), Option<Instant>> {
        for step in steps {
            if let Some((failed, failure)) = &memory.failure
                && failed == step
                && failure.retry_at > Instant::now()
            {
                return Err(Some(failure.retry_at));
            }
            if let Err(error) = self.step(known, *step, memory).await {
                return Err(Some(self.failed(known, *step, memory, &error)));
            }
            memory.failure.take_if(|(failed, _)| failed == step);
        }
        // What these change is the server's: its answer comes through the mirrors.
        let told = [Step::Make, Step::Report, Step::ReleaseAttachment, Step::ReleaseVolume, Step::Tell];
        if steps.last().is_some_and(|step| told.contains(step)) { Err(None) } else { Ok(()) }
    }

    async fn step(
        self: &Arc<Self>,
        known: &Known,
        step: Step,
        memory: &mut VolumeMemory,
    ) -> Result<(), Error> {
        tracing::debug!(volume = %known.id, ?step, "step");
        match step {
            Step::Make => self.make(&known.id).await,
            Step::Unmake => self.unmake(&known.id).await,
            Step::ForgetMaking => self.forget_making(&known.id).await,
            Step::Attach => self.attach(known, memory).await,
            Step::Report => {
                self.report(known, memory);
                Ok(())
            }
            Step::Stage => self.stage(known, memory.device.clone().flatten()).await,
            Step::Unstage => self.unstage(known).await,
            Step::Detach => self.detach(known, memory).await,
            Step::Forget => {
                self.machine.journal.end(&Subject::Volume(known.id.clone()));
                Ok(())
            }
            Step::ReleaseAttachment => self.release_attachment(known).await,
            Step::DeleteData => self.delete_data(known).await,
            Step::ReleaseVolume => self.release_volume(known).await,
            Step::Serve => self.serve(known).await,
            Step::Export => self.export(known).await,
            Step::Tell => self.tell_exported(known).await,
            Step::Unserve => self.machine.unserve(&known.id).await,
        }
    }

    async fn attach(&self, known: &Known, memory: &mut VolumeMemory) -> Result<(), Error> {
        let driver = self.machine.driver(&known.id.driver)?;
        let attributes = known.attributes();
        let intent = VolumeIntent { id: known.id.clone(), name: known.name().to_owned(), attributes };
        let volume = volume_ref(&known.id, &intent.attributes);
        // It is made, or it could not be attached. Said before what follows and is synced, so that no later life takes a
        // volume with data in it for one that was never used (`making`).
        self.machine.journal.end(&Subject::Making(VolumeId::new(&known.id.driver, known.name())));
        self.machine.journal.begin(Intent::Volume(intent)).await?;
        memory.device = Some(match driver.capabilities().attach {
            Attach::Node => {
                self.fence(driver.as_ref(), &volume).await?;
                driver.attach(volume).await?
            }
            Attach::Controller => {
                known.attachment.as_ref().and_then(|a| a.device.as_deref()).map(PathBuf::from)
            }
            Attach::None => None,
        });
        Ok(())
    }

    /// Says in the attachment's status that it is attached. Nothing here waits for the server's answer.
    fn report(self: &Arc<Self>, known: &Known, memory: &mut VolumeMemory) {
        let Some(attachment) = known.attachment.clone().filter(|a| !a.attached) else { return };
        if memory.reporting.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let device = memory.device.clone().flatten().map(|d| json!({"devicePath": d.display().to_string()}));
        let patch = json!({"status": {"attached": true, "attachmentMetadata": device, "attachError": null}});
        let (core, id) = (self.clone(), known.id.clone());
        memory.reporting = Some(tokio::spawn(async move {
            match core.client.patch(&attachment.key, Some("status"), &patch).await {
                Ok(object) => core.learn(object),
                Err(error) if error.code() == Some(404) => {}
                Err(error) => {
                    tracing::warn!(volume = %id, error = crate::error::chain(&error), "report an attachment");
                    core.queue.wake_at(Work::Volume(id), Instant::now() + crate::core::retry_after(2));
                }
            }
        }));
    }

    async fn stage(&self, known: &Known, device: Option<PathBuf>) -> Result<(), Error> {
        let Some(volume) = &known.volume else { return Ok(()) };
        let driver = self.machine.driver(&known.id.driver)?;
        let _apart = self.machine.lock(&known.id).await;
        let target = self.machine.layout.staged(&known.id);
        let dir = target.clone();
        self.machine.blocking(move |m| Ok(m.host.create_dir(&dir)?)).await?;
        let request = Stage {
            volume: volume_ref(&known.id, &volume.attributes),
            device,
            target,
            fs_type: volume.fs_type.clone(),
            mount_options: volume.mount_options.clone(),
        };
        driver.stage(request).await?;
        self.wake_users(volume);
        Ok(())
    }

    async fn unstage(&self, known: &Known) -> Result<(), Error> {
        self.machine.unstage(&known.id, known.name(), known.attributes()).await
    }

    async fn detach(&self, known: &Known, memory: &mut VolumeMemory) -> Result<(), Error> {
        memory.device = None;
        self.machine.detach(&known.id, known.attributes()).await
    }

    async fn release_attachment(&self, known: &Known) -> Result<(), Error> {
        let Some(attachment) = &known.attachment else { return Ok(()) };
        let Some(object) = self.client.get(&attachment.key).await? else { return Ok(()) };
        let patch = without_finalizer(&object, &attachment.finalizer());
        gone_is_fine(self.client.patch(&attachment.key, None, &patch).await)
    }

    async fn release_volume(&self, known: &Known) -> Result<(), Error> {
        let Some(object) = self.client.get(&volume_key(known.name())).await? else { return Ok(()) };
        let patch = without_finalizer(&object, crate::world::PROVISIONER_FINALIZER);
        gone_is_fine(self.client.patch(&object.key, None, &patch).await)
    }

    /// Tells of a failed step and answers when to try it again.
    fn failed(&self, known: &Known, step: Step, memory: &mut VolumeMemory, error: &Error) -> Instant {
        let message = error.chain();
        tracing::warn!(volume = %known.id, ?step, message, "a step failed");
        let count = memory.failure.take().filter(|(s, _)| *s == step).map_or(0, |(_, f)| f.count);
        let failure = Failure::again(count, "", message.clone());
        let again = failure.retry_at;
        memory.failure = Some((step, failure));
        if step == Step::Stage {
            // The device may be another file's by now: the next plan attaches, which finds the right one.
            memory.device = None;
        }
        let Some(volume) = &known.volume else { return again };
        match step {
            Step::Attach => self.report_failure(known, &message),
            Step::Stage => {
                let text =
                    format!("MountVolume.MountDevice failed for volume \"{}\" : {message}", volume.shown());
                let users = self.world().users(volume);
                users
                    .iter()
                    .for_each(|pod| self.events.warning(about(&pod.object), "FailedMount", text.clone()));
            }
            Step::DeleteData => self.events.warning(about(&volume.object), "VolumeFailedDelete", message),
            Step::Serve | Step::Export => self.tell_not_served(volume, step, error),
            Step::Detach | Step::Unstage | Step::Unserve => {
                self.events.warning(about(&volume.object), "FailedDetachVolume", message);
            }
            _ => {}
        }
        again
    }

    /// Says in the attachment's status why it is not attached; the attacher tells the pods.
    fn report_failure(&self, known: &Known, message: &str) {
        let Some(attachment) = known.attachment.clone().filter(|a| a.error.as_deref() != Some(message))
        else {
            return;
        };
        let client = self.client.clone();
        let error = json!({"time": crate::clock::text(crate::clock::now()), "message": message});
        tokio::spawn(async move {
            let patch = json!({"status": {"attached": false, "attachError": error}});
            if let Err(error) = client.patch(&attachment.key, Some("status"), &patch).await {
                tracing::warn!(error = crate::error::chain(&error), "report a failed attachment");
            }
        });
    }
}

fn of_facts(facts: &AttachmentFacts) -> Attachment {
    if facts.terminating {
        Attachment::Deleted { held: facts.finalizers.contains(&facts.finalizer()) }
    } else {
        Attachment::Wanted { reported: facts.attached }
    }
}

/// A patch of something that is gone has nothing left to do.
pub(super) fn gone_is_fine(outcome: Result<orlop_objects::Object, orlop_client::Error>) -> Result<(), Error> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(404) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Machine {
    /// Ensures that a volume is not at its staging place. Refuses while a pod sees it.
    pub(crate) async fn unstage(
        &self,
        id: &VolumeId,
        name: &str,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let driver = self.driver(&id.driver)?;
        let _apart = self.lock(id).await;
        let (target, name) = (self.layout.staged(id), name.to_owned());
        if self.blocking(move |m| Ok(m.mounts()?.published(&name))).await? > 0 {
            return Err(Error::Refused(format!("volume {id} is still published to a pod")));
        }
        driver.unstage(volume_ref(id, &attributes), target.clone()).await?;
        self.blocking(move |m| {
            m.ensure_no_dir(&target)?;
            target.parent().map_or(Ok(()), |parent| m.ensure_no_dir(parent))
        })
        .await
    }

    /// Ensures that a volume is not attached.
    pub(crate) async fn detach(
        &self,
        id: &VolumeId,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let driver = self.driver(&id.driver)?;
        if driver.capabilities().attach == Attach::Node {
            driver.detach(volume_ref(id, &attributes)).await?;
        }
        Ok(())
    }

    /// Ensures that a directory, which must be empty, is not there.
    pub(crate) fn ensure_no_dir(&self, path: &std::path::Path) -> Result<(), Error> {
        if self.host.file(path)?.is_some() {
            self.host.remove_dir(path)?;
        }
        Ok(())
    }
}

/// How long a driver may take for this step.
pub(super) const CALL: std::time::Duration = DEADLINE;
