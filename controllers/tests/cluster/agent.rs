//! A node's agent as far as the API sees it: makes and deletes volumes, attaches them, runs pods. No disk is touched.

use orlop_objects::{Key, Object, index::Index, kind};
use orlop_registry::{DeleteOptions, Error, Part, Registry, Who};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const DRIVER: &str = "loop.orlop.dev";
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
const ATTACHER: &str = "external-attacher/";
/// An image that no agent can start.
pub(crate) const BROKEN: &str = "broken";

/// A running agent; ends when dropped.
pub(crate) struct Agent(#[expect(dead_code, reason = "its task ends with it")] JoinSet<()>);

struct Node {
    registry: Registry,
    name: String,
    who: Who,
}

impl Agent {
    /// Registers the node and starts working.
    pub(crate) async fn join(registry: &Registry, name: &str) -> Self {
        let who = Who::new(format!("system:node:{name}"), "orlop-agent");
        let node = Node { registry: registry.clone(), name: name.to_owned(), who };
        node.register().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { node.run().await });
        Self(tasks)
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
        let lease = json!({"metadata": {"name": self.name}, "spec": {"holderIdentity": self.name}});
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

    async fn run(&self) {
        let kinds =
            [&kind::PERSISTENT_VOLUME_CLAIM, &kind::PERSISTENT_VOLUME, &kind::VOLUME_ATTACHMENT, &kind::POD];
        let mut changes = self.registry.store().changes(&kinds);
        loop {
            let snapshot = self.registry.snapshot();
            for kind in kinds {
                for object in snapshot.list(kind, None, None) {
                    self.look_at(object).await;
                }
            }
            changes.next().await;
        }
    }

    async fn look_at(&self, object: &Object) {
        let value = object.value();
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
        let released = value["status"]["phase"] == "Released";
        if mine && policy && released && !attached && volume.meta.is_terminating() {
            self.change(&volume.key, Part::Main, |value| drop_finalizer(value, FINALIZER)).await;
        }
    }

    async fn attach(&self, attachment: &Object, value: &Value) {
        if value["spec"]["nodeName"] != *self.name {
            return;
        }
        if attachment.meta.is_terminating() {
            self.change(&attachment.key, Part::Main, |value| drop_finalizer(value, ATTACHER)).await;
        } else if value["status"]["attached"] != true {
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
