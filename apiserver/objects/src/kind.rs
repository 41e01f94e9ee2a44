//! The kinds that are served: their names on the wire, nothing about their fields (those are in the schema table).
//!
//! Turning a kind on is one line in [`ALL`] and, for typed reading, one in the list below it.

use std::hash::{Hash, Hasher};

use k8s_openapi::api::{
    apps::v1 as apps, coordination::v1 as coordination, core::v1 as core, storage::v1 as storage,
};
use serde::de::DeserializeOwned;

/// One kind of object, by the names that discovery publishes. Two kinds are the same when group and plural are.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// The one version served and stored.
    pub version: &'static str,
    /// CamelCase name, as in an object's `kind`.
    pub kind: &'static str,
    /// Lower-case plural, as in paths.
    pub plural: &'static str,
    /// Lower-case singular, as kubectl accepts it.
    pub singular: &'static str,
    /// Short names, as kubectl accepts them.
    pub short: &'static [&'static str],
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Groups of kinds that kubectl knows by one word (`all`).
    pub categories: &'static [&'static str],
    /// Subresources served beside the object itself.
    pub subresources: &'static [&'static str],
    /// Name of the kind's root type in the schema table, which is also its OpenAPI definition name.
    pub schema: &'static str,
}

impl Kind {
    /// `v1` or `group/version`, as in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural` or `plural.group`, as Kubernetes names a resource in messages.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether the kind has the subresource `name` (`status`, `log`, …).
    pub fn has(&self, name: &str) -> bool {
        self.subresources.contains(&name)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.plural == other.plural && self.group == other.group)
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.group, self.plural).hash(state);
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.group, self.plural).cmp(&(other.group, other.plural))
    }
}

