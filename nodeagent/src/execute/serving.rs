//! Volumes that this node keeps for others: served and exported as long as they exist, and told of.
//!
//! What may be here of them is on record with their driver, from before the first effect to the removal of their data, so
//! that the journal need not know them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use orlop_backends::driver::{Code, Driver, Served, Serving, VolumeRef};
use orlop_objects::exports::{EXPORT_ERROR, EXPORTED_TO, print};
use serde_json::json;
use tokio::task::JoinSet;

use super::volume::Known;
use crate::{
    core::{Core, volume_key},
    error::Error,
    events::{about, about_node},
    ids::VolumeId,
    machine::{Machine, volume_ref},
    plan::volume::Step,
    world::{VolumeFacts, Work},
};

/// How long a server's end is waited for at a time.
const PULSE: Duration = Duration::from_secs(2);

impl Core {
    /// The PersistentVolume, when it is an export that this node keeps.
    pub(super) fn kept<'a>(&self, known: &'a Known) -> Option<&'a Arc<VolumeFacts>> {
        known.volume.as_ref().filter(|v| v.export.as_ref().is_some_and(|export| export.keeper == self.node))
    }

    /// Why this node cannot mount an export that another keeps.
    pub(super) fn shut_out(&self, known: &Known) -> Option<String> {
        let export = known.volume.as_ref()?.export.as_ref().filter(|export| export.keeper != self.node)?;
        export.shuts_out(&self.address)
    }

    /// | the volume | looked at |
    /// |---|---|
    /// | its driver serves nothing | no |
    /// | the API or the journal knows it | when this node is to serve it |
    /// | both have forgotten it | when its driver has a record of it |
    pub(super) async fn look_at_serving(&self, known: &Known) -> Result<Served, Error> {
        let driver = self.machine.driver(&known.id.driver);
        let Some(serving) = driver.as_ref().ok().and_then(|driver| driver.serving()) else {
            return Ok(Served::default());
        };
        let is_served = match known.is_forgotten() {
            true => serving.served().await?.contains(&known.id.handle),
            false => serving.serves(&volume_ref(&known.id, &known.attributes())),
        };
        if !is_served {
            return Ok(Served::default());
        }
        let export = known.volume.as_ref().and_then(|volume| volume.export.as_ref());
        let clients = export.map(|export| export.clients.clone()).unwrap_or_default();
        Ok(serving.look(volume_ref(&known.id, &known.attributes()), clients).await?)
    }

    pub(super) async fn serve(&self, known: &Known) -> Result<(), Error> {
        let driver = self.machine.driver(&known.id.driver)?;
        Ok(serving(&*driver)?.serve(volume_ref(&known.id, &known.attributes())).await?)
    }

    pub(super) async fn export(&self, known: &Known) -> Result<(), Error> {
        let Some(export) = self.kept(known).and_then(|volume| volume.export.as_ref()) else { return Ok(()) };
        let driver = self.machine.driver(&known.id.driver)?;
        let volume = volume_ref(&known.id, &known.attributes());
        Ok(serving(&*driver)?.export(volume, export.clients.clone()).await?)
    }

    /// Says in the PersistentVolume who can mount it now.
    pub(super) async fn tell_exported(&self, known: &Known) -> Result<(), Error> {
        let Some(volume) = self.kept(known) else { return Ok(()) };
        let Some(export) = &volume.export else { return Ok(()) };
        let to = (!export.clients.is_empty()).then(|| print(&export.clients));
        let patch = json!({"metadata": {"uid": volume.object.meta.uid,
            "annotations": {EXPORTED_TO: to, EXPORT_ERROR: null}}});
        self.learn(self.client.patch(&volume_key(&volume.name), None, &patch).await?);
        Ok(())
    }

    /// Tells the claim that its volume is not served, or not exported, and other nodes why they cannot mount it.
    pub(super) fn tell_not_served(&self, volume: &VolumeFacts, step: Step, error: &Error) {
        let said = match error {
            // Others come first; it is not long.
            Error::Driver(error) if error.code == Code::Aborted => return,
            Error::Driver(error) => error.message.clone(),
            error => error.chain(),
        };
        if let Some(claim) = self.world().claim_of(volume) {
            let text = match step {
                Step::Serve => {
                    format!("volume \"{}\" cannot be mounted on its node {}: {said}", volume.name, self.node)
                }
                _ => format!(
                    "pods on node {} can use volume \"{}\", pods on other nodes cannot: {said}",
                    self.node, volume.name
                ),
            };
            self.events.warning(about(&claim.object), "ExportFailed", text);
        }
        if step == Step::Serve {
            let text = format!("MountVolume.MountDevice failed for volume \"{}\" : {said}", volume.name);
            let users = self.world().users(volume);
            users.iter().for_each(|pod| self.events.warning(about(&pod.object), "FailedMount", text.clone()));
        }
        self.report_not_exported(volume, &said);
    }

    /// Says in the PersistentVolume why other nodes cannot mount it. While there are none, nobody asks.
    fn report_not_exported(&self, volume: &VolumeFacts, said: &str) {
        let Some(export) = &volume.export else { return };
        if export.error == said || (export.clients.is_empty() && export.exported_to.is_empty()) {
            return;
        }
        let (client, key) = (self.client.clone(), volume_key(&volume.name));
        let patch = json!({"metadata": {"uid": volume.object.meta.uid,
            "annotations": {EXPORTED_TO: null, EXPORT_ERROR: said}}});
        tokio::spawn(async move {
            if let Err(error) = client.patch(&key, None, &patch).await {
                tracing::warn!(volume = %key, error = crate::error::chain(&error), "report a failed export");
            }
        });
    }

    /// Tells the pods that wait for a volume whose keeper does not let this node in.
    pub(super) fn tell_shut_out(&self, known: &Known) {
        let (Some(volume), Some(why)) = (&known.volume, self.shut_out(known)) else { return };
        let text = format!("MountVolume.MountDevice failed for volume \"{}\" : {why}", volume.name);
        let users = self.world().users(volume);
        users.iter().for_each(|pod| self.events.warning(about(&pod.object), "FailedMount", text.clone()));
    }
}

