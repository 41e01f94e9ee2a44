//! Carries out the verdicts about ranges.

use orlop_objects::Key;
use orlop_registry::Part;
use serde_json::json;

use super::decide::Verdict;
use crate::{Error, edit, parts::Parts, worker::Next};

/// Carries out one verdict.
pub(super) async fn apply(parts: &Parts, key: &Key, verdict: Verdict) -> Result<Next, Error> {
    match verdict {
        Verdict::Give { node, range } => {
            let seen = (key, node.object.revision);
            let given = edit::change(&parts.registry, &parts.who, seen, Part::Main, |value, _| {
                let spec = edit::section(value, "spec");
                spec.insert("podCIDR".to_owned(), range.to_string().into());
                spec.insert("podCIDRs".to_owned(), json!([range.to_string()]));
            });
            given.await.map_err(Error::doing("give a range of pod addresses to", key))?;
            Ok(Next::Settled)
        }
        Verdict::Wait { node, said } => {
            parts.tell(&node.object, said);
            Ok(Next::Waiting(None))
        }
    }
}
