//! A Deployment `web` and a StatefulSet `db` of one pod each, that write numbers on volumes of a shared pool. Wherever
//! they are started again, they first check that all they have written is there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use orlop_objects::kind;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, PATIENCE},
    manifests, shared_pool,
};

/// Their names, and the values of their label `app`.
pub const APPS: [&str; 2] = ["web", "db"];
/// Their claims.
pub const CLAIMS: [&str; 2] = ["data", "data-db-0"];

/// Creates both. They leave a lost node a second after it is lost.
pub async fn create(cluster: &Cluster) -> Result<()> {
    let selector = |app: &str| json!({"matchLabels": {"app": app}});
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, shared_pool::claim("data")).await?;
    let web = json!({"metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": selector("web"), "template": template("web", Some("data"))}});
    cluster.create(&kind::DEPLOYMENT, web).await?;
    let db = json!({"metadata": {"name": "db"}, "spec": {"replicas": 1, "serviceName": "db",
        "selector": selector("db"), "template": template("db", None),
        "volumeClaimTemplates": [shared_pool::claim("data")]}});
    cluster.create(&kind::STATEFUL_SET, db).await.map(drop)
}

fn template(app: &str, claim: Option<&str>) -> Value {
    let tolerates = |key: &str| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 1})
    };
    let mut pod = manifests::pod(app, &shared_pool::writer(0), claim);
    let spec = &mut pod["spec"];
    spec["restartPolicy"] = "Always".into();
    spec["tolerations"] = json!([tolerates("unreachable"), tolerates("not-ready")]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    json!({"metadata": {"labels": {"app": app}}, "spec": spec})
}

/// The pods of one of them.
pub async fn pods_of(cluster: &Cluster, app: &str) -> Result<Vec<Value>> {
    let selector = format!("app={app}");
    let pods = cluster.client.list(&kind::POD, Some("default"), &[("labelSelector", &selector)]).await?;
    Ok(pods.iter().map(|pod| pod.value()).collect())
}

/// Waits until the only pod of one of them runs, on that node where one is named; answers its name.
pub async fn until_runs(cluster: &Cluster, app: &str, node: Option<&str>) -> Result<String> {
    let begun = Instant::now();
    loop {
        let pods = pods_of(cluster, app).await?;
        if let [pod] = &pods[..]
            && pod["status"]["phase"] == "Running"
            && pod["metadata"]["deletionTimestamp"].is_null()
            && node.is_none_or(|node| pod["spec"]["nodeName"] == node)
        {
            return Ok(pod["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
        ensure!(begun.elapsed() < PATIENCE, "{app}: {pods:#?}\n{}", cluster.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until both write, having found all that was written `before`; answers what they have written by then. A pod
/// that finds something else ends, and is never seen to write on.
pub async fn go_on(cluster: &Cluster, node: Option<&str>, before: [u64; 2]) -> Result<[u64; 2]> {
    let mut after = [0; 2];
    for ((app, before), after) in APPS.iter().zip(before).zip(&mut after) {
        let pod = until_runs(cluster, app, node).await?;
        *after = shared_pool::written(cluster, &pod, before).await?;
        let restarts = pods_of(cluster, app).await?;
        let count = &restarts[0]["status"]["containerStatuses"][0]["restartCount"];
        ensure!(*count == 0, "{app} found something else than it wrote: {:#}", restarts[0]["status"]);
    }
    Ok(after)
}
