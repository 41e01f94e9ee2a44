//! A whole Orlop in this process on a machine in memory: store, server, controllers, and agents that can be let die.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::needless_pass_by_value, reason = "this is a test, in a module of its own")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use orlop_apiserver::{AgentSocket, ApiServer, Identity};
use orlop_backends::{
    driver::Driver,
    drivers::{
        loop_file::{LoopDriver, Node, PoolConfig, PoolUse},
        nfs::{ExportsConfig, NfsDriver},
    },
    host::{
        Host, NfsServer, Runtime,
        fake::Fake,
        faulty::{Faulty, Plan},
        network::Network,
    },
};
use orlop_client::{Client, Stream, Transport};
use orlop_controllers::{Controllers, DriverInfo, Settings};
use orlop_nodeagent::{Agent, Calls, Config, Parts, images::ImageStore};
use orlop_objects::{Key, Object, exports, kind};
use orlop_registry::Registry;
use orlop_store::Store;
use serde_json::{Value, json};

/// How long a state may take to come: far longer than it ever takes, short enough to tell what hangs.
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const NODE: &str = "node-1";

pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    pub(crate) machine: Fake,
    pub(crate) client: Client,
    pub(crate) registry: Registry,
    server: ApiServer,
    controllers: Option<Controllers>,
    images: ImageStore,
}

struct Pipe {
    server: ApiServer,
    identity: Identity,
}

impl Transport for Pipe {
    fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        async { Ok(Box::new(self.server.connect(self.identity.clone())) as Box<dyn Stream>) }.boxed()
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(Store::in_memory());
        let socket = Arc::new(AgentSocket::new(dir.path().join("data/agent.sock")));
        let server = ApiServer::new(registry.clone(), socket);
        orlop_controllers::bootstrap(&registry).await.unwrap();
        let drivers = vec![DriverInfo::of_loop_files(), DriverInfo::of_nfs()];
        let controllers = orlop_controllers::start(registry.clone(), drivers, Settings::default());
        let admin = Pipe { server: server.clone(), identity: Identity::admin() };
        let machine = Fake::default();
        let images = image_store(dir.path());
        for layer in images.find("busybox").unwrap().expect("loaded").layers {
            machine.create_dir(&layer).unwrap();
        }
        let client = Client::new(Arc::new(admin));
        Self { dir, machine, client, registry, server, controllers: Some(controllers), images }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn parts<M: Host + Runtime + Network + NfsServer>(&self, machine: Arc<M>) -> Parts {
        let pool: Arc<dyn Driver> = Arc::new(LoopDriver::new(machine.clone(), self.data().join("pool")));
        let exports = ExportsConfig {
            host: machine.clone(),
            server: machine.clone(),
            pool: pool.clone(),
            root: self.data().join("nfs/volumes"),
            instance: "0123abcd".to_owned(),
            node: NODE.to_owned(),
            address: orlop_nodeagent::own_address(None),
        };
        let shared: Arc<dyn Driver> = Arc::new(NfsDriver::with_exports(machine.clone(), exports));
        Parts {
            data_dir: self.data(),
            run_dir: self.dir.path().join("run"),
            instance: "0123abcd".to_owned(),
            drivers: vec![pool, shared],
            host: machine.clone(),
            runtime: machine.clone(),
            network: machine,
            pod_range: None,
            images: self.images.clone(),
        }
    }

    /// An agent whose machine goes wrong as planned.
    pub(crate) async fn faulty_agent(&self, plan: Plan) -> (Agent, Arc<Faulty<Fake>>) {
        let machine = Arc::new(Faulty::new(self.machine.clone(), plan));
        (self.agent_on(machine.clone()).await, machine)
    }

    pub(crate) async fn agent(&self) -> Agent {
        let agent = self.agent_on(Arc::new(self.machine.clone())).await;
        let ready = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        self.until(&Key::cluster(&kind::NODE, NODE), "ready", ready).await;
        agent
    }

