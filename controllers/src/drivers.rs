//! Which storage drivers there are, as far as deciding needs it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::storage::v1::CSIDriver;
use orlop_backends::driver::{Attach, Driver};
use orlop_objects::{DecodeError, Key, kind};

use crate::worker::{Reader, Seen};

/// A driver that this Orlop carries.
#[derive(Clone, Debug)]
pub struct DriverInfo {
    /// Its name, as in `StorageClass.provisioner` and `spec.csi.driver`.
    pub name: String,
    /// Its volumes live on one node, whose agent makes and deletes them.
    pub node_local: bool,
    /// Where attaching is done.
    pub attach: Attach,
}

impl DriverInfo {
    /// The driver that comes with every Orlop: loop files, attached by the node that has them.
    pub fn of_loop_files() -> Self {
        Self { name: crate::LOOP_DRIVER.to_owned(), node_local: true, attach: Attach::Node }
    }

    /// The driver of shared volumes: made by a node, mounted by all, attached nowhere.
    pub fn of_nfs() -> Self {
        Self { name: crate::NFS_DRIVER.to_owned(), node_local: true, attach: Attach::None }
    }

    /// What `driver` says of itself.
    pub fn of(driver: &dyn Driver) -> Self {
        let can = driver.capabilities();
        Self { name: driver.name().to_owned(), node_local: can.node_local, attach: can.attach }
    }
}

/// All drivers that this Orlop carries, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drivers(Arc<BTreeMap<String, DriverInfo>>);

impl Drivers {
    /// A set of drivers.
    pub(crate) fn new(drivers: impl IntoIterator<Item = DriverInfo>) -> Self {
        Self(Arc::new(drivers.into_iter().map(|driver| (driver.name.clone(), driver)).collect()))
    }

    /// The driver of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&DriverInfo> {
        self.0.get(name)
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Whether the driver's volumes are attached before they are mounted. A driver that is not ours says so in its
    /// CSIDriver object; one without such an object is attached (the default of `attachRequired`).
    pub(crate) fn attaches(&self, name: &str, reader: &Reader) -> Result<bool, DecodeError> {
        if let Some(driver) = self.get(name) {
            return Ok(driver.attach != Attach::None);
        }
        let object: Option<Seen<CSIDriver>> = reader.get(&Key::cluster(&kind::CSI_DRIVER, name))?;
        Ok(object.is_none_or(|object| object.spec.attach_required.unwrap_or(true)))
    }
}