/// A type that reads one kind: the bridge from [`Kind`] to the typed view.
pub trait Typed: DeserializeOwned + Send + Sync + 'static {
    /// The kind that this type reads.
    const KIND: &'static Kind;
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $name:ident = $group:literal $version:literal $kind:literal ($plural:literal, $singular:literal, $short:expr)
        namespaced: $namespaced:literal, categories: $categories:expr, subresources: $subresources:expr,
        schema: $schema:literal, typed: $typed:ty; )*) => {
        $(
            $(#[$doc])*
            pub static $name: Kind = Kind {
                group: $group, version: $version, kind: $kind, plural: $plural, singular: $singular, short: &$short,
                namespaced: $namespaced, categories: &$categories, subresources: &$subresources, schema: $schema,
            };
            impl Typed for $typed {
                const KIND: &'static Kind = &$name;
            }
        )*
        /// Every kind served, in the order in which discovery lists them.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    /// A named scope for objects.
    NAMESPACE = "" "v1" "Namespace" ("namespaces", "namespace", ["ns"])
        namespaced: false, categories: [], subresources: ["status", "finalize"],
        schema: "io.k8s.api.core.v1.Namespace", typed: core::Namespace;
    /// A machine that runs pods.
    NODE = "" "v1" "Node" ("nodes", "node", ["no"])
        namespaced: false, categories: [], subresources: ["status"],
        schema: "io.k8s.api.core.v1.Node", typed: core::Node;
    /// Containers that run together on one node.
    POD = "" "v1" "Pod" ("pods", "pod", ["po"])
        namespaced: true, categories: ["all"], subresources: ["status", "binding", "eviction", "log"],
        schema: "io.k8s.api.core.v1.Pod", typed: core::Pod;
    /// A volume of the cluster.
    PERSISTENT_VOLUME = "" "v1" "PersistentVolume" ("persistentvolumes", "persistentvolume", ["pv"])
        namespaced: false, categories: [], subresources: ["status"],
        schema: "io.k8s.api.core.v1.PersistentVolume", typed: core::PersistentVolume;
    /// A wish for a volume.
    PERSISTENT_VOLUME_CLAIM = "" "v1" "PersistentVolumeClaim" ("persistentvolumeclaims", "persistentvolumeclaim", ["pvc"])
        namespaced: true, categories: [], subresources: ["status"],
        schema: "io.k8s.api.core.v1.PersistentVolumeClaim", typed: core::PersistentVolumeClaim;
    /// Something that happened, for people to read; gone after an hour.
    EVENT = "" "v1" "Event" ("events", "event", ["ev"])
        namespaced: true, categories: [], subresources: [],
        schema: "io.k8s.api.core.v1.Event", typed: core::Event;
    /// Text for pods.
    CONFIG_MAP = "" "v1" "ConfigMap" ("configmaps", "configmap", ["cm"])
        namespaced: true, categories: [], subresources: [],
        schema: "io.k8s.api.core.v1.ConfigMap", typed: core::ConfigMap;
    /// Confidential bytes for pods.
    SECRET = "" "v1" "Secret" ("secrets", "secret", [])
        namespaced: true, categories: [], subresources: [],
        schema: "io.k8s.api.core.v1.Secret", typed: core::Secret;
    /// The name that a pod acts under.
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" ("serviceaccounts", "serviceaccount", ["sa"])
        namespaced: true, categories: [], subresources: [],
        schema: "io.k8s.api.core.v1.ServiceAccount", typed: core::ServiceAccount;
    /// A stable name for a set of pods.
    SERVICE = "" "v1" "Service" ("services", "service", ["svc"])
        namespaced: true, categories: ["all"], subresources: ["status"],
        schema: "io.k8s.api.core.v1.Service", typed: core::Service;
    /// A rolling set of equal pods.
    DEPLOYMENT = "apps" "v1" "Deployment" ("deployments", "deployment", ["deploy"])
        namespaced: true, categories: ["all"], subresources: ["status", "scale"],
        schema: "io.k8s.api.apps.v1.Deployment", typed: apps::Deployment;
    /// A set of equal pods.
    REPLICA_SET = "apps" "v1" "ReplicaSet" ("replicasets", "replicaset", ["rs"])
        namespaced: true, categories: ["all"], subresources: ["status", "scale"],
        schema: "io.k8s.api.apps.v1.ReplicaSet", typed: apps::ReplicaSet;
    /// A numbered set of pods with claims of their own.
    STATEFUL_SET = "apps" "v1" "StatefulSet" ("statefulsets", "statefulset", ["sts"])
        namespaced: true, categories: ["all"], subresources: ["status", "scale"],
        schema: "io.k8s.api.apps.v1.StatefulSet", typed: apps::StatefulSet;
    /// A pod on every node.
    DAEMON_SET = "apps" "v1" "DaemonSet" ("daemonsets", "daemonset", ["ds"])
        namespaced: true, categories: ["all"], subresources: ["status"],
        schema: "io.k8s.api.apps.v1.DaemonSet", typed: apps::DaemonSet;
    /// A remembered version of a workload's template.
    CONTROLLER_REVISION = "apps" "v1" "ControllerRevision" ("controllerrevisions", "controllerrevision", [])
        namespaced: true, categories: [], subresources: [],
        schema: "io.k8s.api.apps.v1.ControllerRevision", typed: apps::ControllerRevision;
    /// A claim to leadership or liveness.
    LEASE = "coordination.k8s.io" "v1" "Lease" ("leases", "lease", [])
        namespaced: true, categories: [], subresources: [],
        schema: "io.k8s.api.coordination.v1.Lease", typed: coordination::Lease;
    /// A way to make volumes.
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" ("storageclasses", "storageclass", ["sc"])
        namespaced: false, categories: [], subresources: [],
        schema: "io.k8s.api.storage.v1.StorageClass", typed: storage::StorageClass;
    /// A volume's attachment to a node.
    VOLUME_ATTACHMENT = "storage.k8s.io" "v1" "VolumeAttachment" ("volumeattachments", "volumeattachment", [])
        namespaced: false, categories: [], subresources: ["status"],
        schema: "io.k8s.api.storage.v1.VolumeAttachment", typed: storage::VolumeAttachment;
    /// What a storage driver can do.
    CSI_DRIVER = "storage.k8s.io" "v1" "CSIDriver" ("csidrivers", "csidriver", [])
        namespaced: false, categories: [], subresources: [],
        schema: "io.k8s.api.storage.v1.CSIDriver", typed: storage::CSIDriver;
    /// The storage drivers of one node.
    CSI_NODE = "storage.k8s.io" "v1" "CSINode" ("csinodes", "csinode", [])
        namespaced: false, categories: [], subresources: [],
        schema: "io.k8s.api.storage.v1.CSINode", typed: storage::CSINode;
}

/// The kind at `group` with this plural.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|k| k.group == group && k.plural == plural)
}

/// The kind that an object names by `apiVersion` and `kind`.
pub fn by_name(api_version: &str, kind: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|k| k.kind == kind && k.api_version() == api_version)
}
