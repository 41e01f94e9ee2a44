//! What a user waits for, timed at the API of any Kubernetes server.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::connection::{Connection, Endpoint};

pub(crate) const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// A claim of about 0.7 KB; of a class that nobody serves when `class` is `none`.
pub(crate) fn claim(name: &str, class: &str, size: &str) -> Value {
    let filler = "x".repeat(256);
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {"app": "bench"}, "annotations": {"example.com/filler": filler}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": size}}}})
}

/// A pod that keeps a claim's volume mounted.
pub(crate) fn pod(name: &str, claim: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]}})
}

/// Makes a class; fine when it is there already.
pub(crate) async fn class(api: &mut Connection, name: &str, provisioner: &str) -> Result<()> {
    let path = "/apis/storage.k8s.io/v1/storageclasses";
    if api.get(&format!("{path}/{name}")).await.is_ok() {
        return Ok(());
    }
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
    api.call("POST", path, &class).await?;
    Ok(())
}

/// One create of an object that no controller acts upon.
pub(crate) async fn create_one(api: &mut Connection, name: &str) -> Result<Duration> {
    let body = claim(name, "bench-nobody", "1Gi");
    let begun = Instant::now();
    api.call("POST", CLAIMS, &body).await?;
    let took = begun.elapsed();
    delete(api, CLAIMS, name).await?;
    Ok(took)
}

/// Claims created at once, one connection each up to 16 → all seen Bound by a watch.
pub(crate) async fn claims_bound(
    endpoint: &Endpoint,
    prefix: &str,
    (count, size): (usize, &'static str),
    class: &str,
) -> Result<Duration> {
    let mut watch = watch_from_now(endpoint, CLAIMS).await?;
    let mut connections = Vec::new();
    for _ in 0..count.min(16) {
        let mut connection = endpoint.connect().await?;
        connection.get("/version").await?;
        connections.push(connection);
    }
    let workers = connections.len();
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (worker, mut connection) in connections.into_iter().enumerate() {
        let (prefix, class) = (prefix.to_owned(), class.to_owned());
        tasks.spawn(async move {
            for n in (worker..count).step_by(workers) {
                connection.call("POST", CLAIMS, &claim(&format!("{prefix}-{n}"), &class, size)).await?;
            }
            anyhow::Ok(())
        });
    }
    let mut bound = std::collections::BTreeSet::new();
    watch
        .until(|event| {
            let object = &event["object"];
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if name.starts_with(prefix) && object["status"]["phase"] == "Bound" {
                bound.insert(name.to_owned());
            }
            bound.len() == count
        })
        .await?;
    let took = begun.elapsed();
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let mut api = endpoint.connect().await?;
    for n in 0..count {
        delete(&mut api, CLAIMS, &format!("{prefix}-{n}")).await?;
    }
    Ok(took)
}

/// Kinds whose writes are the way of a claim and its pod.
const ON_THE_WAY: [&str; 4] =
    [CLAIMS, PODS, "/api/v1/persistentvolumes", "/apis/storage.k8s.io/v1/volumeattachments"];

/// Versions from the first to the last write of one pod's way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way(u64, u64);

impl Way {
    /// How many commits wrote any of the objects on the way, the client's own two creates among them.
    pub(crate) async fn commits(self, endpoint: &Endpoint) -> Result<usize> {
        let mut versions = std::collections::BTreeSet::new();
        for path in ON_THE_WAY {
            let query = format!("{path}?watch=true&timeoutSeconds=1&resourceVersion={}", self.0);
            let mut watch = endpoint.connect().await?.watch(&query).await?;
            // The watch ends by itself; until then it tells all that was written since.
            let _ended = watch
                .until(|event| {
                    versions.extend(object_version(&event["object"]).filter(|version| *version <= self.1));
                    false
                })
                .await;
        }
        Ok(versions.len())
    }
}

fn object_version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// A pod and its new claim created → the pod seen Running and ready.
pub(crate) async fn pod_running(endpoint: &Endpoint, name: &str, class: &str) -> Result<(Duration, Way)> {
    let mut api = endpoint.connect().await?;
    let before = version(&mut api, CLAIMS).await?;
    let mut watch = watch_from_now(endpoint, PODS).await?;
    let begun = Instant::now();
    api.call("POST", CLAIMS, &claim(name, class, "1Gi")).await?;
    api.call("POST", PODS, &pod(name, name)).await?;
    let mut at = 0;
    watch
        .until(|event| {
            let object = &event["object"];
            let ready = object["status"]["containerStatuses"][0]["ready"] == true;
            at = object_version(object).unwrap_or(at);
            object["metadata"]["name"] == name && object["status"]["phase"] == "Running" && ready
        })
        .await?;
    let took = begun.elapsed();
    delete(&mut api, PODS, name).await?;
    until_gone(&mut api, PODS, name).await?;
    delete(&mut api, CLAIMS, name).await?;
    until_gone(&mut api, CLAIMS, name).await?;
    Ok((took, Way(before, at)))
}

async fn version(api: &mut Connection, path: &str) -> Result<u64> {
    let list = api.get(&format!("{path}?limit=1")).await?;
    Ok(list["metadata"]["resourceVersion"].as_str().unwrap_or("0").parse()?)
}

async fn watch_from_now(endpoint: &Endpoint, path: &str) -> Result<crate::connection::Watch> {
    let mut api = endpoint.connect().await?;
    let version = version(&mut api, path).await?;
    endpoint.connect().await?.watch(&format!("{path}?watch=true&resourceVersion={version}")).await
}

pub(crate) async fn delete(api: &mut Connection, path: &str, name: &str) -> Result<()> {
    api.call("DELETE", &format!("{path}/{name}"), &Value::Null).await?;
    Ok(())
}

pub(crate) async fn until_gone(api: &mut Connection, path: &str, name: &str) -> Result<()> {
    while api.get(&format!("{path}/{name}")).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