fn serving(driver: &dyn Driver) -> Result<&dyn Serving, Error> {
    driver
        .serving()
        .ok_or_else(|| Error::Refused(format!("driver {} serves nothing to other nodes", driver.name())))
}

impl Machine {
    /// All volumes of which anything may be served here.
    pub(crate) async fn served(&self) -> Result<Vec<VolumeId>, Error> {
        let mut all = Vec::new();
        for driver in self.drivers.values() {
            let Some(serving) = driver.serving() else { continue };
            let handles = serving.served().await?;
            all.extend(handles.into_iter().map(|handle| VolumeId::new(driver.name(), handle)));
        }
        Ok(all)
    }

    /// Ensures that a volume is not served.
    pub(crate) async fn unserve(&self, id: &VolumeId) -> Result<(), Error> {
        let driver = self.driver(&id.driver)?;
        let _apart = self.lock(id).await;
        let volume: VolumeRef = volume_ref(id, &BTreeMap::new());
        Ok(serving(&*driver)?.unserve(volume).await?)
    }

    /// Takes down all that is served, to be served again by the next agent.
    pub(crate) async fn rest(&self) -> Result<(), Error> {
        for driver in self.drivers.values() {
            if let Some(serving) = driver.serving() {
                serving.rest().await?;
            }
        }
        Ok(())
    }
}

/// Looks after the servers of all drivers that have one: when one dies, what it served is looked at anew.
pub(crate) fn watch(core: &Arc<Core>, tasks: &mut JoinSet<()>) {
    for driver in core.machine.drivers.values().filter(|driver| driver.serving().is_some()) {
        tasks.spawn(follow(Arc::downgrade(core), driver.clone()));
    }
}

async fn follow(core: std::sync::Weak<Core>, driver: Arc<dyn Driver>) {
    while let Some(serving) = driver.serving() {
        let ended = serving.server_ends(PULSE).await;
        let Some(core) = core.upgrade() else { return };
        match ended {
            Ok(false) => {}
            Ok(true) => {
                core.tell_server_ended();
                if let Err(error) = core.wake_served(&*driver).await {
                    tracing::warn!(error = error.chain(), "look for what is served");
                }
                // Whoever was woken starts it; until then it has ended as before.
                tokio::time::sleep(PULSE).await;
            }
            Err(error) => {
                tracing::warn!(error = crate::error::chain(&error), "watch a server");
                tokio::time::sleep(PULSE).await;
            }
        }
    }
}

impl Core {
    async fn wake_served(&self, driver: &dyn Driver) -> Result<(), Error> {
        let handles = serving(driver)?.served().await?;
        let all = handles.into_iter().map(|handle| VolumeId::new(driver.name(), handle));
        all.for_each(|id| self.queue.wake(Work::Volume(id)));
        Ok(())
    }

    fn tell_server_ended(&self) {
        let text = "the NFS server that exports this node's volumes has ended by itself and is started again; pods on \
                    other nodes go on when it has heard of all its clients. What it said last is in the agent's data \
                    directory, nfs/ganesha.log";
        tracing::warn!(node = self.node, "the NFS server has ended by itself");
        self.events.warning(about_node(&self.node), "NfsServerEnded", text);
    }
}
