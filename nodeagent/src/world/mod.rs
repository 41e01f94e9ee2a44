//! What should be: the API's objects that concern this node, parsed once when they change, with ways between them.
//!
//! ```text
//!  pod ──claim name──► claim ──spec.volumeName──► PersistentVolume ──driver, handle──► volume
//!                        ▲                             │  ▲
//!                        └──────── claimRef.uid ───────┘  └── VolumeAttachment of this node
//! ```
//!
//! [`World::apply`] takes one changed object and answers whose work it may change. Owns nothing on the machine; must not
//! know: the kernel, the journal, how steps are carried out.

mod by_hand;
mod claim;
mod node;
mod pod;
mod volume;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::api::{core::v1 as core, storage::v1 as storage};
use orlop_objects::{DecodeError, Key, Object, Revision, kind};

pub use claim::ClaimFacts;
pub use node::NodeFacts;
pub use pod::{PodFacts, PodVolume, Resolved, Source};
pub use volume::{AttachmentFacts, ExportFacts, PROVISIONER_FINALIZER, VolumeFacts};

use crate::{ids::VolumeId, network};

/// Whose state may have to change: one key, one task at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A volume: making, attaching, staging and back.
    Volume(VolumeId),
    /// A pod, by uid.
    Pod(String),
    /// This node's bridge and routes.
    Network,
}

/// The API's objects that concern this node.
#[derive(Debug, Default)]
pub struct World {
    node: String,
    pods: BTreeMap<String, Arc<PodFacts>>,
    claims: BTreeMap<(String, String), Arc<ClaimFacts>>,
    volumes: BTreeMap<String, Arc<VolumeFacts>>,
    attachments: BTreeMap<String, Arc<AttachmentFacts>>,
    classes: BTreeMap<String, Arc<storage::StorageClass>>,
    nodes: BTreeMap<String, Arc<NodeFacts>>,
    /// Names of PersistentVolumes by what their driver calls them, the one that was created first in front: it has the
    /// volume, and nothing is done for others that name the same handle.
    handles: HashMap<VolumeId, Vec<String>>,
    /// Volumes that pods name by server and path.
    by_pods: BTreeMap<VolumeId, Arc<VolumeFacts>>,
    /// Claims of this node that wait for their volume to be made, by the volume's future name.
    making: BTreeMap<VolumeId, (String, String)>,
    /// The version of each object that was taken in last.
    versions: HashMap<Key, Revision>,
    /// Objects whose newest version cannot be read, with their uids: unknown, not gone.
    unreadable: BTreeMap<Key, String>,
}

impl World {
    /// Nothing yet, for the node of this name.
    pub fn new(node: impl Into<String>) -> Self {
        Self { node: node.into(), ..Self::default() }
    }

    /// Takes in one object as it is now (`None`: it is gone) and answers whose work that may change.
    pub fn apply(&mut self, key: &Key, object: Option<&Arc<Object>>) -> BTreeSet<Work> {
        if let Some(object) = object {
            let version = self.versions.entry(key.clone()).or_default();
            // A mirror that lags behind the answer to a write of ours, or repeats it, tells nothing new.
            if object.revision <= *version {
                return BTreeSet::new();
            }
            *version = object.revision;
        } else {
            self.versions.remove(key);
        }
        // What it concerned before matters as much: a pod that goes was somebody's work.
        let mut work = self.concern(key);
        work.extend(self.unreadable.remove(key).map(|uid| self.held_back_by(key, uid)).unwrap_or_default());
        if let (Err(error), Some(object)) = (self.take_in(key, object), object) {
            // The registry let it in, so it is a fault of ours. What was known of it stays as it was.
            tracing::error!(object = %key, error = crate::error::chain(&error), "cannot read an object");
            self.unreadable.insert(key.clone(), object.meta.uid.clone());
        }
        work.extend(self.concern(key));
        work
    }

    /// What was left alone while an object could not be read.
    fn held_back_by(&self, key: &Key, uid: String) -> BTreeSet<Work> {
        if *key.kind == kind::POD { BTreeSet::from([Work::Pod(uid)]) } else { self.all() }
    }

    /// Whether what is wanted of this pod cannot be known: then nothing of it is taken down.
    pub fn is_unreadable(&self, pod_uid: &str) -> bool {
        self.unreadable.iter().any(|(key, uid)| *key.kind == kind::POD && uid == pod_uid)
    }

    /// Whether what is wanted of some volume cannot be known: then none is taken down.
    pub fn has_unreadable_volumes(&self) -> bool {
        let kinds = [&kind::PERSISTENT_VOLUME, &kind::VOLUME_ATTACHMENT];
        self.unreadable.keys().any(|key| kinds.contains(&key.kind))
    }

