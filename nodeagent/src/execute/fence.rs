//! Another node still holds a volume that the server gives to this one: whose word counts.
//!
//! The server gives a volume for one node to a second one only when nothing is attached to the first, so the first has let
//! go, or somebody has let go in its place.
//!
//! | the holder's node | what it holds |
//! |---|---|
//! | is there | stays its own: its agent lets go, now or when it is back |
//! | has the out-of-service taint | is ended: an administrator vouches that the node is off |
//! | is not there | is ended: an administrator has removed it |
//! | unknown, the look failed | stays its own |

use k8s_openapi::api::core::v1::Node;
use orlop_backends::driver::{Driver, VolumeRef};
use orlop_objects::{Key, kind};

use crate::{core::Core, error::Error};

/// By which an administrator says that a node is off, and stays so until it is taken away.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

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
    let Some(node) = node else { return true };
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The rows of the table.
    #[test]
    fn whose_word_counts() {
        let node = |taints: Value| -> Node {
            serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"taints": taints}})).unwrap()
        };
        let taint = |key: &str| json!([{"key": key, "value": "nodeshutdown", "effect": "NoExecute"}]);
        assert!(!is_gone_for_good(Some(&node(Value::Null))));
        assert!(!is_gone_for_good(Some(&node(taint("node.kubernetes.io/unreachable")))));
        assert!(is_gone_for_good(Some(&node(taint(OUT_OF_SERVICE)))));
        assert!(is_gone_for_good(None));
    }
}
