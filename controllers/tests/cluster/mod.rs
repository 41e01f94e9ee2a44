//! A cluster without machines: the real registry on a store in memory, the real controllers, and nodes whose agents
//! only play their part of the protocol.

#![allow(dead_code, reason = "each test uses a part of it")]

mod agent;
mod clock;

use std::{sync::Arc, time::Duration};

#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use agent::{Agent, BROKEN, Machine};
#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use clock::Clock;
use orlop_controllers::{Controllers, DriverInfo, Settings, bootstrap, start};
use orlop_objects::{Key, Kind, Object, Revision, kind};
use orlop_registry::{DeleteOptions, Part, Registry, Who};
use orlop_store::{Snapshot, Store};
use serde_json::{Value, json};

/// How long a state may take to be reached before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cluster.
pub(crate) struct Cluster {
    pub(crate) registry: Registry,
    controllers: Option<Controllers>,
    agents: Vec<Agent>,
    /// What the nodes have attached.
    pub(crate) machine: Machine,
}

pub(crate) fn who() -> Who {
    Who::new("system:admin", "test")
}

impl Cluster {
    /// A cluster with these nodes, each with an agent.
    pub(crate) async fn new(nodes: &[&str]) -> Self {
        let mut cluster = Self::without_nodes().await;
        for node in nodes {
            cluster.add_node(node).await;
        }
        // The accounts come with the namespaces, a moment later: commits are counted without them.
        let accounts = |s: &Snapshot| {
            s.list(&kind::SERVICE_ACCOUNT, None, None).count() == s.list(&kind::NAMESPACE, None, None).count()
        };
        cluster.until("every namespace has its account", accounts).await;
        cluster
    }

    /// A cluster that nobody has joined.
    pub(crate) async fn without_nodes() -> Self {
        let registry = Registry::new(Store::in_memory());
        bootstrap(&registry).await.expect("a new store takes what exists from the start");
        let mut cluster =
            Self { registry, controllers: None, agents: Vec::new(), machine: Machine::default() };
        cluster.start();
        cluster
    }