    /// Takes in a newer version of an object that is known; one that is gone stays gone.
    pub fn refresh(&mut self, object: &Arc<Object>) -> BTreeSet<Work> {
        match self.versions.get(&object.key) {
            Some(version) if *version < object.revision => self.apply(&object.key, Some(object)),
            _ => BTreeSet::new(),
        }
    }

    /// Replaces what is known of an object. One that cannot be read replaces nothing.
    fn take_in(&mut self, key: &Key, object: Option<&Arc<Object>>) -> Result<(), DecodeError> {
        if *key.kind == kind::POD {
            let facts = object.map(PodFacts::of).transpose()?;
            self.pods.retain(|_, pod| pod.key != *key);
            self.pods.extend(facts.map(|pod| (pod.uid.clone(), Arc::new(pod))));
            self.by_pods = by_hand::of_pods(self.pods.values());
        } else if *key.kind == kind::PERSISTENT_VOLUME_CLAIM {
            let facts = object.map(ClaimFacts::of).transpose()?;
            let name = (key.namespace.clone(), key.name.clone());
            self.claims.remove(&name);
            self.claims.extend(facts.map(|claim| (name, Arc::new(claim))));
            self.find_making();
        } else if *key.kind == kind::PERSISTENT_VOLUME {
            let facts = object.map(|o| VolumeFacts::of(o, &self.node)).transpose()?;
            self.replace_volume(&key.name, facts);
        } else if *key.kind == kind::VOLUME_ATTACHMENT {
            let facts = object.map(AttachmentFacts::of).transpose()?;
            self.attachments.retain(|_, attachment| attachment.key != *key);
            let here = facts.filter(|a| a.node == self.node);
            self.attachments.extend(here.map(|a| (a.volume.clone(), Arc::new(a))));
        } else if *key.kind == kind::STORAGE_CLASS {
            let class = object.map(|o| o.typed()).transpose()?;
            self.classes.remove(&key.name);
            self.classes.extend(class.map(|class| (key.name.clone(), Arc::new(class))));
            self.find_making();
        } else if *key.kind == kind::NODE {
            let facts = object.map(NodeFacts::of).transpose()?;
            self.nodes.remove(&key.name);
            self.nodes.extend(facts.map(|node| (key.name.clone(), Arc::new(node))));
        }
        Ok(())
    }

    fn replace_volume(&mut self, name: &str, facts: Option<VolumeFacts>) {
        if let Some(id) = self.volumes.remove(name).and_then(|v| v.id.clone()) {
            let names = self.handles.entry(id.clone()).or_default();
            names.retain(|other| other != name);
            if names.is_empty() {
                self.handles.remove(&id);
            }
        }
        let Some(volume) = facts else { return };
        let id = volume.id.clone();
        self.volumes.insert(name.to_owned(), Arc::new(volume));
        if let Some(id) = id {
            self.hold_handle(id, name);
        }
    }

    fn hold_handle(&mut self, id: VolumeId, name: &str) {
        let volumes = &self.volumes;
        let age = |name: &String| {
            (volumes.get(name).map(|v| v.object.meta.creation_timestamp.clone()), name.clone())
        };
        let names = self.handles.entry(id).or_default();
        names.push(name.to_owned());
        names.sort_by_cached_key(age);
    }

    /// Claims whose volume is to be made here: their `selected-node` is this one and no volume is named yet.
    fn find_making(&mut self) {
        let wanting = self.claims.iter().filter(|(_, claim)| claim.wants_volume_on(&self.node));
        self.making = wanting
            .filter_map(|(name, claim)| {
                let class = self.classes.get(claim.class.as_deref()?)?;
                let driver = orlop_objects::nfs::driver_of(&class.provisioner);
                Some((VolumeId::new(driver, claim.volume_to_make()), name.clone()))
            })
            .collect();
    }

    /// Whose work an object concerns as it is now.
    fn concern(&self, key: &Key) -> BTreeSet<Work> {
        if *key.kind == kind::POD {
            let pod = self.pods.values().find(|pod| pod.key == *key);
            return pod.map(|pod| self.work_of_pod(pod)).unwrap_or_default();
        }
        if *key.kind == kind::PERSISTENT_VOLUME_CLAIM {
            return self.work_of_claim(&(key.namespace.clone(), key.name.clone()));
        }
        if *key.kind == kind::NODE {
            return BTreeSet::from([Work::Network]);
        }
        if *key.kind == kind::STORAGE_CLASS {
            return self.making.keys().cloned().map(Work::Volume).collect();
        }
        let name = if *key.kind == kind::PERSISTENT_VOLUME {
            Some(&key.name)
        } else {
            self.attachments.values().find(|a| a.key == *key).map(|a| &a.volume)
        };
        name.and_then(|name| self.volumes.get(name)).map(|v| self.work_of_volume(v)).unwrap_or_default()
    }