    async fn agent_on<M: Host + Runtime + Network + NfsServer>(&self, machine: Arc<M>) -> Agent {
        let identity = Identity::node(NODE);
        let client = Client::new(Arc::new(Pipe { server: self.server.clone(), identity }));
        let config = Config {
            node_name: NODE.to_owned(),
            client,
            address: None,
            calls: Calls::Socket,
            parts: self.parts(machine),
        };
        Agent::start(config).await.unwrap()
    }

    /// The directory that all members see.
    pub(crate) fn common(&self) -> PathBuf {
        self.dir.path().join("common")
    }

    /// The data directory of a member.
    pub(crate) fn data_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One of several nodes, with the shared pool `common`.
    pub(crate) async fn member(&self, name: &str, machine: Fake) -> Agent {
        let host = Arc::new(machine);
        let seam: Arc<dyn Host> = host.clone();
        host.create_dir(&self.common()).unwrap();
        let pool = PoolConfig {
            name: "common".to_owned(),
            dir: self.common(),
            shared: true,
            known_id: None,
            private: false,
            used: PoolUse::Wanted,
        };
        let node = Node { name: name.to_owned(), boot: host.boot_id().unwrap() };
        let driver: Arc<dyn Driver> = Arc::new(LoopDriver::open(&seam, &[pool], name, &node).unwrap());
        let parts = Parts {
            data_dir: self.data_of(name),
            run_dir: self.dir.path().join(format!("run-{name}")),
            instance: name.to_owned(),
            drivers: vec![driver],
            ..self.parts(host)
        };
        let client =
            Client::new(Arc::new(Pipe { server: self.server.clone(), identity: Identity::node(name) }));
        let config =
            Config { node_name: name.to_owned(), client, address: None, calls: Calls::Socket, parts };
        Agent::start(config).await.unwrap()
    }

    pub(crate) async fn create(&self, kind: &'static orlop_objects::Kind, body: Value) -> Object {
        let namespace = if kind.namespaced { "default" } else { "" };
        self.client.create(kind, namespace, &body).await.unwrap()
    }

