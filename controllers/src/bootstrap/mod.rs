//! What exists from the start: namespaces, the API's own Service, the classes `loop` and `nfs` and their drivers.
//! Idempotent: what is there already is left as it is, whoever changed it; a class that was deleted stays deleted.

mod classes;

use orlop_objects::{Key, Kind, kind};
use orlop_registry::Registry;
use serde_json::{Value, json};

use crate::Error;

/// The driver that comes with every Orlop.
pub const LOOP_DRIVER: &str = orlop_objects::loop_file::DRIVER;
/// The driver of shared volumes, which comes with it.
pub const NFS_DRIVER: &str = orlop_objects::nfs::DRIVER;

/// Makes what is missing.
pub async fn bootstrap(registry: &Registry) -> Result<(), Error> {
    let who = crate::who("bootstrap");
    for (kind, namespace, body) in wanted() {
        let key = Key::new(kind, namespace, body["metadata"]["name"].as_str().unwrap_or_default());
        if registry.snapshot().get(&key).is_some() {
            continue;
        }
        match registry.create(kind, namespace, body, &who, false).await {
            Ok(_) | Err(orlop_registry::Error::AlreadyExists(_)) => {}
            Err(error) => return Err(Error::doing("create", &key)(error)),
        }
    }
    classes::make(registry, &who).await
}

fn wanted() -> Vec<(&'static Kind, &'static str, Value)> {
    let mut all: Vec<_> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .into_iter()
        .map(|name| (&kind::NAMESPACE, "", namespace(name)))
        .collect();
    all.push((&kind::SERVICE, "default", api_service()));
    all.push((&kind::CSI_DRIVER, "", driver(LOOP_DRIVER, true, "ReadWriteOnceWithFSType")));
    all.push((&kind::CSI_DRIVER, "", driver(NFS_DRIVER, false, "None")));
    all
}

fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}})
}

/// Plain data until there are services: no address of the cluster network is promised.
fn api_service() -> Value {
    json!({
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    })
}

fn driver(name: &str, attach_required: bool, fs_group_policy: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "attachRequired": attach_required,
            "podInfoOnMount": false,
            "storageCapacity": false,
            "fsGroupPolicy": fs_group_policy,
            "requiresRepublish": false,
            "seLinuxMount": false,
            "volumeLifecycleModes": ["Persistent"],
        },
    })
}