    fn work_of_pod(&self, pod: &PodFacts) -> BTreeSet<Work> {
        let mut work = BTreeSet::from([Work::Pod(pod.uid.clone())]);
        for claim in pod.claims() {
            let claim = self.claims.get(&(pod.key.namespace.clone(), claim.to_owned()));
            let volume = claim.and_then(|c| self.volumes.get(c.volume.as_deref()?));
            work.extend(volume.and_then(|v| v.id.clone()).map(Work::Volume));
        }
        work.extend(by_hand::of_pod(pod).filter_map(|v| v.id).map(Work::Volume));
        work
    }

    fn work_of_claim(&self, name: &(String, String)) -> BTreeSet<Work> {
        let mut work: BTreeSet<Work> =
            self.pods_of_claim(name).map(|pod| Work::Pod(pod.uid.clone())).collect();
        let made = self.making.iter().filter(|(_, claim)| *claim == name);
        work.extend(made.map(|(id, _)| Work::Volume(id.clone())));
        let claim = self.claims.get(name);
        let volume = claim.and_then(|c| self.volumes.get(c.volume.as_deref()?));
        work.extend(volume.and_then(|v| v.id.clone()).map(Work::Volume));
        work
    }

    fn work_of_volume(&self, volume: &VolumeFacts) -> BTreeSet<Work> {
        let mut work: BTreeSet<Work> = volume.id.clone().map(Work::Volume).into_iter().collect();
        if let Some(claim) = &volume.claim {
            let name = (claim.namespace.clone(), claim.name.clone());
            work.extend(self.pods_of_claim(&name).map(|pod| Work::Pod(pod.uid.clone())));
        }
        work
    }

    fn pods_of_claim<'a>(&'a self, name: &'a (String, String)) -> impl Iterator<Item = &'a Arc<PodFacts>> {
        self.pods
            .values()
            .filter(move |pod| pod.key.namespace == name.0 && pod.claims().any(|claim| claim == name.1))
    }

    /// The pod with this uid.
    pub fn pod(&self, uid: &str) -> Option<Arc<PodFacts>> {
        self.pods.get(uid).cloned()
    }

    /// The pod of this name.
    pub fn pod_named(&self, namespace: &str, name: &str) -> Option<Arc<PodFacts>> {
        self.pods.values().find(|pod| pod.key.namespace == namespace && pod.key.name == name).cloned()
    }

    /// The PersistentVolume of a volume.
    pub fn volume(&self, id: &VolumeId) -> Option<Arc<VolumeFacts>> {
        match self.handles.get(id) {
            Some(names) => self.volumes.get(names.first()?).cloned(),
            None => self.by_pods.get(id).cloned(),
        }
    }

    /// The PersistentVolume of this name.
    pub fn volume_named(&self, name: &str) -> Option<Arc<VolumeFacts>> {
        self.volumes.get(name).cloned()
    }

    /// Whether what was to be made under this name has a PersistentVolume, whatever handle its driver gave it.
    pub fn is_made(&self, id: &VolumeId) -> bool {
        self.volumes.get(&id.handle).is_some_and(|volume| {
            let claim = volume.claim.as_ref().is_some_and(|claim| id.handle == claim::volume_of(&claim.uid));
            claim && volume.id.as_ref().is_some_and(|named| named.driver == id.driver)
        })
    }

    /// The attachment of a PersistentVolume to this node.
    pub fn attachment(&self, volume: &str) -> Option<Arc<AttachmentFacts>> {
        self.attachments.get(volume).cloned()
    }

    /// The claim that wants this volume to be made here, with its class.
    pub fn making(&self, id: &VolumeId) -> Option<(Arc<ClaimFacts>, Arc<storage::StorageClass>)> {
        let claim = self.claims.get(self.making.get(id)?)?;
        Some((claim.clone(), self.classes.get(claim.class.as_deref()?)?.clone()))
    }

    /// The claim that a volume is bound to.
    pub fn claim_of(&self, volume: &VolumeFacts) -> Option<Arc<ClaimFacts>> {
        let claim = volume.claim.as_ref()?;
        let claim = self.claims.get(&(claim.namespace.clone(), claim.name.clone()))?;
        claim.holds(volume).then(|| claim.clone())
    }

    /// Pods that want to see this volume.
    pub fn users(&self, volume: &VolumeFacts) -> Vec<Arc<PodFacts>> {
        let Some(claim) = &volume.claim else { return self.naming(volume) };
        let name = (claim.namespace.clone(), claim.name.clone());
        let held = self.claims.get(&name).is_some_and(|c| c.holds(volume));
        self.pods_of_claim(&name).filter(|pod| held && pod.wants_to_run()).cloned().collect()
    }

