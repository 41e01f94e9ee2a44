//! A node's agent as far as the API sees it: makes and deletes volumes, attaches them, runs pods. No disk is touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use orlop_objects::{Key, Object, index::Index, kind};
use orlop_registry::{DeleteOptions, Error, Part, Registry, Who};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

const DRIVER: &str = "loop.orlop.dev";
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
const ATTACHER: &str = "external-attacher/";
/// An image that no agent can start.
pub(crate) const BROKEN: &str = "broken";
/// How often a heart beats: a quarter of the grace that the server gives.
const HEART: Duration = Duration::from_secs(5);

/// A running agent; ends when dropped.
pub(crate) struct Agent {
    /// The node's name.
    pub(crate) name: String,
    mode: watch::Sender<Mode>,
    machine: Machine,
    #[expect(dead_code, reason = "its task ends with it")]
    task: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It works, and its heart beats where it has one.
    Alive,
    /// Cut off: what it has attached it has, and neither hears nor says anything.
    Silent,
}

/// What nodes have attached, by volume: what a disk would notice, whatever the API says.
#[derive(Clone, Default)]
pub(crate) struct Machine(Arc<Mutex<Disks>>);

#[derive(Default)]
struct Disks {
    writers: BTreeMap<String, BTreeSet<String>>,
    accidents: Vec<String>,
}

impl Machine {
    fn attach(&self, volume: &str, node: &str) {
        let mut disks = self.0.lock().expect("nobody panics with it");
        let writers = disks.writers.entry(volume.to_owned()).or_default();
        writers.insert(node.to_owned());
        if writers.len() > 1 {
            let accident = format!("{volume} is attached to {writers:?}");
            disks.accidents.push(accident);
        }
    }

    fn detach(&self, volume: &str, node: &str) {
        if let Some(writers) = self.0.lock().expect("nobody panics with it").writers.get_mut(volume) {
            writers.remove(node);
        }
    }

    fn has(&self, node: &str) -> Vec<String> {
        let disks = self.0.lock().expect("nobody panics with it");
        let has = disks.writers.iter().filter(|(_, writers)| writers.contains(node));
        has.map(|(volume, _)| volume.clone()).collect()
    }

    /// Every time that a volume was attached to two nodes at once.
    pub(crate) fn accidents(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics with it").accidents.clone()
    }
}

struct Node {
    registry: Registry,
    name: String,
    who: Who,
    machine: Machine,
    /// Whether it renews its lease.
    beats: bool,
}

impl Agent {
    /// Registers the node and starts working. Its lease stays as it is, unless its heart `beats`.
    pub(crate) async fn join(registry: &Registry, name: &str, machine: &Machine, beats: bool) -> Self {
        let who = Who::new(format!("system:node:{name}"), "orlop-agent");
        let node =
            Node { registry: registry.clone(), name: name.to_owned(), who, machine: machine.clone(), beats };
        node.register().await;
        let (mode, mode_seen) = watch::channel(Mode::Alive);
        let mut task = JoinSet::new();
        task.spawn(async move { node.run(mode_seen).await });
        Self { name: name.to_owned(), mode, machine: machine.clone(), task }
    }

    /// Cuts it off: what it has attached stays attached, and may be written to.
    pub(crate) fn cut_off(&self) {
        self.mode.send_replace(Mode::Silent);
    }

    /// Powers it off: it has nothing any more.
    pub(crate) fn power_off(&self) {
        self.cut_off();
        self.machine.has(&self.name).iter().for_each(|volume| self.machine.detach(volume, &self.name));
    }

    /// Brings it back.
    pub(crate) fn bring_back(&self) {
        self.mode.send_replace(Mode::Alive);
    }
}

