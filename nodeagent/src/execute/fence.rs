//! Another node still holds a volume that the server gives to this one: whose word counts.
//!
//! The server gives a volume for one node to a second one only when nothing is attached to the first, so the first has let
//! go, or somebody has let go in its place.
//!
//! | the holder's node | what it holds |
//! |---|---|
//! | is there | stays its own: its agent lets go, now or when it is back |
//! | has the out-of-service taint, of another effect, or is Ready, or was heard since | stays its own: it is not off |
//! | has the out-of-service taint, and it is believed | is ended: an administrator vouches that the node is off |
//! | is not there | is ended: an administrator has removed it |
//! | unknown, the look failed | stays its own |
//!
//! The server believes the taint by the same rule ([`out_of_service`]). It may have done so a moment too early, when it took
//! the first holder's attachment away; this guard must not fall for the same mistake.

use k8s_openapi::api::core::v1::Node;
use orlop_backends::driver::{Driver, VolumeRef};
use orlop_objects::{Key, kind, out_of_service};

use crate::{core::Core, error::Error};

impl Core {
    /// Ends what a node holds of a volume, when that node is known to be gone for good.
    pub(super) async fn fence(&self, driver: &dyn Driver, volume: &VolumeRef) -> Result<(), Error> {
        let Some(holder) = driver.holder(volume.clone()).await? else { return Ok(()) };
        let node = self.client.get(&Key::cluster(&kind::NODE, &*holder)).await?;
        let node: Option<Node> = node
            .map(|object| object.typed())
            .transpose()
            .map_err(|error| Error::Refused(crate::error::chain(&error)))?;
        if is_gone_for_good(node.as_ref()) {
            tracing::warn!(volume = %volume.handle, holder, "its holder is out of service");
            driver.fence(volume.clone(), holder).await?;
        }
        Ok(())
    }
}

fn is_gone_for_good(node: Option<&Node>) -> bool {
    node.is_none_or(|node| out_of_service::believed(node).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The rows of the table.
    #[test]
    fn whose_word_counts() {
        let node = |key: &str, effect: &str, ready: &str, annotations: Value| -> Option<Node> {
            let node = json!({"metadata": {"name": "n", "annotations": annotations},
                "spec": {"taints": [{"key": key, "value": "nodeshutdown", "effect": effect}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            Some(serde_json::from_value(node).unwrap())
        };
        let off = out_of_service::TAINT;
        let heard = json!({out_of_service::HEARD_SINCE: "2026-01-01T00:00:00Z"});
        for (row, node, wanted) in [
            ("is there", node("node.kubernetes.io/unreachable", "NoExecute", "Unknown", json!({})), false),
            ("another effect", node(off, "NoSchedule", "Unknown", json!({})), false),
            ("Ready", node(off, "NoExecute", "True", json!({})), false),
            ("heard since", node(off, "NoExecute", "Unknown", heard), false),
            ("believed", node(off, "NoExecute", "Unknown", json!({})), true),
            ("is not there", None, true),
        ] {
            assert_eq!(is_gone_for_good(node.as_ref()), wanted, "{row}");
        }
    }
}
