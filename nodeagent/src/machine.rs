//! One node's machine: everything by which the agent looks and acts, and where its things lie. No policy.
//!
//! `Host` and `Runtime` are synchronous; [`Machine::blocking`] is how the agent's tasks call them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use orlop_backends::{
    driver::{Driver, VolumeRef},
    host::{Host, Runtime, network::Network},
};
use orlop_objects::cidr::Cidr;
use tokio::sync::OwnedMutexGuard;

use crate::{error::Error, ids::VolumeId, images::ImageStore, journal::Journal, paths::Layout};

/// How long one call of a driver may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// All of it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) layout: Arc<Layout>,
    /// Names this Orlop among several on one machine; part of every cgroup's path.
    pub(crate) instance: Arc<str>,
    pub(crate) drivers: Arc<BTreeMap<&'static str, Arc<dyn Driver>>>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) network: Arc<dyn Network>,
    /// Where the node's range of pod addresses is taken from.
    pub(crate) pod_range: Option<Cidr>,
    pub(crate) images: ImageStore,
    pub(crate) journal: Journal,
    locks: Arc<Locks>,
}

type Locks = Mutex<HashMap<VolumeId, Arc<tokio::sync::Mutex<()>>>>;

impl Machine {
    pub(crate) fn new(parts: &crate::Parts, journal: Journal) -> Self {
        Self {
            layout: Arc::new(Layout::new(&parts.data_dir, &parts.run_dir)),
            instance: parts.instance.as_str().into(),
            drivers: Arc::new(parts.drivers.iter().map(|d| (d.name(), d.clone())).collect()),
            host: parts.host.clone(),
            runtime: parts.runtime.clone(),
            network: parts.network.clone(),
            pod_range: parts.pod_range,
            images: parts.images.clone(),
            journal,
            locks: Arc::default(),
        }
    }

    /// Runs what may block off the async runtime.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let machine = self.clone();
        tokio::task::spawn_blocking(move || work(&machine))
            .await
            .unwrap_or_else(|error| Err(Error::Refused(format!("a step of the node agent failed: {error}"))))
    }

    /// The driver of a volume.
    pub(crate) fn driver(&self, name: &str) -> Result<Arc<dyn Driver>, Error> {
        self.drivers.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.drivers.keys().copied().collect();
            Error::Refused(format!("this node has no driver {name}; it has {}", known.join(", ")))
        })
    }

    /// Keeps publishing and unstaging of one volume apart.
    pub(crate) async fn lock(&self, id: &VolumeId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(id.clone()).or_default().clone()
        };
        lock.lock_owned().await
    }
}

/// A volume as drivers are asked about it.
pub(crate) fn volume_ref(id: &VolumeId, attributes: &BTreeMap<String, String>) -> VolumeRef {
    VolumeRef { handle: id.handle.clone(), attributes: attributes.clone(), deadline: DEADLINE }
}