impl Node {
    async fn register(&self) {
        let labels = json!({"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"});
        let node = json!({"metadata": {"name": self.name, "labels": labels}, "spec": {}, "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]}});
        self.create(&kind::NODE, "", node).await;
        let drivers = json!({"drivers": [{"name": DRIVER, "nodeID": self.name, "topologyKeys": []}]});
        self.create(&kind::CSI_NODE, "", json!({"metadata": {"name": self.name}, "spec": drivers})).await;
        let lease = json!({"metadata": {"name": self.name}, "spec": {"holderIdentity": self.name,
            "leaseDurationSeconds": 20}});
        self.create(&kind::LEASE, "kube-node-lease", lease).await;
    }

    async fn create(&self, kind: &'static orlop_objects::Kind, namespace: &str, body: Value) {
        match self.registry.create(kind, namespace, body, &self.who, false).await {
            Ok(_) | Err(Error::AlreadyExists(_)) => {}
            Err(error) => panic!("agent {}: {error}", self.name),
        }
    }

    async fn change(&self, key: &Key, part: Part, f: impl Fn(&mut Value) + Send + Sync) {
        let change = |mut value: Value| {
            f(&mut value);
            Ok(value)
        };
        match self.registry.change(key, part, &self.who, false, change).await {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => panic!("agent {}: {error}", self.name),
        }
    }

    async fn run(&self, mut mode: watch::Receiver<Mode>) {
        let kinds =
            [&kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME, &kind::VOLUME_ATTACHMENT, &kind::POD];
        let mut changes = self.registry.store().changes(&kinds);
        let mut heart = tokio::time::interval(HEART);
        loop {
            if *mode.borrow_and_update() == Mode::Silent {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            self.drop_what_is_not_ours().await;
            let snapshot = self.registry.snapshot();
            for kind in kinds {
                for object in snapshot.list(kind, None, None) {
                    if *mode.borrow() == Mode::Alive {
                        self.look_at(object).await;
                    }
                }
            }
            tokio::select! {
                _ = mode.changed() => {}
                _ = changes.next() => {}
                _ = heart.tick(), if self.beats => self.beat().await,
            }
        }
    }

    /// Renews the lease, and says that the node is ready where somebody else said otherwise.
    async fn beat(&self) {
        let lease = Key::new(&kind::LEASE, "kube-node-lease", &*self.name);
        // The time only has to be another one each time; the clock that a test can stop is not this one.
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        self.change(&lease, Part::Main, |value| value["spec"]["renewTime"] = now.clone().into()).await;
        let node = Key::cluster(&kind::NODE, &*self.name);
        self.change(&node, Part::Status, |value| {
            for condition in value["status"]["conditions"].as_array_mut().into_iter().flatten() {
                let wanted = if condition["type"] == "Ready" { "True" } else { "False" };
                if condition["status"] != wanted {
                    condition["status"] = wanted.into();
                }
            }
        })
        .await;
    }

    /// What the API does not say that this node has is not this node's any more.
    async fn drop_what_is_not_ours(&self) {
        for volume in self.machine.has(&self.name) {
            if self.attachment_of(&volume).is_none() {
                self.machine.detach(&volume, &self.name);
            }
        }
    }

    async fn look_at(&self, object: &Object) {
        // What this agent did since the list was made is seen at once.
        let Some(object) = self.registry.snapshot().get(&object.key) else { return };
        let (value, object) = (object.value(), &*object);
        match object.key.kind.kind {
            "PersistentVolumeClaim" => self.provision(object, &value).await,
            "PersistentVolume" => self.delete_volume(object, &value).await,
            "VolumeAttachment" => self.attach(object, &value).await,
            _ => self.run_pod(object, &value).await,
        }
    }

    async fn provision(&self, claim: &Object, value: &Value) {
        let chosen = value["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == *self.name;
        if !chosen || claim.meta.is_terminating() || value["spec"]["volumeName"].is_string() {
            return;
        }
        let class = value["spec"]["storageClassName"].as_str().unwrap_or_default();
        let Some(class) = self.registry.snapshot().get(&Key::cluster(&kind::STORAGE_CLASS, class)) else {
            return;
        };
        let class = class.value();
        let name = format!("pvc-{}", claim.meta.uid);
        let exists = self.registry.snapshot().get(&Key::cluster(&kind::PERSISTENT_VOLUME, &*name)).is_some();
        if class["provisioner"] != DRIVER || exists {
            return;
        }
        // The pool holds less than a Ti: what is larger is given back, as a driver out of room does.
        if value["spec"]["resources"]["requests"]["storage"].as_str().is_some_and(|size| size.ends_with("Ti"))
        {
            self.change(&claim.key, Part::Main, |value| {
                if let Some(annotations) = value["metadata"]["annotations"].as_object_mut() {
                    annotations.remove("volume.kubernetes.io/selected-node");
                }
            })
            .await;
            return;
        }
        let volume = json!({"metadata": {"name": name, "finalizers": [FINALIZER],
                "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER}},
            "spec": {"capacity": {"storage": value["spec"]["resources"]["requests"]["storage"]},
                "accessModes": value["spec"]["accessModes"], "storageClassName": class["metadata"]["name"],
                "persistentVolumeReclaimPolicy": class["reclaimPolicy"],
                "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "uid": claim.meta.uid,
                    "namespace": claim.key.namespace, "name": claim.key.name},
                "csi": {"driver": DRIVER, "volumeHandle": name, "fsType": "ext4"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [self.name]}]}]}}}});
        self.create(&kind::PERSISTENT_VOLUME, "", volume).await;
    }

    async fn delete_volume(&self, volume: &Object, value: &Value) {
        let home = &value["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
        let mine = home["values"][0] == *self.name;
        let policy = value["spec"]["persistentVolumeReclaimPolicy"] == "Delete";
        let attached = self.attachment_of(&volume.key.name).is_some();
        let released = matches!(value["status"]["phase"].as_str(), Some("Released" | "Failed"));
        if mine && policy && released && !attached && volume.meta.is_terminating() {
            self.change(&volume.key, Part::Main, |value| drop_finalizer(value, FINALIZER)).await;
        }
    }

    async fn attach(&self, attachment: &Object, value: &Value) {
        if value["spec"]["nodeName"] != *self.name {
            return;
        }
        let volume = value["spec"]["source"]["persistentVolumeName"].as_str().unwrap_or_default();
        if attachment.meta.is_terminating() {
            self.machine.detach(volume, &self.name);
            self.change(&attachment.key, Part::Main, |value| drop_finalizer(value, ATTACHER)).await;
        } else if value["status"]["attached"] != true {
            self.machine.attach(volume, &self.name);
            let status = json!({"attached": true, "attachmentMetadata": {"devicePath": "/dev/loop0"}});
            self.change(&attachment.key, Part::Status, |value| value["status"] = status.clone()).await;
        }
    }

    async fn run_pod(&self, pod: &Object, value: &Value) {
        if value["spec"]["nodeName"] != *self.name {
            return;
        }
        if pod.meta.is_terminating() {
            let options =
                DeleteOptions { grace: Some(0), uid: Some(pod.meta.uid.clone()), ..DeleteOptions::default() };
            let _ = self.registry.delete(&pod.key, &options, &self.who).await;
        } else if value["status"]["phase"] == "Pending" && self.volumes_are_here(pod, value) {
            // An image that does not start is how a test makes an update get stuck.
            if value["spec"]["containers"][0]["image"] == BROKEN {
                return;
            }
            self.change(&pod.key, Part::Status, |value| run(value, self.registry.now())).await;
        }
    }

    fn volumes_are_here(&self, pod: &Object, value: &Value) -> bool {
        let claims = value["spec"]["volumes"].as_array().into_iter().flatten();
        let names = claims.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str());
        names.into_iter().all(|claim| {
            let key = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, &*pod.key.namespace, claim);
            let claim = self.registry.snapshot().get(&key).map(|claim| claim.value()).unwrap_or_default();
            let attachment = claim["spec"]["volumeName"].as_str().and_then(|name| self.attachment_of(name));
            attachment.is_some_and(|attachment| attachment["status"]["attached"] == true)
        })
    }

    fn attachment_of(&self, volume: &str) -> Option<Value> {
        let snapshot = self.registry.snapshot();
        let found = snapshot.indexed(Index::AttachmentsByVolume, volume);
        found.map(|attachment| attachment.value()).find(|value| value["spec"]["nodeName"] == *self.name)
    }
}

/// A pod whose containers run is ready.
fn run(pod: &mut Value, now: jiff::Timestamp) {
    let others = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready =
        json!({"type": "Ready", "status": "True", "lastTransitionTime": orlop_objects::time::seconds(now)});
    pod["status"]["conditions"] = others.into_iter().chain([ready]).collect();
    pod["status"]["phase"] = "Running".into();
}

fn drop_finalizer(value: &mut Value, name: &str) {
    if let Some(list) = value["metadata"]["finalizers"].as_array_mut() {
        list.retain(|finalizer| !finalizer.as_str().is_some_and(|held| held.starts_with(name)));
    }
}
