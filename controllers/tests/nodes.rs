//! What a silent node looks like, and one that speaks again.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, claim, pod, pod_key, who};
use orlop_controllers::Settings;
use orlop_objects::{Key, kind};
use orlop_registry::Part;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_takes_no_pods_until_it_renews_its_lease() {
    let mut cluster = Cluster::without_nodes().await;
    cluster.stop().await;
    cluster.start_with(Settings { node_grace: Duration::from_millis(200), ..Settings::default() });
    cluster.add_node("n1").await;
    let node = Key::cluster(&kind::NODE, "n1");
    cluster.until_is(&node, "/status/conditions/0/status", json!("Unknown")).await;
    cluster.until_said("n1", "NodeNotReady", "has not renewed its lease").await;
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, claim("data")).await;
    cluster.create(&kind::POD, pod("web", "data")).await;
    cluster.until_said("web", "FailedScheduling", "1 node(s) were not ready").await;

    let registry = cluster.registry.clone();
    let renewing = tokio::spawn(async move {
        let lease = Key::new(&kind::LEASE, "kube-node-lease", "n1");
        for n in 0.. {
            let renew = |mut value: serde_json::Value| {
                value["metadata"]["annotations"]["renewal"] = n.to_string().into();
                Ok(value)
            };
            registry.change(&lease, Part::Main, &who(), false, renew).await.expect("the lease is there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    cluster.until_is(&pod_key("web"), "/status/phase", json!("Running")).await;
    cluster.until_said("n1", "NodeReady", "Node n1 status is now: NodeReady").await;
    renewing.abort();
}
