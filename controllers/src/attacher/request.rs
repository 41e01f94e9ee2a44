//! A VolumeAttachment: its name, and the transaction in which one comes to be.
//!
//! One node at a time per single-node volume is an invariant over a set. It is kept without a lock: whoever attaches
//! reads, by key, the attachment that any rival would write, so that of two rivals only one commits.

use k8s_openapi::api::core::v1::PersistentVolume;
use orlop_objects::{Key, index::Index, kind};
use orlop_registry::Door;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    edit,
    error::stale,
    facts::{self, Volume},
};

/// The name that Kubernetes gives to the attachment of a volume to a node.
pub(crate) fn name(handle: &str, driver: &str, node: &str) -> String {
    let hash = Sha256::digest(format!("{handle}{driver}{node}"));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("csi-{hex}")
}

/// What holds an attachment until its node's agent has detached the volume.
pub(crate) fn finalizer(driver: &str) -> String {
    format!("external-attacher/{}", driver.replace('.', "-"))
}

/// The driver that attaches a volume, and the volume's handle with it; `None` for volumes that nobody attaches.
pub(crate) fn csi(volume: &PersistentVolume) -> Option<(&str, &str)> {
    let csi = volume.spec.as_ref()?.csi.as_ref()?;
    Some((&csi.driver, &csi.volume_handle))
}

/// The key of the attachment of `volume` to `node`.
pub(crate) fn key(volume: &PersistentVolume, node: &str) -> Option<Key> {
    let (driver, handle) = csi(volume)?;
    Some(Key::cluster(&kind::VOLUME_ATTACHMENT, name(handle, driver, node)))
}

/// Asks, inside a transaction, for `volume` to be attached to `node`.
pub(crate) fn request(
    door: &mut Door<'_, '_>,
    volume: &Volume,
    node: &str,
) -> Result<(), orlop_registry::Error> {
    edit::unchanged(door, volume)?;
    let (Some((driver, _)), Some(own)) = (csi(volume), key(volume, node)) else {
        return Ok(());
    };
    if !facts::is_shared(volume) {
        refuse_rivals(door, volume, &own)?;
    }
    let body = json!({
        "metadata": {"name": own.name, "finalizers": [finalizer(driver)]},
        "spec": {"attacher": driver, "nodeName": node, "source": {"persistentVolumeName": volume.name()}},
    });
    door.create(&kind::VOLUME_ATTACHMENT, "", body).map(drop)
}

fn refuse_rivals(door: &mut Door<'_, '_>, volume: &Volume, own: &Key) -> Result<(), orlop_registry::Error> {
    let snapshot = door.snapshot().clone();
    let nodes = snapshot.list(&kind::NODE, None, None).filter_map(|node| key(volume, &node.meta.name));
    let written = snapshot.having(Index::AttachmentsByVolume, volume.name()).map(|object| object.key.clone());
    for rival in nodes.chain(written).filter(|rival| rival != own) {
        if door.get(&rival).is_some() {
            return Err(stale(&rival));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn an_attachment_has_the_name_that_kubernetes_gives_it() {
        // sha256("vol-1" + "loop.orlop.dev" + "n1"), by coreutils.
        assert_eq!(
            name("vol-1", "loop.orlop.dev", "n1"),
            "csi-0ecbe64a7a27662da6912020d12adbe294a8f17d2cdf28797e19201b26f7efb3"
        );
    }
}