    /// A cluster whose nodes live, in a time of its own, with volume `v`, which any of them can have, and its claim `data`.
    /// The time that they need to find each other has passed.
    pub(crate) async fn living(nodes: &[&str], settled: Duration) -> (Self, Clock) {
        let clock = Clock::stop();
        let mut cluster = Self::without_nodes().await;
        for node in nodes {
            cluster.add_living_node(node).await;
        }
        let volume = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "manual",
            "csi": {"driver": "net.example.com", "volumeHandle": "v"}}});
        cluster.create(&kind::PERSISTENT_VOLUME, volume).await;
        let mut data = claim("data");
        data["spec"]["storageClassName"] = "manual".into();
        cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, data).await;
        clock.pass(&cluster, settled).await;
        (cluster, clock)
    }

    /// Starts the controllers.
    pub(crate) fn start(&mut self) {
        self.start_with(Settings::default());
    }

    /// Starts the controllers with settings of the test's own.
    pub(crate) fn start_with(&mut self, settings: Settings) {
        let drivers = vec![DriverInfo::of_loop_files(), DriverInfo::of_nfs()];
        self.controllers = Some(start(self.registry.clone(), drivers, settings));
    }

    /// Stops the controllers.
    pub(crate) async fn stop(&mut self) {
        self.controllers.take().expect("they run").stop().await;
    }

    /// A node joins.
    pub(crate) async fn add_node(&mut self, name: &str) {
        self.agents.push(Agent::join(&self.registry, name, &self.machine, false).await);
    }

    /// A node joins whose heart beats.
    pub(crate) async fn add_living_node(&mut self, name: &str) {
        self.agents.push(Agent::join(&self.registry, name, &self.machine, true).await);
    }

    /// The agent of a node.
    pub(crate) fn agent(&self, name: &str) -> &Agent {
        self.agents.iter().find(|agent| agent.name == name).expect("it joined")
    }

    /// The agent of the node that joined as the `nth` falls silent, and the node is seen to be.
    pub(crate) async fn lose_node(&mut self, nth: usize, name: &str) {
        self.agents.remove(nth);
        let key = Key::cluster(&kind::NODE, name);
        let lost = json!([{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]);
        self.change(&key, Part::Status, |node| node["status"]["conditions"] = lost.clone()).await;
    }

    /// Every version of the objects of a kind since `from`, in order; null where one was removed.
    pub(crate) async fn history(&self, kind: &'static Kind, from: Revision) -> Vec<(String, Value)> {
        let mut watch = self.registry.store().watch(kind, from).expect("it is recent");
        let mut all = Vec::new();
        while let Ok(Some(change)) = tokio::time::timeout(Duration::from_millis(5), watch.next()).await {
            let now = change.new.as_ref().map_or(Value::Null, |object| object.value());
            all.push((change.key.name.clone(), now));
        }
        all
    }

    /// Creates an object, in `default` where it is namespaced.
    pub(crate) async fn create(&self, kind: &'static Kind, body: Value) -> Key {
        let namespace = if kind.namespaced { "default" } else { "" };
        let made = self.registry.create(kind, namespace, body, &who(), false).await.expect("it is valid");
        made.object.key.clone()
    }

    /// Changes an object as its user.
    pub(crate) async fn change(&self, key: &Key, part: Part, f: impl Fn(&mut Value) + Send + Sync) {
        let change = |mut value: Value| {
            f(&mut value);
            Ok(value)
        };
        self.registry.change(key, part, &who(), false, change).await.expect("the change is valid");
    }

    /// Has the first container of a workload's template run another image.
    pub(crate) async fn set_image(&self, key: &Key, image: &str) {
        let container = "/spec/template/spec/containers/0/image";
        let change = |value: &mut Value| *value.pointer_mut(container).expect("it is there") = image.into();
        self.change(key, Part::Main, change).await;
    }

    /// Asks for an object's deletion.
    pub(crate) async fn delete(&self, key: &Key) {
        let options = DeleteOptions::default();
        self.registry.delete(key, &options, &who()).await.expect("it is there");
    }

    /// What an object is now; null when there is none.
    pub(crate) fn get(&self, key: &Key) -> Value {
        self.registry.snapshot().get(key).map_or(Value::Null, |object| object.value())
    }

    /// Waits until the world is so.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&Snapshot) -> bool) {
        let mut changes = self.registry.store().changes(kind::ALL);
        let wait = async {
            while !reached(&self.registry.snapshot()) {
                changes.next().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("not reached: {what}\n{}", self.describe());
        }
    }

    /// Waits until the field at `path` is `wanted`.
    pub(crate) async fn until_is(&self, key: &Key, path: &str, wanted: Value) {
        let is = |snapshot: &Snapshot| {
            snapshot.get(key).is_some_and(|object| object.value().pointer(path) == Some(&wanted))
        };
        self.until(&format!("{key} {path} = {wanted}"), is).await;
    }

    /// Waits until there is no such object.
    pub(crate) async fn until_gone(&self, key: &Key) {
        self.until(&format!("{key} gone"), |snapshot| snapshot.get(key).is_none()).await;
    }

    /// Waits until an Event about an object of this name with this reason says `words`.
    pub(crate) async fn until_said(&self, about: &str, reason: &str, words: &str) {
        let said = |snapshot: &Snapshot| {
            snapshot.list(&kind::EVENT, None, None).any(|event| {
                let event = event.value();
                event["involvedObject"]["name"] == about
                    && event["reason"] == reason
                    && event["message"].as_str().is_some_and(|message| message.contains(words))
            })
        };
        self.until(&format!("{reason} about {about}: {words}"), said).await;
    }

    /// The names of all objects of a kind.
    pub(crate) fn names(&self, kind: &'static Kind) -> Vec<String> {
        self.registry.snapshot().list(kind, None, None).map(|object| object.meta.name.clone()).collect()
    }

    /// The commits after `from`, those of Events not counted.
    pub(crate) async fn commits_since(&self, from: Revision) -> usize {
        let mut revisions = std::collections::BTreeSet::new();
        for kind in kind::ALL.iter().filter(|kind| ***kind != kind::EVENT) {
            let mut watch = self.registry.store().watch(kind, from).expect("it is recent");
            while let Ok(Some(change)) = tokio::time::timeout(Duration::from_millis(5), watch.next()).await {
                println!("  {} {} by {}", change.revision, change.key, writer(change.new.as_ref()));
                revisions.insert(change.revision);
            }
        }
        revisions.len()
    }

    /// What there is, for a test that gave up.
    pub(crate) fn describe(&self) -> String {
        let snapshot = self.registry.snapshot();
        let mut text = String::new();
        for kind in [
            &kind::POD,
            &kind::PERSISTENT_VOLUME_CLAIM,
            &kind::PERSISTENT_VOLUME,
            &kind::VOLUME_ATTACHMENT,
            &kind::NAMESPACE,
            &kind::DEPLOYMENT,
            &kind::REPLICA_SET,
            &kind::STATEFUL_SET,
        ] {
            for object in snapshot.list(kind, None, None) {
                let mut value = object.value();
                value["metadata"]["managedFields"].take();
                text += &format!("{}: {value}\n", object.key);
            }
        }
        for event in snapshot.list(&kind::EVENT, None, None).map(|event| event.value()) {
            let about = &event["involvedObject"];
            text +=
                &format!("{} {}: {} {}\n", about["kind"], about["name"], event["reason"], event["message"]);
        }
        text
    }
}

fn writer(object: Option<&Arc<Object>>) -> String {
    let last = |object: &Arc<Object>| {
        let value = object.value();
        let fields = value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        fields
            .iter()
            .map(|entry| entry["manager"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    object.map_or_else(|| "nobody".to_owned(), |object| last(object).join("+"))
}

/// A claim of the default class.
pub(crate) fn claim(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}})
}

/// A pod that mounts a claim.
pub(crate) fn pod(name: &str, claim: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "containers": [{"name": "c", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}})
}

/// A volume that an administrator made.
pub(crate) fn volume(name: &str, class: &str, size: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain", "storageClassName": class, "hostPath": {"path": "/srv"}}})
}

pub(crate) fn pod_key(name: &str) -> Key {
    Key::new(&kind::POD, "default", name)
}

pub(crate) fn claim_key(name: &str) -> Key {
    Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", name)
}

pub(crate) fn volume_key(name: &str) -> Key {
    Key::cluster(&kind::PERSISTENT_VOLUME, name)
}