    pub(crate) async fn create_claim(&self, name: &str) {
        let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}});
        self.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    }

    /// A claim of the class `nfs`, for many nodes.
    pub(crate) async fn create_shared_claim(&self, name: &str) {
        let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "nfs",
                "resources": {"requests": {"storage": "64Mi"}}}});
        self.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    }

    /// A node without an agent, that says it is Ready and has this address.
    pub(crate) async fn add_node(&self, name: &str, address: &str) {
        let body = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        let node = self.create(&kind::NODE, body).await;
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}]}});
        self.client.patch(&node.key, Some("status"), &status).await.unwrap();
    }

    /// Waits until the keeper says that these can mount the volume, and the server lets in these and nobody else.
    pub(crate) async fn until_exported_to(&self, volume: &str, clients: &str) -> Value {
        let key = Key::cluster(&kind::PERSISTENT_VOLUME, volume);
        let told = |v: &Value| v["metadata"]["annotations"][exports::EXPORTED_TO] == clients;
        let volume = self.until(&key, "exported", told).await;
        // What was told before the server ended is still told while it is started again.
        let shown = || {
            let taken = self.machine.server().unwrap()?.taken?;
            let export = taken.shown().find(|export| export.name() == key.name)?;
            Some(exports::print(&export.clients))
        };
        let come = async {
            while shown().as_deref() != Some(clients) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, come)
            .await
            .unwrap_or_else(|_| panic!("the server exports to {:?}", shown()));
        volume
    }

    /// A pod with one container; `more` is merged into its spec's top level.
    pub(crate) async fn create_pod(&self, name: &str, claim: Option<&str>, more: Value) {
        let mut spec = json!({"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]});
        if let Some(claim) = claim {
            spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
            spec["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        }
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.create(&kind::POD, body).await;
    }

    pub(crate) async fn delete(&self, key: &Key) {
        self.client.delete(key, &json!({})).await.unwrap();
    }

    pub(crate) async fn get(&self, key: &Key) -> Value {
        self.client.get(key).await.unwrap().map(|o| o.value()).unwrap_or_default()
    }

    /// Waits until the object is as wanted, and answers it; `Value::Null` stands for one that is gone.
    pub(crate) async fn until(&self, key: &Key, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let field = format!("metadata.name={}", key.name);
        let mut mirror = self.client.mirror(key.kind, &[("fieldSelector", &field)]);
        let come = async {
            loop {
                let set = mirror.ready().await;
                let value = set.get(key).map(|o| o.value()).unwrap_or_default();
                if wanted(&value) {
                    return value;
                }
                mirror.changed().await;
            }
        };
        match tokio::time::timeout(PATIENCE, come).await {
            Ok(value) => value,
            Err(_) => panic!("{key}: {what} did not happen; it is {:#}", self.get(key).await),
        }
    }

    pub(crate) async fn until_running(&self, name: &str) -> Value {
        let ready = |pod: &Value| {
            pod["status"]["phase"] == "Running" && pod["status"]["containerStatuses"][0]["ready"] == true
        };
        self.until(&pod(name), "running", ready).await
    }

    pub(crate) async fn until_gone(&self, key: &Key) {
        self.until(key, "going", Value::is_null).await;
    }

    /// What is left on the machine of pods and volumes, in words.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let root = self.dir.path();
        let mounts = self.machine.mounts().unwrap().into_iter().map(|m| m.target);
        let mut left: Vec<String> =
            mounts.filter(|t| t.starts_with(root)).map(|t| format!("mount {}", t.display())).collect();
        left.extend(
            self.machine.loops().unwrap().iter().map(|l| format!("loop device of {}", l.path.display())),
        );
        left.extend(
            self.machine.containers().unwrap().iter().map(|c| format!("container {} {:?}", c.id, c.status)),
        );
        // The bridge is the node's, as long as it runs.
        let cables = self.machine.links().unwrap().into_iter().filter(|link| link.kind == "veth");
        left.extend(cables.map(|link| format!("cable {} {:?}", link.name, link.alias)));
        if let Some(server) = self.machine.server().unwrap() {
            left.push(format!("NFS server {:?}", server.process));
        }
        for dir in [
            "data/pool",
            "data/nfs/volumes",
            "data/kubelet/pods",
            "data/containers",
            "data/logs/pods",
            "run/ns",
        ] {
            let names = self.machine.list_dir(&root.join(dir)).unwrap();
            left.extend(names.into_iter().map(|name| format!("{dir}/{name}")));
        }
        left
    }

    pub(crate) async fn stop(mut self) {
        if let Some(controllers) = self.controllers.take() {
            controllers.stop().await;
        }
        self.server.shutdown().await;
    }
}

pub(crate) fn pod(name: &str) -> Key {
    Key::new(&kind::POD, "default", name)
}

pub(crate) fn claim(name: &str) -> Key {
    Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", name)
}

/// A store with one image of one empty layer.
fn image_store(dir: &std::path::Path) -> ImageStore {
    use sha2::{Digest, Sha256};
    let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let layer = archive(&[("bin/sh", b"#!")]);
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]}})
    .to_string();
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}])
            .to_string();
    let image = archive(&[
        ("config.json", config.as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.as_bytes()),
    ]);
    let file = dir.join("image.tar");
    std::fs::write(&file, image).unwrap();
    let store = ImageStore::open(&dir.join("data/images")).unwrap();
    store.load(&file).unwrap();
    store
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn first_container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

pub(crate) fn runs_again(pod: &Value) -> bool {
    first_container(pod)["restartCount"] == 1 && first_container(pod)["ready"] == true
}

/// Waits for something on the machine, which tells nobody of its changes.
pub(crate) async fn wait_for(mut so: impl FnMut() -> bool) {
    let come = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, come).await.expect("it should come about");
}
