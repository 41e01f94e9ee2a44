//! Volumes of node-local drivers come and go here: made for claims selected to this node, removed when released.
//!
//! Making is repeatable since the volume's name follows from the claim's uid; the intent is in the journal until the
//! PersistentVolume exists, so that a volume whose claim went away meanwhile is found and removed.
//!
//! That removal must not meet data: the end of the intent may be lost, and the PersistentVolume be gone again when this node
//! comes back, because somebody wanted the data kept. What stands in the journal then tells:
//!
//! | the volume can be used | its intent | nobody wants it, no PersistentVolume |
//! |---|---|---|
//! | here alone | stands | never attached: the end is before the intent to attach, which is synced (`attach`): removed |
//! | elsewhere too | says that it was not offered yet | empty: removed |
//! | elsewhere too | says that it was offered, synced before it was | may have been used: kept, and said so |

use std::collections::BTreeMap;

use orlop_backends::driver::{self, ClaimMeta, Code, Create, Reach, VolumeRef};
use orlop_objects::{Key, keeper, kind, quantity::Quantity};
use serde_json::{Value, json};

use super::volume::{CALL, Known};
use crate::{
    core::{Core, volume_key},
    error::Error,
    events::about,
    ids::VolumeId,
    journal::{Intent, Subject},
    machine::volume_ref,
    world::{ClaimFacts, PROVISIONER_FINALIZER, VolumeFacts},
};

type Class = k8s_openapi::api::storage::v1::StorageClass;

const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
const DEFAULT_FS: &str = "ext4";

impl Core {
    pub(super) async fn make(&self, id: &VolumeId) -> Result<(), Error> {
        let Some((claim, class)) = self.world().making(id) else { return Ok(()) };
        let outcome = self.make_for(id, &claim, &class).await;
        if let Err(error) = &outcome {
            let said = match error {
                Error::Driver(error) => error.message.clone(),
                error => error.chain(),
            };
            let message =
                format!("failed to provision volume with StorageClass \"{}\": {said}", class_name(&class));
            self.events.warning(about(&claim.object), "ProvisioningFailed", message);
            if let Error::Driver(error) = error {
                self.give_back(&claim, error.code).await;
            }
        }
        outcome
    }

    async fn make_for(&self, id: &VolumeId, claim: &ClaimFacts, class: &Class) -> Result<(), Error> {
        let driver = self.machine.driver(&id.driver)?;
        if !driver.capabilities().node_local {
            return Ok(());
        }
        let request = request(id, claim, class)?;
        let name = format!("{}/{}", claim.key.namespace, claim.key.name);
        let handle = driver.handle(&request)?;
        let attributes = driver.attributes(&request)?;
        let intent = |offered| Intent::Making {
            id: id.clone(),
            claim: name.clone(),
            handle: handle.clone(),
            attributes: attributes.clone(),
            offered,
        };
        let before = self.is_offered(id);
        self.machine.journal.begin(intent(before)).await?;
        let volume = driver.create(request).await?;
        let body = body(id, claim, class, &volume, &self.node);
        if volume.reach != Reach::Node {
            self.machine.journal.begin(intent(true)).await?;
        }
        let posted = self.client.create(&kind::PERSISTENT_VOLUME, "", &body).await;
        // A refusal is a promise that it was not posted; no answer is none.
        if posted
            .as_ref()
            .is_err_and(|e| !before && e.code().is_some_and(|code| (400..500).contains(&code) && code != 409))
        {
            self.machine.journal.begin(intent(false)).await?;
        }
        match posted {
            Ok(object) => {
                let key = object.key.clone();
                let work = self.world().apply(&key, Some(&std::sync::Arc::new(object)));
                work.into_iter().for_each(|w| self.queue.wake(w));
            }
            Err(error) if error.code() == Some(409) => self.check_posted(id, claim).await?,
            Err(error) => return Err(error.into()),
        }
        self.machine.journal.end(&Subject::Making(id.clone()));
        let message = format!("Successfully provisioned volume {}", id.handle);
        self.events.normal(about(&claim.object), "ProvisioningSucceeded", message);
        Ok(())
    }

