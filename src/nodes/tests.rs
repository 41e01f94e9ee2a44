//! Nodes that are drained and removed, against a server in this process. The test plays the node's agent, which lets pods
//! go and then detaches what no pod uses.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use futures::future::BoxFuture;
use orlop_apiserver::{ApiServer, Body, Identity, NodeCallError, NodeCalls};
use orlop_client::Client;
use orlop_objects::{Key, Kind, join::NODE_KEY, kind};
use orlop_registry::Registry;
use orlop_store::Store;
use serde_json::json;
use tokio::task::JoinSet;

use super::{attachments, drain, pods, rm, volumes_of};
use crate::{agent::InProcess, cli};

struct NoNodes;

impl NodeCalls for NoNodes {
    fn logs(&self, node: &str, _: &str) -> BoxFuture<'_, Result<Body, NodeCallError>> {
        let error = NodeCallError::Unreachable { node: node.to_owned(), source: "there are no nodes".into() };
        Box::pin(async { Err(error) })
    }
}

/// A cluster with the node `one`.
struct Cluster {
    client: Client,
    /// Ends with the cluster.
    agent: JoinSet<Result<()>>,
    /// The grace that each pod was given whose end the agent saw.
    graces: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let server = ApiServer::new(Registry::new(Store::in_memory()), Arc::new(NoNodes));
        let client = Client::new(Arc::new(InProcess { server, identity: Identity::admin() }));
        client.create(&kind::NAMESPACE, "", &json!({"metadata": {"name": "default"}})).await?;
        let node = json!({"metadata": {"name": "one", "annotations": {NODE_KEY: "k"}}});
        client.create(&kind::NODE, "", &node).await?;
        Ok(Self { client, agent: JoinSet::new(), graces: Arc::default() })
    }

    /// A pod of a controller of this kind, or of none.
    async fn pod(&self, name: &str, owner: Option<&str>, volume: Option<&str>) -> Result<()> {
        let owners: Vec<_> = owner
            .map(|kind| json!({"apiVersion": "apps/v1", "kind": kind, "name": "set", "uid": "u", "controller": true}))
            .into_iter()
            .collect();
        let mut body = json!({"metadata": {"name": name, "ownerReferences": owners},
            "spec": {"nodeName": "one", "containers": [{"name": "c", "image": "i"}]}});
        if let Some(volume) = volume {
            self.attached(volume).await?;
            body["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": volume}}]);
        }
        self.client.create(&kind::POD, "default", &body).await?;
        Ok(())
    }

    /// A volume on the node's disk, attached, and its claim of the same name.
    async fn attached(&self, name: &str) -> Result<()> {
        let storage = json!({"storage": "1Gi"});
        let here = json!({"required": {"nodeSelectorTerms": [{"matchExpressions":
            [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["one"]}]}]}});
        let volume = json!({"metadata": {"name": name}, "spec": {"capacity": storage, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "csi.example.com", "volumeHandle": name}, "nodeAffinity": here}});
        self.client.create(&kind::PERSISTENT_VOLUME, "", &volume).await?;
        let claim = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "volumeName": name, "resources": {"requests": storage}}});
        self.client.create(&kind::PERSISTENT_VOLUME_CLAIM, "default", &claim).await?;
        let attachment = json!({"metadata": {"name": name}, "spec": {"attacher": "csi.example.com", "nodeName": "one",
            "source": {"persistentVolumeName": name}}});
        self.client.create(&kind::VOLUME_ATTACHMENT, "", &attachment).await?;
        Ok(())
    }

    /// The node's agent runs from now on; `detaches` says whether it gets volumes detached.
    fn start_agent(&mut self, detaches: bool) {
        let (client, graces) = (self.client.clone(), self.graces.clone());
        self.agent.spawn(async move {
            loop {
                for pod in pods(&client, "one").await?.iter().filter(|pod| pod.meta.is_terminating()) {
                    let grace = &pod.value()["metadata"]["deletionGracePeriodSeconds"];
                    graces.lock().expect("nobody panics with it").push(format!("{} {grace}", pod.key.name));
                    client.delete(&pod.key, &json!({"gracePeriodSeconds": 0})).await?;
                }
                let used = volumes_of(&client, &pods(&client, "one").await?).await?;
                for (attachment, volume) in attachments(&client, "one").await? {
                    if detaches && !used.contains(&volume) {
                        client.delete(&attachment, &json!({})).await?;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    async fn drain(&self, flags: cli::Drain) -> Result<(), String> {
        drain::drain(&self.client, &flags).await.map_err(|error| format!("{error:#}"))
    }

    async fn remove(&self) -> Result<(), String> {
        rm::remove(&self.client, "one", false).await.map_err(|error| format!("{error:#}"))
    }

    async fn names(&self, kind: &'static Kind) -> Result<Vec<String>> {
        let all = self.client.list(kind, None, &[]).await?;
        Ok(all.iter().map(|object| object.key.name.clone()).collect())
    }
}

fn flags(timeout: u64) -> cli::Drain {
    cli::Drain {
        name: "one".to_owned(),
        force: false,
        delete_emptydir_data: false,
        grace_period: Some(7),
        timeout,
        ignore_daemonsets: true,
    }
}

#[tokio::test]
async fn a_drained_node_has_nothing_but_daemons_and_what_they_use_and_can_be_removed_without_them()
-> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.pod("log", Some("DaemonSet"), Some("logs")).await?;
    cluster.pod("web", Some("ReplicaSet"), Some("data")).await?;
    cluster.start_agent(true);
    let in_use = cluster.remove().await.expect_err("is in use");
    assert!(in_use.contains("pods (default/web) and attached volumes (data, logs)"), "{in_use}");
    assert!(in_use.contains("orlop node drain one"), "{in_use}");

    cluster.drain(flags(20)).await.expect("is drained");
    assert_eq!(cluster.names(&kind::POD).await?, ["log"]);
    assert_eq!(cluster.names(&kind::VOLUME_ATTACHMENT).await?, ["logs"]);
    assert_eq!(*cluster.graces.lock().expect("nobody panics with it"), ["web 7"]);
    let node = Key::cluster(&kind::NODE, "one");
    let cordoned = cluster.client.get(&node).await?.map(|node| node.value()["spec"]["unschedulable"].clone());
    assert_eq!(cordoned, Some(json!(true)));

    let used = cluster.remove().await.expect_err("a daemon has a volume");
    assert!(used.contains("attached volumes (logs)") && used.contains("kubectl taint node one"), "{used}");
    cluster.client.delete(&Key::cluster(&kind::VOLUME_ATTACHMENT, "logs"), &json!({})).await?;
    cluster.remove().await.expect("only a daemon is there");
    assert!(cluster.client.get(&node).await?.is_none());
    assert_eq!(cluster.names(&kind::POD).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_not_begun() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.pod("bare", None, None).await?;
    cluster.pod("web", Some("ReplicaSet"), None).await?;
    let bare = cluster.drain(flags(20)).await.expect_err("it would be gone for good");
    assert!(bare.contains("default/bare") && bare.contains("--force"), "{bare}");
    assert!(pods(&cluster.client, "one").await?.iter().all(|pod| !pod.meta.is_terminating()));
    Ok(())
}

#[tokio::test]
async fn what_does_not_leave_in_time_is_named() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.pod("web", Some("ReplicaSet"), Some("data")).await?;
    let silent = cluster.drain(flags(1)).await.expect_err("nobody lets it go");
    assert!(silent.contains("default/web") && silent.contains("--timeout"), "{silent}");
    cluster.start_agent(false);
    let attached = cluster.drain(flags(2)).await.expect_err("it stays attached");
    assert!(attached.contains("still attached: data") && attached.contains("--timeout"), "{attached}");
    Ok(())
}