    /// Pods that want to see a volume that they name by server and path.
    fn naming(&self, volume: &VolumeFacts) -> Vec<Arc<PodFacts>> {
        let names_it = |pod: &&Arc<PodFacts>| {
            pod.wants_to_run() && by_hand::of_pod(pod).any(|named| named.id == volume.id)
        };
        match &volume.id {
            Some(id) if self.by_pods.contains_key(id) => {
                self.pods.values().filter(names_it).cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<Arc<NodeFacts>> {
        self.nodes.get(name).cloned()
    }

    /// What is wanted of this node's network.
    pub fn network(&self, instance: &str) -> network::plan::Want {
        let own = self.nodes.get(&self.node);
        let others = self.nodes.values().filter(|node| node.name != self.node);
        let mut peers: Vec<_> = others
            .filter_map(|node| Some(network::plan::Peer { range: node.range?, address: node.address }))
            .collect();
        peers.sort();
        network::plan::Want {
            instance: instance.to_owned(),
            range: own.and_then(|node| node.range),
            address: own.and_then(|node| node.address),
            peers,
        }
    }

    /// All work there is.
    pub fn all(&self) -> BTreeSet<Work> {
        let pods = self.pods.keys().cloned().map(Work::Pod);
        let volumes = self.volumes.values().filter_map(|v| v.id.clone());
        let others = self.making.keys().chain(self.by_pods.keys()).cloned();
        pods.chain(volumes.chain(others).map(Work::Volume)).collect()
    }

    /// Where each of a pod's volumes comes from.
    pub fn resolve(&self, pod: &PodFacts) -> Vec<Resolved> {
        let volumes = pod.volumes();
        volumes.into_iter().map(|v| Resolved { source: self.source(pod, &v), name: v.name }).collect()
    }

    fn by_server_and_path(&self, id: &VolumeId, read_only: bool) -> Source {
        match self.volume(id) {
            Some(volume) => Source::Volume { id: id.clone(), volume, read_only, one_pod: false },
            None => Source::Waiting("the pod is not known any more".to_owned()),
        }
    }

    fn source(&self, pod: &PodFacts, volume: &PodVolume) -> Source {
        let (claim, read_only) = match &volume.kind {
            pod::VolumeKind::Claim { claim, read_only } => (claim, *read_only),
            pod::VolumeKind::Local(source) => return source.clone(),
            pod::VolumeKind::Nfs { id, read_only } => return self.by_server_and_path(id, *read_only),
        };
        let wait = |reason: String| Source::Waiting(reason);
        let name = (pod.key.namespace.clone(), claim.clone());
        let Some(facts) = self.claims.get(&name) else {
            return wait(format!(
                "persistentvolumeclaim \"{claim}\" not found; create it, the pod goes on by itself"
            ));
        };
        let Some(volume) = facts.volume.as_deref().and_then(|v| self.volumes.get(v)) else {
            return wait(format!("persistentvolumeclaim \"{claim}\" is not bound to a volume yet"));
        };
        if !facts.holds(volume) {
            return wait(format!(
                "persistentvolumeclaim \"{claim}\" names volume \"{}\", which is not bound to it",
                volume.name
            ));
        }
        match &volume.id {
            Some(id) if self.volume(id).is_none_or(|owner| owner.name != volume.name) => wait(format!(
                "volume \"{}\" names handle \"{}\", which is an older volume's; delete one of the two",
                volume.name, id.handle
            )),
            Some(id) => Source::Volume {
                id: id.clone(),
                volume: volume.clone(),
                read_only: read_only || volume.read_only,
                one_pod: facts.modes.iter().any(|mode| mode == "ReadWriteOncePod"),
            },
            None => match &volume.host_path {
                Some((path, kind)) => Source::HostPath { path: path.clone(), kind: kind.clone(), read_only },
                None => wait(format!(
                    "volume \"{}\" has a source that this node cannot mount; it knows csi, nfs, hostPath and local",
                    volume.name
                )),
            },
        }
    }
}

/// A quantity's value in whole units, rounded up; `None` when it is not a number that fits.
fn whole(quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>) -> Option<u64> {
    crate::quantity::whole(&quantity?.0)
}

/// Items of an optional map, for the many that may be absent.
fn owned<T: Clone + Default>(value: Option<&T>) -> T {
    value.cloned().unwrap_or_default()
}

/// The core types that this room reads.
type Claim = core::PersistentVolumeClaim;

#[cfg(test)]
mod tests;