    /// There is a PersistentVolume of that name: fine when an earlier attempt of ours, or another node, posted it.
    async fn check_posted(&self, id: &VolumeId, claim: &ClaimFacts) -> Result<(), Error> {
        let Some(object) = self.client.get(&volume_key(&id.handle)).await? else { return Ok(()) };
        let facts = VolumeFacts::of(&std::sync::Arc::new(object), &self.node)
            .map_err(|error| Error::Refused(crate::error::chain(&error)))?;
        let for_claim = facts.claim.as_ref().is_some_and(|c| c.uid == claim.uid);
        if !for_claim || facts.id.as_ref().is_none_or(|named| named.driver != id.driver) {
            return Err(Error::Refused(format!(
                "a PersistentVolume {} exists that is for something else; delete it",
                id.handle
            )));
        }
        self.drop_copy(id, &facts).await
    }

    /// Another node may have been chosen while this one was silent, and have made the volume on its own disk: then what
    /// was made here is nobody's.
    async fn drop_copy(&self, id: &VolumeId, posted: &VolumeFacts) -> Result<(), Error> {
        if posted.home().is_none_or(|home| home == self.node) {
            return Ok(());
        }
        let driver = self.machine.driver(&id.driver)?;
        Ok(driver.delete(self.being_made(id)).await?)
    }

    /// The PersistentVolume of what was being made exists.
    pub(super) async fn forget_making(&self, id: &VolumeId) -> Result<(), Error> {
        let posted = self.world().volume_named(&id.handle);
        if let Some(posted) = posted {
            self.drop_copy(id, &posted).await?;
        }
        self.machine.journal.end(&Subject::Making(id.clone()));
        Ok(())
    }

    /// A failure that this node cannot mend: the scheduler is asked to choose again.
    async fn give_back(&self, claim: &ClaimFacts, code: Code) {
        if !matches!(code, Code::ResourceExhausted | Code::OutOfRange | Code::InvalidArgument) {
            return;
        }
        let patch = json!({"metadata": {"uid": claim.uid, "annotations": {"volume.kubernetes.io/selected-node": null}}});
        if let Err(error) = self.client.patch(&claim.key, None, &patch).await {
            tracing::warn!(claim = %claim.key, error = crate::error::chain(&error), "give a claim back to the scheduler");
        }
    }

    /// Removes a volume that nobody wants any more and that has no PersistentVolume; asks the server once more before.
    pub(super) async fn unmake(&self, id: &VolumeId) -> Result<(), Error> {
        let found = self.client.get(&volume_key(&id.handle)).await;
        if found.as_ref().is_err_and(|error| error.code() == Some(403)) {
            // Whether it lies on that node's disk or in a directory that both see cannot be known from here.
            return Err(Error::Refused(format!(
                "PersistentVolume {} is another node's by now; what was made here is kept until that volume is gone",
                id.handle
            )));
        }
        match found? {
            None if self.is_offered(id) => tracing::warn!(
                volume = %id,
                handle = %self.being_made(id).handle,
                "kept: nobody wants this volume any more, but other nodes may have used it while this one was away; if its data \
                 is not needed, remove it by hand"
            ),
            None => {
                let driver = self.machine.driver(&id.driver)?;
                driver.delete(self.being_made(id)).await?;
            }
            Some(object) => {
                let posted = VolumeFacts::of(&std::sync::Arc::new(object), &self.node)
                    .map_err(|error| Error::Refused(crate::error::chain(&error)))?;
                self.drop_copy(id, &posted).await?;
            }
        }
        self.machine.journal.end(&Subject::Making(id.clone()));
        Ok(())
    }

    /// Whether a volume that was being made may have been used by other nodes.
    fn is_offered(&self, id: &VolumeId) -> bool {
        let making = self.machine.journal.find(&Subject::Making(id.clone()));
        matches!(making, Some(Intent::Making { offered: true, .. }))
    }

    /// A volume that is being made, as its driver is asked about it.
    fn being_made(&self, id: &VolumeId) -> VolumeRef {
        match self.machine.journal.find(&Subject::Making(id.clone())) {
            Some(Intent::Making { handle, attributes, .. }) if !handle.is_empty() => {
                volume_ref(&VolumeId::new(&id.driver, handle), &attributes)
            }
            _ => volume_ref(id, &BTreeMap::new()),
        }
    }

    /// Removes a released volume's data, after a last look at whether it still is to be removed.
    pub(super) async fn delete_data(&self, known: &Known) -> Result<(), Error> {
        let Some(volume) = &known.volume else { return Ok(()) };
        let key: Key = volume_key(&volume.name);
        let Some(object) = self.client.get(&key).await? else { return Ok(()) };
        let now = VolumeFacts::of(&std::sync::Arc::new(object), &self.node)
            .map_err(|error| Error::Refused(crate::error::chain(&error)))?;
        if !now.to_delete || now.object.meta.uid != volume.object.meta.uid || now.id != volume.id {
            return Err(Error::Refused(format!(
                "volume {} changed while its removal was planned",
                volume.name
            )));
        }
        let driver = self.machine.driver(&known.id.driver)?;
        let volume = volume_ref(&known.id, &now.attributes);
        self.fence(driver.as_ref(), &volume).await?;
        driver.delete(volume).await?;
        Ok(())
    }
}

