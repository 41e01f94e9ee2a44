//! Carrying out a pod's plan: group by group, the steps of a group at the same time.

use std::{net::Ipv4Addr, sync::Arc};

use tokio::time::Instant;

use super::{
    Failure,
    pod::{PodMemory, View},
};
use crate::{
    core::Core,
    error::Error,
    journal::{Intent, PodIntent, VolumeIntent},
    machine::Machine,
    network::State,
    plan::pod::{Goal, Plan, Step, Wire},
    slow,
    world::{Source, Work},
};

impl Core {
    /// Carries out a plan; true when something failed or is held back, so that looking again at once would not help.
    pub(super) async fn carry_out_pod(
        self: &Arc<Self>,
        view: &View,
        plan: &Plan,
        memory: &mut PodMemory,
    ) -> bool {
        if let Err(error) = self.record(view).await {
            tracing::error!(pod = view.uid, error = error.chain(), "nothing is done for the pod");
            let count = memory.unrecorded.as_ref().map_or(0, |f| f.count);
            memory.unrecorded = Some(Failure::again(count, "", error.chain()));
            return true;
        }
        memory.unrecorded = None;
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
                let outcome = slow::told(&view.uid, &step, self.pod_step(view, &step)).await;
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
            address: view.intent.as_ref().and_then(|intent| intent.address),
        };
        match self.leases.state() {
            State::On(on)
                if view.want.wire == Wire::Cable && !intent.address.is_some_and(|a| on.range.contains(a)) =>
            {
                self.lease(intent, on.range).await
            }
            _ => self.machine.journal.begin(Intent::Pod(intent)).await,
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
                let (Some(pod), Some(volume)) = (&view.pod, view.volumes.iter().find(|v| v.name == *name))
                else {
                    return Ok(Done::Quiet);
                };
                self.publish(pod, &volume.source).await?;
            }
            Step::Unpublish(name) => {
                let known = view.intent.as_ref().and_then(|i| i.volumes.iter().find(|v| v.name == *name));
                // At the same time: a server that is gone costs the pod's end what it costs to notice that.
                let asked = async { machine.silent_server(known?).await };
                let (silent, taken) = tokio::join!(asked, machine.unpublish(&uid, name, known));
                taken?;
                if let (Some(intent), Some(why)) = (known, silent) {
                    self.tell_silent_server(view, intent, &why);
                }
            }
            Step::Launch(_) => {
                machine.ask_servers(&uid, &view.volumes).await?;
                return self.container_step(view, step).await;
            }
            Step::Prepare(_) | Step::Signal { .. } => {
                return self.container_step(view, step).await;
            }
            Step::Pin => {
                let Some(pod) = view.pod.clone() else { return Ok(Done::Quiet) };
                machine.blocking(move |m| m.pin(&pod)).await?;
                self.connect(view).await?;
            }
            Step::Connect => self.connect(view).await?,
            Step::MakeEmpty(name) => {
                let source = view.volumes.iter().find(|v| v.name == *name).map(|v| v.source.clone());
                let (Some(Source::Empty { memory, limit }), name) = (source, name.clone()) else {
                    return Ok(Done::Quiet);
                };
                machine.blocking(move |m| m.make_empty(&uid, &name, memory, limit)).await?;
            }
            Step::BindHost(name) => {
                let source = view.volumes.iter().find(|v| v.name == *name).map(|v| v.source.clone());
                let (Some(Source::HostPath { path, kind, .. }), name) = (source, name.clone()) else {
                    return Ok(Done::Quiet);
                };
                machine.blocking(move |m| m.bind_host(&uid, &name, path, &kind)).await?;
            }
            Step::Clean(_)
            | Step::Forget { .. }
            | Step::RemoveEmpty(_)
            | Step::UnbindHost(_)
            | Step::Unpin
            | Step::RemovePlace
            | Step::RemoveLogs => {
                let (step, logs) = (step.clone(), view.logs.clone());
                machine.blocking(move |m| m.tear_down_step(&uid, logs.as_deref(), &step)).await?;
            }
        }
        Ok(Done::Quiet)
    }

    /// Ensures that the pod has its cable, where it is to have one.
    async fn connect(&self, view: &View) -> Result<(), Error> {
        let (uid, address) = (view.uid.clone(), self.pod_address(&view.uid));
        let (State::On(on), Wire::Cable, Some(address)) = (self.leases.state(), &view.want.wire, address)
        else {
            return Ok(());
        };
        let connected = self.machine.blocking(move |m| m.connect(&uid, address, &on)).await;
        if connected.is_err() {
            // Perhaps somebody has removed the bridge.
            self.leases.doubt();
            self.queue.wake(Work::Network);
        }
        connected
    }

    /// The address that is a pod's alone.
    pub(super) fn pod_address(&self, uid: &str) -> Option<Ipv4Addr> {
        self.machine.journal.pod(uid)?.address
    }

    async fn container_step(&self, view: &View, step: &Step) -> Result<Done, Error> {
        let (pod, step, volumes) = (view.pod.clone(), step.clone(), view.volumes.clone());
        let (node, address) = (self.node.clone(), self.address.clone());
        let own =
            self.pod_address(&view.uid).filter(|_| view.want.wire == Wire::Cable).map(|a| a.to_string());
        self.machine
            .blocking(move |m| {
                let place = crate::pods::env::Place { node: &node, address: &address, own: own.as_deref() };
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

impl Machine {
    /// Steps that take something away and need neither a driver nor the API. Blocks.
    pub(crate) fn tear_down_step(
        &self,
        uid: &str,
        logs: Option<&std::path::Path>,
        step: &Step,
    ) -> Result<(), Error> {
        match step {
            Step::Clean(id) => super::container::clean(self, id),
            Step::Forget { id, log } => {
                let file =
                    logs.filter(|_| *log).map(|d| d.join(&id.container).join(format!("{}.log", id.attempt)));
                super::container::forget(self, file.as_deref(), id)
            }
            Step::RemoveEmpty(name) => self.remove_empty(uid, name),
            Step::UnbindHost(name) => Ok(self.host.unbind_path(&self.layout.host_path(uid, name))?),
            Step::Unpin => self.unpin(uid),
            Step::RemovePlace => self.remove_place(uid),
            Step::RemoveLogs => logs.map_or(Ok(()), |dir| self.remove_logs(dir)),
            _ => Ok(()),
        }
    }
}