fn class_name(class: &Class) -> &str {
    class.metadata.name.as_deref().unwrap_or_default()
}

fn fs_type(class: &Class) -> Option<String> {
    let parameters = class.parameters.as_ref()?;
    parameters.get(FS_TYPE).or_else(|| parameters.get("fsType")).cloned()
}

fn request(id: &VolumeId, claim: &ClaimFacts, class: &Class) -> Result<Create, Error> {
    let refused = |message: String| {
        Error::Driver(driver::Error {
            operation: "create",
            volume: id.handle.clone(),
            message,
            code: Code::InvalidArgument,
            source: None,
        })
    };
    if claim.volume_mode.as_deref() == Some("Block") {
        return Err(refused(format!("volumeMode Block is not offered by {}; ask for Filesystem", id.driver)));
    }
    let bytes = claim.bytes.ok_or_else(|| {
        refused("spec.resources.requests.storage is more than 16 EiB; ask for less".to_owned())
    })?;
    // Kubernetes' own keys tell the caller something, not the driver.
    let parameters = class.parameters.clone().unwrap_or_default();
    let parameters =
        parameters.into_iter().filter(|(key, _)| !key.starts_with("csi.storage.k8s.io/")).collect();
    Ok(Create {
        name: id.handle.clone(),
        bytes,
        fs_type: fs_type(class),
        parameters,
        provisioner: class.provisioner.clone(),
        mount_options: class.mount_options.clone().unwrap_or_default(),
        claim: ClaimMeta {
            namespace: claim.key.namespace.clone(),
            name: claim.key.name.clone(),
            labels: claim.object.meta.labels.clone(),
            annotations: claim.annotations.clone(),
            access_modes: claim.modes.clone(),
        },
        deadline: CALL,
    })
}

/// What a volume holds when its class says nothing; a share of a file server is what it is.
fn default_fs(driver: &str) -> Option<String> {
    (driver != orlop_objects::nfs::DRIVER).then(|| DEFAULT_FS.to_owned())
}

/// The node affinity of a volume that `node` has made.
fn affinity(reach: &Reach, node: &str) -> Option<Value> {
    let (key, value) = match reach {
        Reach::Node => (keeper::HOSTNAME, node),
        Reach::Topology { key, value } => (key.as_str(), value.as_str()),
        Reach::Everywhere => return None,
    };
    let has = json!({"key": key, "operator": "In", "values": [value]});
    Some(json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [has]}]}}))
}

fn body(id: &VolumeId, claim: &ClaimFacts, class: &Class, volume: &driver::Volume, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": id.handle,
            "annotations": {keeper::PROVISIONED_BY: id.driver, keeper::KEEPER: node},
            "finalizers": [PROVISIONER_FINALIZER],
        },
        "spec": {
            "accessModes": claim.modes,
            "capacity": {"storage": Quantity::of_bytes(volume.bytes).to_string()},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.key.namespace, "name": claim.key.name, "uid": claim.uid,
            },
            "csi": {
                "driver": id.driver, "volumeHandle": volume.handle,
                "fsType": fs_type(class).or_else(|| default_fs(&id.driver)),
                "volumeAttributes": volume.attributes,
            },
            "mountOptions": class.mount_options,
            "nodeAffinity": affinity(&volume.reach, node),
            "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
            "storageClassName": class_name(class),
            "volumeMode": claim.volume_mode.as_deref().unwrap_or("Filesystem"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_affinity_follows_from_the_reach() {
        let term = |key: &str, value: &str| {
            let has = json!({"key": key, "operator": "In", "values": [value]});
            Some(json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [has]}]}}))
        };
        assert_eq!(affinity(&Reach::Node, "n1"), term("kubernetes.io/hostname", "n1"));
        let pool = Reach::Topology { key: "topology.orlop.dev/pool-fast".into(), value: "1f".into() };
        assert_eq!(affinity(&pool, "n1"), term("topology.orlop.dev/pool-fast", "1f"));
        assert_eq!(affinity(&Reach::Everywhere, "n1"), None);
    }
}
